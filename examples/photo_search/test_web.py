"""Tests of the library over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from onnxsearch.testing import picture_bytes
from photo_search.library import PhotoLibrary
from photo_search.web import create_app


@pytest.fixture
def client(library: PhotoLibrary) -> Iterator[TestClient]:
    with TestClient(create_app(library)) as client:
        yield client


def test_lists_an_album(client: TestClient) -> None:
    answer = client.get("/photos", params={"album": "party"})
    assert answer.json() == [
        {"id": "party/cake.png", "album": "party", "tags": [], "likeness": None}
    ]


def test_finds_what_looks_like_an_upload(client: TestClient) -> None:
    answer = client.post("/similar", files={"photo": picture_bytes("upload")})
    assert answer.json()[0]["id"] == "party/cake.png"


def test_finds_more(client: TestClient) -> None:
    assert client.get("/more-like/trip/beach.png").json()[0]["id"] == "trip/sea.png"


def test_suggests_tags(client: TestClient, library: PhotoLibrary) -> None:
    library.tag("trip/sea.png", ["water"])
    assert client.get("/suggested-tags/trip/beach.png").json() == ["water"]


def test_refuses(client: TestClient) -> None:
    assert client.get("/more-like/lost.png").status_code == 404
    assert client.post("/similar", files={"photo": b"no photo"}).status_code == 422
    assert client.post("/similar", data={"album": "trip"}).status_code == 400
