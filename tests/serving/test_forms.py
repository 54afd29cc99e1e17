"""Forms hold what was sent, however it arrives, and ids survive in URLs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from hypothesis import given, strategies as st
from starlette.requests import Request
from starlette.types import Message

from onnxsearch.serving.answers import Problem
from onnxsearch.serving.forms import Form, query_fields, read_form
from onnxsearch.serving.limits import ServiceLimits
from onnxsearch.serving.links import RECORDS, quoted_id, requested_id
from tests.serving.service_process import form

LIMITS = ServiceLimits(images=4)

# Also lone surrogates, of which names of files that are not valid Unicode consist.
anything = st.text(st.characters(exclude_categories=()), min_size=1)
fields = st.lists(st.tuples(st.sampled_from(["id", "text", "model"]), anything), max_size=5)
files = st.lists(st.tuples(st.just("image"), st.binary()), max_size=4)


def read(content_type: str, chunks: Iterator[bytes]) -> Form:
    """Return the form in a request whose body arrives in chunks."""

    async def receive() -> Message:
        chunk = next(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "headers": headers, "method": "POST"}, receive)
    return asyncio.run(read_form(request, ["image"], LIMITS))


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@given(fields, files, st.integers(1, 64))
def test_form_holds_what_was_sent(
    texts: list[tuple[str, str]], images: list[tuple[str, bytes]], size: int
) -> None:
    parts = [(name, text.encode("utf-8", "surrogatepass")) for name, text in texts]
    header, body = form([*parts, *((f"{name}.jpg", data) for name, data in images)])
    found = read(header.removeprefix("Content-Type: "), pieces(body, size))
    assert found.fields == texts
    assert [data for _, data in found.files] == [data for _, data in images]


@given(st.binary(max_size=300), st.integers(1, 64))
def test_any_bytes_are_a_form_or_refused(body: bytes, size: int) -> None:
    try:
        read("multipart/form-data; boundary=b", pieces(b"--b" + body, size))
    except Problem as problem:
        assert 400 <= problem.status < 500


@given(anything)
def test_ids_survive_in_paths_and_queries(id: str) -> None:
    path = f"/mounted{RECORDS}{quoted_id(id)}"
    request = Request({"type": "http", "headers": [], "raw_path": path.encode("ascii")})
    assert requested_id(request, RECORDS) == id
    assert query_fields(f"id={quoted_id(id)}".encode("ascii")) == [("id", id)]
