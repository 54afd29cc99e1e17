"""The tools of one index, as a server of the Model Context Protocol."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import Field

from onnxsearch._internal.validation import instance
from onnxsearch._internal.version import VERSION
from onnxsearch.async_engine import AsyncSearchEngine
from onnxsearch.errors import InvalidArgumentError, OnnxSearchError
from onnxsearch.filters import F, Filter
from onnxsearch.images.reading import READ_STRICTLY, ReadPolicy
from onnxsearch.search.query import Query, query_of
from onnxsearch.serving.mcp.answers import (
    MetadataField,
    RecordsAnswer,
    SearchAnswer,
    ShownImage,
    StatisticsAnswer,
    StoredModel,
    answer,
    hit_answer,
    original,
    record_answer,
    sendable,
)
from onnxsearch.serving.mcp.images import AllowedFolders, decoded
from onnxsearch.serving.mcp.thumbnails import thumbnails_of
from onnxsearch.serving.metadata_fields import sampled_fields

if TYPE_CHECKING:
    from onnxsearch.search.query import QueryInput
    from onnxsearch.types import Record

_THUMBNAIL = 256
"""Pixels of the longer side: an image of 256 x 256 costs a model about 90 tokens."""
_MOST_HITS = 50
_MOST_OFFSET = 100_000
_SECONDS = 60.0
"""Seconds after which a call is given up: agents wait no longer."""

_READ_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

_INSTRUCTIONS = """Searches one collection of images by what they show. Begin with
index_statistics: it says which models take words, and which metadata fields filters can name.
Every hit has an id, which more_like_this and show_image take. Nothing can be changed.""".replace(
    "\n", " "
)

_Limit = Annotated[int, Field(ge=1, le=_MOST_HITS, description="Number of images.")]
_Offset = Annotated[int, Field(ge=0, le=_MOST_OFFSET, description="Images to leave out before.")]
_FilterText = Annotated[
    str | None,
    Field(
        description="Only images whose metadata match, such as `price < 20 and tags contains "
        "'cup'`. index_statistics lists the fields."
    ),
]
_Model = Annotated[
    str | None, Field(description="The model to search with; by default the first of the index.")
]
_Box = Annotated[
    list[int] | None,
    Field(
        min_length=4,
        max_length=4,
        description="Search with a part of the image only: its left, top, right and bottom edge in "
        "pixels.",
    ),
]
_Thumbnails = Annotated[bool, Field(description="Whether thumbnails of the images are sent.")]


def create_mcp_server(
    engine: AsyncSearchEngine,
    *,
    allow: Iterable[str | os.PathLike[str]] = (),
    reading: ReadPolicy = READ_STRICTLY,
) -> MCPServer[None]:
    """Return a server of the tools of an engine; all of them only read.

    Args:
        engine: The engine, open as long as the server runs. It belongs to the caller.
        allow: Folders of which an agent may name image files to search with. By default
            it can only send images.
        reading: How stored files are opened for thumbnails.

    Raises:
        InvalidArgumentError: An argument is of another type, or a folder is not there.

    Example:
        >>> async with AsyncSearchEngine.open("album") as engine:
        ...     await create_mcp_server(engine).run_stdio_async()
    """
    tools = _Tools(
        instance("engine", engine, AsyncSearchEngine, "an AsyncSearchEngine"),
        AllowedFolders(allow),
        instance("reading", reading, ReadPolicy, "a ReadPolicy"),
    )
    with _logging_as_it_was():
        server: MCPServer[None] = MCPServer(
            "onnxsearch", title="Image search", version=VERSION, instructions=_INSTRUCTIONS
        )
    for tool in (
        tools.search_by_text,
        tools.search_by_image,
        tools.more_like_this,
        tools.list_records,
        tools.show_image,
        tools.index_statistics,
    ):
        server.add_tool(tool, annotations=_READ_ONLY)
    return server


class _Tools:
    """The tools: their docstrings and annotations are what an agent reads."""

    def __init__(
        self, engine: AsyncSearchEngine, folders: AllowedFolders, reading: ReadPolicy
    ) -> None:
        self._engine = engine
        self._folders = folders
        self._reading = reading

    async def search_by_text(
        self,
        text: Annotated[
            str, Field(min_length=1, max_length=2000, description="What is to be seen.")
        ],
        limit: _Limit = 5,
        filter: _FilterText = None,
        model: _Model = None,
        thumbnails: _Thumbnails = True,
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Find images by words, such as "a red cup on a table". Needs a model that takes words."""
        async with _told():
            wanted = _filter(filter)
            try:
                return await self._search(Query.text(text), limit, wanted, model, thumbnails)
            except InvalidArgumentError as error:  # the model takes no words
                raise InvalidArgumentError(
                    f"{error}. search_by_image and more_like_this need no words"
                ) from error

    async def search_by_image(
        self,
        image: Annotated[
            str | None, Field(description="The bytes of an image file, in base64.")
        ] = None,
        path: Annotated[
            str | None,
            Field(description="Instead: an image file in a folder that the user has allowed."),
        ] = None,
        box: _Box = None,
        limit: _Limit = 5,
        filter: _FilterText = None,
        model: _Model = None,
        thumbnails: _Thumbnails = True,
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Find images that look like a given one."""
        async with _told():
            if (image is None) == (path is None):
                raise InvalidArgumentError("expected one of image and path, and not both")
            if path is None:
                data = await asyncio.to_thread(decoded, str(image))
            else:
                data = await asyncio.to_thread(self._folders.read, path)
            return await self._search(data, limit, _filter(filter), model, thumbnails, box)

    async def more_like_this(
        self,
        ids: Annotated[
            list[str],
            Field(min_length=1, max_length=20, description="Stored images, by their ids."),
        ],
        unlike: Annotated[
            list[str] | None,
            Field(max_length=20, description="Stored images that the hits are to be unlike."),
        ] = None,
        box: _Box = None,
        limit: _Limit = 5,
        filter: _FilterText = None,
        model: _Model = None,
        thumbnails: _Thumbnails = True,
    ) -> Annotated[CallToolResult, SearchAnswer]:
        """Find images that look like stored ones, which are left out, and unlike others.

        With box, like a part of a single one.
        """
        async with _told():
            like: list[QueryInput] = [Query.id((await self._record(id)).id) for id in ids]
            away: list[QueryInput] = [Query.id((await self._record(id)).id) for id in unlike or ()]
            return await self._search(
                query_of(like, away),
                limit,
                _filter(filter),
                model,
                thumbnails,
                box,
                exclude_query=True,
            )

    async def list_records(
        self,
        filter: _FilterText = None,
        order_by: Annotated[
            str | None,
            Field(
                description="`id`, `uri`, `modified` or a metadata field; `-` before it descends."
            ),
        ] = None,
        limit: _Limit = 20,
        offset: _Offset = 0,
        thumbnails: _Thumbnails = False,
    ) -> Annotated[CallToolResult, RecordsAnswer]:
        """List stored images, without a search."""
        async with _told():
            page: list[Record] = []
            number = 0
            async for record in self._engine.records(_filter(filter), order_by=order_by):
                if number >= offset:
                    page.append(record)
                number += 1
                if len(page) > limit:
                    break
            shown = page[:limit]
            values = RecordsAnswer(
                records=[record_answer(each) for each in shown], more=len(page) > limit
            )
            files = [(each.id, each.file) for each in shown] if thumbnails else []
            return answer(values, values.records, await self._thumbnails(files))

    async def show_image(
        self,
        id: Annotated[str, Field(description="The id of a stored image.")],
        size: Annotated[
            int, Field(ge=32, le=1024, description="Pixels of the longer side, at most.")
        ] = 512,
    ) -> Annotated[CallToolResult, ShownImage]:
        """Show a stored image larger than its thumbnail, with its metadata."""
        async with _told():
            record = await self._record(id)
            values = ShownImage(image=record_answer(record))
            thumbnails = await self._thumbnails([(record.id, record.file)], size)
            if not thumbnails:
                raise InvalidArgumentError(
                    f"image {id!r:.200} cannot be shown: it was stored without a file of its own, "
                    "or the file is gone"
                )
            return answer(values, [values.image], thumbnails)

    async def index_statistics(self) -> StatisticsAnswer:
        """Describe the index: how many images, which models, and which fields filters can name."""
        async with _told():
            info = await self._engine.info()
            described = {model.name: model for model in info.models}
            fields = await asyncio.to_thread(sampled_fields, self._engine.engine)
            return StatisticsAnswer(
                images=info.images,
                models=[
                    StoredModel(
                        name=name,
                        takes_words=name in described and described[name].text is not None,
                        is_default=place == 0,
                        regions=described[name].region_model if name in described else None,
                        images=described[name].vectors if name in described else 0,
                    )
                    for place, name in enumerate(self._engine.models)
                ],
                fields={
                    sendable(name): MetadataField.model_validate(sample._asdict())
                    for name, sample in fields.items()
                },
            )

    async def _search(
        self,
        query: QueryInput,
        limit: int,
        filter: Filter | None,
        model: str | None,
        thumbnails: bool,
        box: Sequence[int] | None = None,
        *,
        exclude_query: bool = False,
    ) -> CallToolResult:
        results = await self._engine.search(
            query,
            model=model,
            limit=limit,
            filter=filter,
            exclude_query=exclude_query,
            box=box,
        )
        values = SearchAnswer(model=results.model, hits=[hit_answer(hit) for hit in results])
        files = [(hit.id, hit.uri) for hit in results] if thumbnails else []
        return answer(values, values.hits, await self._thumbnails(files))

    async def _thumbnails(
        self, files: Sequence[tuple[str, str | None]], size: int = _THUMBNAIL
    ) -> dict[str, str]:
        made = await thumbnails_of(files, size, self._reading)
        return {sendable(id): data for id, data in made.items()}

    async def _record(self, id: str) -> Record:
        """Return a record by an id as tools answer it."""
        for given in dict.fromkeys((id, original(id))):
            if (record := await self._engine.get(given)) is not None:
                return record
        raise InvalidArgumentError(
            f"no image {id!r:.200} is stored: take an id of a hit, or of list_records"
        )


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    """Answer an error of ours with its message, which says what to do, and give up in time."""
    try:
        async with asyncio.timeout(_SECONDS):
            yield
    except OnnxSearchError as error:
        raise ToolError(sendable(str(error))) from error
    except TimeoutError as error:
        raise ToolError(
            f"no answer within {_SECONDS:g} s: ask for less, or try again later"
        ) from error


@contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """Take back what the SDK does to the root logger, which belongs to the application."""
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


def _filter(text: str | None) -> Filter | None:
    return None if text is None else F.parse(text)
