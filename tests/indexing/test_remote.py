"""Images at URLs: what is requested, and under which names they are stored."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import fsspec
import pytest

from onnxsearch import InvalidArgumentError, Item, MissingExtraError, Remote, RemotePolicy
from onnxsearch.indexing.sources.urls import public_url
from tests.indexing.reading import errors, jpeg, results
from tests.indexing.web import Web, serving

IMAGE = jpeg()
HERE = RemotePolicy(allow_private=True, timeout=10)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


def content(entry: object) -> object:
    assert isinstance(entry, Item)
    assert callable(entry.image)
    return entry.image()


def test_an_image_is_downloaded_when_it_is_needed(web: Web) -> None:
    url = web.serve("/cat.jpg", IMAGE)
    (item,) = Remote(url, HERE)
    assert web.asked == []
    assert content(item) == IMAGE
    assert isinstance(item, Item)
    assert (item.id, item.uri, item.metadata) == (None, url, None)
    ((path, headers),) = web.asked
    assert path == "/cat.jpg"
    assert "Cookie" not in headers
    assert headers["Accept-Encoding"] == "identity"


def test_urls_may_be_the_lines_of_a_file(web: Web) -> None:
    url = web.serve("/a.jpg", IMAGE)
    assert results(Remote(iter([f"{url}?n=1\n", "\n", f" {url}?n=2\r\n"]), HERE)) == {
        f"{url}?n=1": "image",
        f"{url}?n=2": "image",
    }


def test_connections_are_shared(web: Web) -> None:
    urls = [web.serve(f"/{n}.jpg", jpeg(size=(n + 1, 2))) for n in range(30)]
    items = list(Remote(urls, HERE))
    with ThreadPoolExecutor(3) as pool:
        read = list(pool.map(content, items))
    assert read == [jpeg(size=(n + 1, 2)) for n in range(30)]
    assert web.connections <= 3


def test_credentials_go_to_their_host_and_into_no_id(web: Web) -> None:
    place = web.serve("/a.jpg", IMAGE).removeprefix("http://")
    (item,) = Remote(f"http://me:pass%20word@{place}?size=2&token=hunter2#top", HERE)
    assert content(item) == IMAGE
    assert isinstance(item, Item)
    assert item.uri == f"http://{place}?size=2"
    ((path, headers),) = web.asked
    assert path == "/a.jpg?size=2&token=hunter2"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:pass word").decode()


def test_credentials_do_not_follow_a_redirect_to_another_host(web: Web) -> None:
    with serving() as other:
        target = other.serve("/a.jpg", IMAGE)
        url = web.serve("/moved", b"", 302, Location=target)
        assert list(results(Remote(url.replace("//", "//me:hunter2@"), HERE)).values()) == ["image"]
        assert "Authorization" in web.asked[0][1]
        assert "Authorization" not in other.asked[0][1]


def test_redirects_are_followed_from_where_they_are(web: Web) -> None:
    web.serve("/b/cat.jpg", IMAGE)
    url = web.serve("/b/dog.jpg", b"", 308, Location="cat.jpg")
    assert results(Remote(url, HERE)) == {url: "image"}


def test_a_busy_server_is_asked_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxsearch.indexing.sources.downloads._PAUSES", (0.01, 0.02))
    answers = [429, 503, 200]

    def busy(request: BaseHTTPRequestHandler) -> None:
        status = answers.pop(0)
        request.send_response(status)
        if status == 429:
            request.send_header("Retry-After", "0")
        request.send_header("Content-Length", str(len(IMAGE)))
        request.end_headers()
        request.wfile.write(IMAGE)

    url = web.behave("/a.jpg", busy)
    assert results(Remote(url, HERE)) == {url: "image"}
    assert answers == []


def test_a_server_may_compress_unasked(web: Web) -> None:
    for number, level in enumerate((0, 9)):
        data = gzip.compress(IMAGE + bytes(500_000), level)
        url = web.serve(f"/{number}.jpg", data, Content_Encoding="gzip")
        (item,) = Remote(url, HERE)
        assert content(item) == IMAGE + bytes(500_000)


def test_proxies_of_the_environment_are_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    url = web.serve("/a.jpg", IMAGE)
    assert results(Remote(url, HERE)) == {url: "image"}


def test_file_systems_are_read_by_their_protocols() -> None:
    fsspec.filesystem("memory").pipe("/shelf/cat.jpg", IMAGE)
    policy = RemotePolicy(protocols=["memory"], max_bytes=len(IMAGE))
    urls = [f"memory://shelf/{name}.jpg" for name in ("cat", "dog")]
    assert results(Remote(urls, policy)) == {urls[0]: "image", urls[1]: "missing"}
    small = RemotePolicy(protocols=["memory"], max_bytes=100)
    assert results(Remote(urls[0], small)) == {urls[0]: "too_large"}
    assert "allowed are http, https: add it to `protocols`" in errors(Remote(urls[0]))


def test_protocols_are_checked_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match="protocol of fsspec"):
        Remote([], RemotePolicy(protocols=["nonsense"], allow_private=True))
    with pytest.raises(InvalidArgumentError, match="whose hosts cannot be checked"):
        RemotePolicy(protocols=["sftp"])
    with pytest.raises(InvalidArgumentError, match="given by their paths"):
        RemotePolicy(protocols=["file"])
    with pytest.raises(MissingExtraError, match="oci"):
        Remote([], RemotePolicy(protocols=["oci"]))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/a.jpg", "https://h/a.jpg"),
        ("https://u:p@h:8/a b.jpg?x=1&y=#f", "https://h:8/a b.jpg?x=1&y="),
        ("https://u:p@ss@h/a", "https://h/a"),
        ("s3://bucket/a.jpg", "s3://bucket/a.jpg"),
        ("https://h/a?X-Amz-Signature=s&X-Amz-Credential=c&versionId=3", "https://h/a?versionId=3"),
        ("https://h/a?sv=1&sig=s&se=e&id=4", "https://h/a?id=4"),
        ("https://h/a?Signature=s&Key-Pair-Id=k&Expires=5", "https://h/a"),
        ("https://h/a?access_token=s&api_key=k&apikey=k&auth=a", "https://h/a"),
        ("https://u:p@[h/a?token=s", "https://[h/a"),
    ],
)
def test_a_url_is_shown_without_what_gives_access(url: str, shown: str) -> None:
    assert public_url(url) == shown
