"""The body of a request: fields and files, read within the limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from onnxsearch.serving.answers import Problem, bad_request
from onnxsearch.serving.limits import ServiceLimits

if TYPE_CHECKING:
    from collections.abc import Collection

    from python_multipart.multipart import MultipartCallbacks

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"

MOST_FIELDS = 1_000
"""Fields of a form or a query string, such as ids to leave out."""
_FIELD_BYTES = 2**19
"""Bytes of a field that is no file."""


@dataclass(slots=True)
class Form:
    """What a form holds, in the order of the request."""

    fields: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    files: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])


async def read_form(request: Request, files: Collection[str], limits: ServiceLimits) -> Form:
    """Return the form in the body of a request.

    Args:
        request: The request.
        files: Names of the fields that are files.
        limits: How many files the form may hold. The size of the body is limited elsewhere.

    Raises:
        Problem: The body is of another type, is damaged, or holds too much.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == MULTIPART.encode():
        reader = _MultipartReader(options.get(b"boundary", b""), files, limits)
        async for chunk in request.stream():
            reader.feed(chunk)
        return reader.end()
    if kind == URLENCODED.encode():
        return Form(fields=query_fields(await request.body()))
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"a body of type {kind.decode('latin-1')!r:.80}: expected {MULTIPART}, as in "
        "`curl -F image=@photo.jpg`",
        headers={"Accept-Post": f"{MULTIPART}, {URLENCODED}"},
    )


def query_fields(query: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a query string.

    Raises:
        Problem: It is not in UTF-8, or has too many fields.
    """
    try:
        # Names of files that are not valid Unicode are ids too.
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="surrogatepass",
            max_num_fields=MOST_FIELDS,
        )
    except UnicodeDecodeError as error:
        raise bad_request("a query that is not percent-encoded UTF-8") from error
    except ValueError as error:
        raise bad_request(f"more than {MOST_FIELDS} fields in a query") from error


class _MultipartReader:
    """Reads multipart/form-data (RFC 7578) as it arrives."""

    def __init__(self, boundary: bytes, files: Collection[str], limits: ServiceLimits) -> None:
        self._files, self._limits, self._form = files, limits, Form()
        self._header, self._headers = (bytearray(), bytearray()), dict[bytes, bytes]()
        self._name, self._is_file, self._data = "", False, bytearray()
        self._ended = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_data,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        if not boundary:
            raise bad_request("a multipart body without a boundary in its Content-Type")
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _damaged(error) from error

    def feed(self, chunk: bytes) -> None:
        """Read some more bytes."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _damaged(error) from error

    def end(self) -> Form:
        """Return the form, which must be complete."""
        if not self._ended:
            raise bad_request("a multipart body that is cut short: its last boundary is missing")
        return self._form

    def _begin_part(self) -> None:
        if len(self._form.fields) + len(self._form.files) >= MOST_FIELDS:
            raise bad_request(f"more than {MOST_FIELDS} parts in a multipart body")
        self._headers, self._data = {}, bytearray()

    def _end_header(self) -> None:
        name, value = map(bytes, self._header)
        self._headers[name.lower()] = value
        self._header = bytearray(), bytearray()

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._name = _decoded(options.get(b"name", b""))
        if not self._name:
            raise bad_request("a part of a multipart body without a name")
        self._is_file = self._name in self._files
        if b"filename" in options and not self._is_file:
            expected = " or ".join(self._files) or "no files"
            raise bad_request(f"a file named {self._name!r:.80}: expected {expected}", self._name)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if not self._is_file and len(self._data) > _FIELD_BYTES:
            raise bad_request(
                f"{self._name:.80} has more than {_FIELD_BYTES:,} bytes: expected less, or a file "
                f"named {' or '.join(self._files)}",
                self._name,
            )

    def _end_part(self) -> None:
        if not self._is_file:
            self._form.fields.append((self._name, _decoded(self._data)))
        else:
            self._form.files.append((self._name, bytes(self._data)))
            if [name for name, _ in self._form.files].count(self._name) > self._limits.images:
                raise bad_request(
                    f"more than {self._limits.images} images: send fewer at once", self._name
                )
        self._data = bytearray()

    def _end(self) -> None:
        self._ended = True


def _decoded(data: bytes | bytearray) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise bad_request("a field of a multipart body that is not in UTF-8") from error


def _damaged(error: FormParserError) -> Problem:
    return bad_request(f"the multipart body is damaged: {str(error) or 'it cannot be read'}")
