"""What the tools answer: values with a schema, and thumbnails of the images."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, Field, JsonValue

from onnxsearch.types import Hit, Record

_MOST_BYTES = 700_000
"""Characters of all thumbnails of an answer: some clients refuse answers of 1 MB."""
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")


class FoundImage(BaseModel):
    """A stored image."""

    id: str = Field(description="Its id, which other tools take.")
    name: str = Field(description="The name of its file.")
    path: str | None = Field(description="Its file or URL; null if it was stored without one.")
    metadata: dict[str, JsonValue] = Field(description="What the index says of it.")


class FoundHit(FoundImage):
    """A stored image that a search has found."""

    similarity: float | None = Field(
        description="Cosine of the angle to the query: 1 for the same image, near 0 for an "
        "unrelated one; null where the model's metric has none."
    )
    distance: float = Field(description="Distance to the query by the model's metric.")
    region: tuple[float, float, float, float] | None = Field(
        description="Where in the image the query was found: left, top, right and bottom, in "
        "fractions of its sides; null unless regions were searched."
    )


class SearchAnswer(BaseModel):
    """The hits of a search, the most similar one first."""

    model: str | None = Field(description="The model that was searched with.")
    hits: list[FoundHit]


class RecordsAnswer(BaseModel):
    """A page of the stored images."""

    records: list[FoundImage]
    more: bool = Field(description="Whether there are more, at a larger offset.")


class StoredModel(BaseModel):
    """A model of the index."""

    name: str
    takes_words: bool = Field(description="Whether search_by_text can use it.")
    is_default: bool
    regions: str | None = Field(
        description="The model that finds images in which a given image is a part; null if the "
        "index has none."
    )
    images: int = Field(description="Images that have a vector of it.")


class MetadataField(BaseModel):
    """A field that filters can name, as some of the images have it."""

    types: list[str]
    values: list[JsonValue] = Field(description="Some of its values.")


class StatisticsAnswer(BaseModel):
    """What the index holds."""

    images: int
    models: list[StoredModel]
    fields: dict[str, MetadataField]


class ShownImage(BaseModel):
    """The image that is shown."""

    image: FoundImage


def hit_answer(hit: Hit) -> FoundHit:
    """Return a hit as tools answer it."""
    image = _image(hit.id, hit.uri, hit.metadata)
    return FoundHit.model_validate(
        {
            **image,
            "similarity": hit.similarity,
            "distance": hit.distance,
            "region": hit.region,
        }
    )


def record_answer(record: Record) -> FoundImage:
    """Return a record as tools answer it."""
    return FoundImage.model_validate(_image(record.id, record.uri, record.metadata))


def sendable(text: str) -> str:
    r"""Return a text that JSON can carry: bytes of a file's name that are no text as `\udc..`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def original(text: str) -> str:
    """Return what `sendable` was given."""
    return _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)


def answer(
    values: BaseModel, images: Sequence[FoundImage], thumbnails: Mapping[str, str]
) -> CallToolResult:
    """Return an answer with a schema, and beside it the images in words and thumbnails.

    Args:
        values: What the schema describes.
        images: The images to show, in order.
        thumbnails: JPEGs in base64, by id. Those beyond a limit are left out, and the
            answer says so.
    """
    blocks: list[ContentBlock] = [TextContent(type="text", text=values.model_dump_json())]
    left, omitted = _MOST_BYTES, 0
    for number, image in enumerate(images, 1):
        data = thumbnails.get(image.id)
        if data is None:
            continue
        left -= len(data)
        if left < 0:
            omitted += 1
            continue
        blocks.append(TextContent(type="text", text=f"{number}. {image.id}"))
        blocks.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
    if omitted:
        text = f"{omitted} thumbnails are left out, because the answer would be too long"
        blocks.append(TextContent(type="text", text=text))
    return CallToolResult(content=blocks, structured_content=values.model_dump(mode="json"))


def _image(id: str, uri: str | None, metadata: Mapping[str, object]) -> dict[str, object]:
    return {
        "id": sendable(id),
        "name": sendable(os.path.basename(uri or id) or id),
        "path": None if uri is None else sendable(uri),
        "metadata": _sendable_value(metadata),
    }


def _sendable_value(value: object) -> object:
    match value:
        case str():
            return sendable(value)
        case Mapping():
            return {sendable(str(name)): _sendable_value(each) for name, each in value.items()}
        case list() | tuple():
            return [_sendable_value(each) for each in value]
        case _:
            return value
