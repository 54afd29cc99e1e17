"""Tools for agents, called by the official client."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from onnxsearch import (
    AsyncSearchEngine,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Query,
    SearchEngine,
    StoreUnavailableError,
    Vectors,
)
from onnxsearch.testing import FakeEmbedder, picture, picture_bytes, write_pictures
from tests.engine.mosaic import Mosaic, collage, patchwork

mcp = pytest.importorskip("mcp", reason="the extra [mcp] is not installed")
create_mcp_server = pytest.importorskip("onnxsearch.serving.mcp").create_mcp_server
NAMES = ("cup", "mug", "plate", "fork", "spoon")
T = TypeVar("T")


class Words(FakeEmbedder):
    """Takes words as well."""

    def embed_text(self, texts: str | Iterable[str]) -> Vectors:
        return self.embed(
            [picture(text) for text in ([texts] if isinstance(texts, str) else texts)]
        )


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    write_pictures(folder / "photos", NAMES)
    with SearchEngine.open(folder / "index", embedders=Words()) as engine:
        for number, name in enumerate(NAMES):
            engine.add(folder / "photos" / f"{name}.png", id=name, metadata={"price": number})
        engine.add(picture_bytes("memory"), id="memory")
    return folder


@pytest.fixture
def engine(album: Path) -> Iterator[SearchEngine]:
    with SearchEngine.open(album / "index", embedders=Words()) as engine:
        yield engine


Client = Any
Session = Callable[[Callable[[Client], Awaitable[T]]], T]


@pytest.fixture
def session(engine: SearchEngine) -> Callable[..., Any]:
    """Run a conversation of a client with a server in this process."""

    def run(talk: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
        async def both() -> Any:
            async with (
                AsyncSearchEngine(engine) as served,
                mcp.Client(create_mcp_server(served, **options)) as client,
            ):
                return await talk(client)

        return asyncio.run(both())

    return run


@pytest.fixture
def call(session: Callable[..., Any]) -> Callable[..., Any]:
    """Call one tool."""

    def one(tool: str, options: dict[str, Any] | None = None, **arguments: Any) -> Any:
        return session(lambda client: client.call_tool(tool, arguments), **(options or {}))

    return one


def hits(result: Any) -> list[str]:
    assert not result.is_error, result.content
    return [hit["id"] for hit in result.structured_content["hits"]]


def thumbnails_of(result: Any) -> list[Image.Image]:
    images = [block for block in result.content if block.type == "image"]
    assert {block.mime_type for block in images} <= {"image/jpeg"}
    return [Image.open(io.BytesIO(base64.b64decode(block.data))) for block in images]


def refusal(result: Any) -> str:
    assert result.is_error
    return " ".join(block.text for block in result.content)


def test_the_tools_say_that_they_only_read(session: Callable[..., Any]) -> None:
    async def talk(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in session(talk)}
    assert set(tools) == {
        *("search_by_text", "search_by_image", "more_like_this"),
        *("list_records", "show_image", "index_statistics"),
    }
    for tool in tools.values():
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.open_world_hint is False
        assert tool.description
        assert tool.output_schema["type"] == "object"
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description"), (tool.name, name)
    limit = tools["search_by_image"].input_schema["properties"]["limit"]
    assert (limit["minimum"], limit["maximum"]) == (1, 50)


def test_search_by_words(call: Callable[..., Any], engine: SearchEngine) -> None:
    found = call("search_by_text", text="a cup", limit=3)
    assert hits(found) == engine.search(text="a cup", limit=3).ids
    assert found.structured_content["model"] == "fake"
    assert "similarity" in found.structured_content["hits"][0]


def test_words_are_never_taken_for_a_file(call: Callable[..., Any], album: Path) -> None:
    path = str(album / "photos" / "cup.png")
    assert hits(call("search_by_text", text=path)) != hits(
        call("search_by_image", image=base64.b64encode(picture_bytes("cup")).decode())
    )


def test_search_by_the_bytes_of_an_image(call: Callable[..., Any]) -> None:
    data = base64.b64encode(picture_bytes("plate")).decode()
    for image in (data, f"data:image/png;base64,{data}"):
        found = call("search_by_image", image=image, limit=2)
        assert hits(found)[0] == "plate"
        assert found.structured_content["hits"][0]["distance"] == pytest.approx(0, abs=1e-6)


def test_hits_have_thumbnails(call: Callable[..., Any]) -> None:
    found = call("more_like_this", ids=["cup"], limit=5)
    shown = thumbnails_of(found)
    assert len(shown) == 4  # one of the five came from memory, and has no file
    assert all(max(image.size) <= 256 for image in shown)
    labels = [block.text for block in found.content if block.type == "text"]
    assert json.loads(labels[0]) == found.structured_content
    assert [label.partition(". ")[2] for label in labels[1:]] == [
        id for id in hits(found) if id != "memory"
    ]
    assert thumbnails_of(call("more_like_this", ids=["cup"], thumbnails=False)) == []


def test_an_answer_does_not_grow_beyond_what_clients_take(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.serving.mcp.answers._MOST_BYTES", 1500)
    found = call("more_like_this", ids=["cup"], limit=5)
    assert 0 < len(thumbnails_of(found)) < 4
    assert "left out" in found.content[-1].text
    assert len(hits(found)) == 5


def test_more_like_this(call: Callable[..., Any], engine: SearchEngine) -> None:
    found = hits(call("more_like_this", ids=["cup", "mug"], unlike=["fork"], limit=3))
    assert not {"cup", "mug", "fork"} & set(found)
    assert len(found) == 3


def test_parts_of_images(call: Callable[..., Any], engine: SearchEngine, album: Path) -> None:
    box = [0, 0, 3, 2]
    photo = base64.b64encode((album / "photos" / "cup.png").read_bytes()).decode()
    found = hits(call("search_by_image", image=photo, box=box))
    assert found == engine.search(album / "photos" / "cup.png", box=box, limit=5).ids
    stored = hits(call("more_like_this", ids=["cup"], box=box))
    assert stored == engine.search(Query.id("cup"), box=box, exclude_query=True, limit=5).ids
    assert "pixels, and the box is not inside" in refusal(
        call("more_like_this", ids=["cup"], box=[0, 0, 10_000, 2])
    )
    assert "expected one image" in refusal(call("more_like_this", ids=["cup", "mug"], box=box))
    for wrong in ([0, 0, 3], [0, 0, 3, "x"], [3, 2, 0, 0], [0, 0, -3, 2]):
        assert "box" in refusal(call("search_by_image", image=photo, box=wrong))


def test_images_in_which_another_is_a_part() -> None:
    part = io.BytesIO()
    patchwork(2).save(part, "png")
    arguments = {"image": base64.b64encode(part.getvalue()).decode(), "model": "mosaic.regions"}
    with SearchEngine(Mosaic(), InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(collage(1, 2, (32, 64)), id="collage")

        async def talk() -> Any:
            async with (
                AsyncSearchEngine(engine) as served,
                mcp.Client(create_mcp_server(served)) as client,
            ):
                stored = await client.call_tool("index_statistics", {})
                assert stored.structured_content["models"][0]["regions"] == "mosaic.regions"
                return await client.call_tool("search_by_image", arguments)

        (hit,) = asyncio.run(talk()).structured_content["hits"]
        wanted = engine.search(patchwork(2), model="mosaic.regions")[0].region
    assert wanted is not None
    assert hit["region"] == list(wanted)


def test_filters(call: Callable[..., Any]) -> None:
    assert set(hits(call("search_by_text", text="x", filter="price < 2"))) == {"cup", "mug"}
    records = call("list_records", filter="price >= 3", order_by="-price").structured_content
    assert [each["id"] for each in records["records"]] == ["spoon", "fork"]
    assert "price <" in refusal(call("list_records", filter="price <"))


def test_pages_of_records(call: Callable[..., Any]) -> None:
    first = call("list_records", limit=4, order_by="id").structured_content
    rest = call("list_records", limit=4, offset=4, order_by="id").structured_content
    assert (first["more"], rest["more"]) == (True, False)
    ids = [each["id"] for page in (first, rest) for each in page["records"]]
    assert ids == sorted([*NAMES, "memory"])
    assert first["records"][0]["path"].endswith("cup.png")
    assert len(thumbnails_of(call("list_records", limit=3, thumbnails=True))) >= 2


def test_statistics(call: Callable[..., Any]) -> None:
    found = call("index_statistics").structured_content
    assert found["images"] == 6
    assert [model["name"] for model in found["models"]] == ["fake"]
    assert found["models"][0]["images"] == 6
    assert found["fields"]["price"]["types"] == ["number"]
    assert sorted(found["fields"]["price"]["values"]) == [0, 1, 2, 3, 4]


def test_show_image(call: Callable[..., Any]) -> None:
    (shown,) = thumbnails_of(call("show_image", id="fork", size=64))
    assert max(shown.size) <= 64
    assert "without a file" in refusal(call("show_image", id="memory"))
    assert "no image 'nothing'" in refusal(call("show_image", id="nothing"))


# --- files that an agent names


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "allowed", ["cup"])
    write_pictures(tmp_path / "secret", ["plate"])
    (tmp_path / "allowed" / "link.png").symlink_to(tmp_path / "secret" / "plate.png")
    (tmp_path / "allowed" / "folder").symlink_to(tmp_path / "secret")
    (tmp_path / "allowed-too").mkdir()
    (tmp_path / "allowed-too" / "plate.png").write_bytes(picture_bytes("plate"))
    return tmp_path


def test_no_file_is_read_by_default(call: Callable[..., Any], album: Path) -> None:
    told = refusal(call("search_by_image", path=str(album / "photos" / "cup.png")))
    assert "--allow" in told


@pytest.mark.parametrize("path", ["cup.png", "./x/../cup.png", "{}/allowed/cup.png"])
def test_files_of_an_allowed_folder(call: Callable[..., Any], secrets: Path, path: str) -> None:
    options = {"allow": [secrets / "allowed"]}
    assert hits(call("search_by_image", options, path=path.format(secrets)))[0] == "cup"


ELSEWHERE = (
    "../secret/plate.png",
    "{}/secret/plate.png",
    "{}/secret/nothing.png",
    "{}/allowed/../secret/plate.png",
    "link.png",
    "folder/plate.png",
    "{}/allowed-too/plate.png",
    "/etc/passwd",
    "/proc/self/environ",
    "~/.ssh/id_rsa",
    "file:///etc/passwd",
    "//server/share/x.png",
    "cup.png\0.jpg",
    "",
    ".",
    "x" * 5000,
)


def test_files_elsewhere_are_refused(session: Callable[..., Any], secrets: Path) -> None:
    async def talk(client: Client) -> dict[str, str]:
        paths = [path.format(secrets) for path in ELSEWHERE]
        return {
            path: refusal(await client.call_tool("search_by_image", {"path": path}))
            for path in paths
        }

    for path, told in session(talk, allow=[secrets / "allowed"]).items():
        assert "root:" not in told
        expected = ("not in an allowed folder", "cannot be read", "not a file")
        assert any(words in told for words in expected), (path, told)


def test_what_is_outside_looks_the_same_whether_it_exists_or_not(
    session: Callable[..., Any], secrets: Path
) -> None:
    async def talk(client: Client) -> set[str]:
        names = ("plate", "other")
        told = {
            name: refusal(
                await client.call_tool("search_by_image", {"path": f"{secrets}/secret/{name}.png"})
            )
            for name in names
        }
        return {text.replace(name, "") for name, text in told.items()}

    assert len(session(talk, allow=[secrets / "allowed"])) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang_the_server(call: Callable[..., Any], secrets: Path) -> None:
    os.mkfifo(secrets / "allowed" / "pipe.png")
    told = refusal(call("search_by_image", {"allow": [secrets / "allowed"]}, path="pipe.png"))
    assert "not a file" in told


def test_files_of_the_index_are_not_read(call: Callable[..., Any], album: Path) -> None:
    told = refusal(call("search_by_image", {"allow": [album]}, path="index/records.sqlite"))
    assert "belongs to an index" in told


# --- what else agents send


MISTAKES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("search_by_image", {}, "one of image and path"),
    ("search_by_image", {"image": "aaaa", "path": "b"}, "one of image and path"),
    ("search_by_image", {"image": "not base64!"}, "not base64"),
    ("search_by_image", {"image": "aGVsbG8="}, "not an image"),
    ("search_by_image", {"image": ""}, "image"),
    ("search_by_text", {"text": ""}, "text"),
    ("search_by_text", {"text": "a" * 3000}, "text"),
    ("search_by_text", {"text": "a", "limit": 0}, "limit"),
    ("search_by_text", {"text": "a", "limit": 1000}, "limit"),
    ("search_by_text", {"text": "a", "model": "other"}, "fake"),
    ("more_like_this", {"ids": []}, "ids"),
    ("more_like_this", {"ids": ["x"] * 30}, "ids"),
    ("more_like_this", {"ids": ["nothing"]}, "list_records"),
    ("list_records", {"order_by": ""}, "order_by"),
    ("show_image", {"id": "cup", "size": 100_000}, "size"),
    ("no_such_tool", {}, "no_such_tool"),
)


def test_mistakes_get_an_answer_that_helps(session: Callable[..., Any]) -> None:
    async def talk(client: Client) -> list[str]:
        return [refusal(await client.call_tool(tool, arguments)) for tool, arguments, _ in MISTAKES]

    for told, (tool, arguments, expected) in zip(session(talk), MISTAKES, strict=True):
        assert expected in told, (tool, arguments)


def test_an_image_that_is_too_large(
    call: Callable[..., Any], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsearch.serving.mcp.images._MOST_BYTES", 100)
    told = refusal(call("search_by_image", image=base64.b64encode(bytes(400)).decode()))
    assert "smaller copy" in told
    told = refusal(call("search_by_image", {"allow": [secrets / "allowed"]}, path="cup.png"))
    assert "smaller copy" in told


def test_names_that_are_no_text_make_the_round(
    call: Callable[..., Any], engine: SearchEngine
) -> None:
    name = os.fsdecode(b"\xe9t\xe9")
    engine.add(picture("odd"), id=name, metadata={"price": 99})
    try:
        (record,) = call("list_records", filter="price == 99").structured_content["records"]
        assert record["id"] == "\\udce9t\\udce9"
        assert len(hits(call("more_like_this", ids=[record["id"]], limit=3))) == 3
    finally:
        engine.remove(name)


def test_an_error_of_a_store_is_told_and_others_are_not(
    call: Callable[..., Any], engine: SearchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> Callable[..., Any]:
        def search(*arguments: Any, **named: Any) -> Any:
            raise error

        return search

    monkeypatch.setattr(
        type(engine._searcher), "search", fail(StoreUnavailableError("Milvus is away"))
    )
    assert "Milvus is away" in refusal(call("search_by_text", text="a"))
    monkeypatch.setattr(type(engine._searcher), "search", fail(KeyError("password=hunter2")))
    assert "hunter2" not in refusal(call("search_by_text", text="a"))


def test_a_server_leaves_the_logging_of_its_application(engine: SearchEngine) -> None:
    async def make() -> None:
        async with AsyncSearchEngine(engine) as served:
            create_mcp_server(served)

    before = list(logging.root.handlers), logging.root.level
    asyncio.run(make())
    assert (list(logging.root.handlers), logging.root.level) == before


def test_wrong_arguments(engine: SearchEngine, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="engine"):
        create_mcp_server(engine)

    async def make() -> None:
        async with AsyncSearchEngine(engine) as served:
            with pytest.raises(InvalidArgumentError, match="allow"):
                create_mcp_server(served, allow=[tmp_path / "nothing"])
            with pytest.raises(InvalidArgumentError, match="reading"):
                create_mcp_server(served, reading="strict")

    asyncio.run(make())


# --- a real process


@pytest.fixture(scope="module")
def real_album(tmp_path_factory: pytest.TempPathFactory, album: Path) -> Path:
    index = tmp_path_factory.mktemp("real") / "index"
    with SearchEngine.open(index) as engine:
        engine.index(album / "photos")
    return index


@pytest.mark.integration
def test_over_standard_input_and_output(real_album: Path, album: Path) -> None:
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program = "from onnxsearch.cli import main; main()"
    command = ["-c", program, "mcp", str(real_album), "--allow", str(album / "photos")]
    parameters = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))

    async def talk() -> None:
        async with mcp.Client(stdio_client(parameters)) as client:
            stored = await client.call_tool("index_statistics", {})
            assert stored.structured_content["images"] == len(NAMES)
            assert stored.structured_content["models"][0]["takes_words"] is False
            found = await client.call_tool("search_by_image", {"path": "mug.png", "limit": 2})
            assert found.structured_content["hits"][0]["name"] == "mug.png"
            assert len(thumbnails_of(found)) == 2
            told = refusal(await client.call_tool("search_by_text", {"text": "a mug"}))
            assert "takes no text" in told
            assert "search_by_image" in told

    asyncio.run(talk())


@pytest.mark.integration
def test_standard_output_holds_the_protocol_only(real_album: Path) -> None:
    first = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    ended = subprocess.run(
        [sys.executable, "-c", "from onnxsearch.cli import main; main()", "mcp", str(real_album)],
        input=json.dumps(first) + "\nthis is no JSON\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines[0]["result"]["serverInfo"]["name"] == "onnxsearch"
    assert all(line["jsonrpc"] == "2.0" for line in lines)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.integration
def test_there_is_no_index(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from onnxsearch.cli import main; main()", "mcp"]
    ended = subprocess.run(
        [*command, str(tmp_path / "nothing")], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "there is no index" in ended.stderr
