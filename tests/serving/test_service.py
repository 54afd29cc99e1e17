"""The service answers as the engine does, and refuses what it cannot answer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from onnxsearch import (
    F,
    InMemoryMetadataStore,
    InMemoryVectorStore,
    InvalidArgumentError,
    Query,
    SearchEngine,
)
from onnxsearch.serving import ServiceLimits, create_app
from onnxsearch.serving.server import at_path
from onnxsearch.testing import (
    FakeEmbedder,
    Faults,
    FaultyMetadataStore,
    FaultyVectorStore,
    picture_bytes,
)
from tests.engine.mosaic import Mosaic, collage, patchwork
from tests.serving.conftest import TOKEN

QUERY = picture_bytes("query")


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def test_upload_finds_what_the_engine_finds(client: TestClient, engine: SearchEngine) -> None:
    answer = client.post("/api/search", files={"image": QUERY}, data={"top_k": "3"}).json()
    results = engine.search(QUERY, limit=3)
    assert ids(answer) == results.ids
    assert answer["model"] == "near"
    assert answer["metric"] == "l2"
    for shown, hit in zip(answer["hits"], results, strict=True):
        for name in ("distance", "score", "similarity", "metadata", "uri", "model"):
            assert shown[name] == getattr(hit, name)


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"model": "far"}, {"model": "far"}),
        ({"models": ["near", "far"], "fusion": "scores"}, {}),
        ({"filter": "legs == 4 and kind != 'dog'"}, {}),
        ({"exclude": ["cat.png", "owl"], "top_k": "1", "offset": "1"}, {}),
        ({"group_by": "legs", "group_size": "2"}, {}),
        ({"max_distance": "1.2"}, {}),
        ({"min_score": "0.4"}, {}),
        ({"diversity": "0.5"}, {}),
        ({"exclude_query": "true"}, {}),
        ({"keywords": "dog owl", "fusion": "scores"}, {}),
        ({"box": "0,0,2,3"}, {"box": (0, 0, 2, 3)}),
    ],
)
def test_fields_are_arguments_of_search(
    client: TestClient, engine: SearchEngine, fields: dict[str, Any], arguments: dict[str, Any]
) -> None:
    named: dict[str, Any] = {"limit": 10}
    for name, value in fields.items():
        match name:
            case "filter":
                named[name] = F.parse(value)
            case "top_k":
                named["limit"] = int(value)
            case "offset" | "group_size":
                named[name] = int(value)
            case "max_distance" | "min_score" | "diversity":
                named[name] = float(value)
            case "exclude_query":
                named[name] = True
            case "box":
                named |= arguments
            case _:
                named[name] = value
    answer = client.post("/api/search", files={"image": QUERY}, data=fields)
    assert ids(answer.json()) == engine.search(QUERY, **named).ids


def test_link_searches_by_ids(client: TestClient, engine: SearchEngine) -> None:
    answer = client.get("/api/search?id=cat.png&id=owl&top_k=2&unlike_id=fox.png").json()
    like = [Query.id("cat.png"), Query.id("owl")]
    query = Query.examples(like, [Query.id("fox.png")])
    assert ids(answer) == engine.search(query, limit=2).ids
    assert client.get(answer["hits"][0]["similar"]).status_code == 200


def test_a_part_of_a_stored_image_is_searched_for(client: TestClient, engine: SearchEngine) -> None:
    answer = client.get("/api/search?id=cat.png&box=0,0,3,2").json()
    assert ids(answer) == engine.search(Query.id("cat.png"), box=(0, 0, 3, 2)).ids
    refused = refusal(client.get("/api/search?id=owl&box=0,0,3,2"), 422)
    assert "was not stored from a file" in refused["detail"]


def test_regions_are_shown() -> None:
    with SearchEngine(Mosaic(), InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        engine.add(collage(1, 2, (32, 64)), id="collage")
        with TestClient(create_app(engine), base_url="http://localhost") as client:
            (model,) = client.get("/api/info").json()["models"]
            assert model["regions"] == "mosaic.regions"
            part = io.BytesIO()
            patchwork(2).save(part, "png")
            fields = {"model": model["regions"], "box": "0,0,96,96"}
            files = {"image": part.getvalue()}
            (hit,) = client.post("/api/search", files=files, data=fields).json()["hits"]
            assert hit["region"] == list(
                engine.search(patchwork(2), model=model["regions"])[0].region or ()
            )
            (hit,) = client.post("/api/search", files=files).json()["hits"]
            assert hit["region"] is None


def test_keywords_alone(client: TestClient, engine: SearchEngine) -> None:
    answer = client.get("/api/search?keywords=dog+owl").json()
    assert ids(answer) == engine.search(keywords="dog owl").ids
    assert len(answer["hits"]) == 2
    assert (answer["model"], answer["metric"]) == ("keywords", None)
    assert client.post("/api/search", data={"keywords": "dog"}).json()["hits"][0]["id"] == "dog.png"


def test_compare(client: TestClient, engine: SearchEngine) -> None:
    answer = client.post("/api/compare", files={"image": QUERY}, data={"top_k": "2"}).json()
    comparison = engine.compare(QUERY, limit=2)
    assert [(each["model"], ids(each)) for each in answer["models"]] == [
        (name, results.ids) for name, results in comparison.results.items()
    ]
    (agreement,) = answer["agreement"]
    assert agreement["overlap"] == comparison.overlap()
    assert agreement["kendall_tau"] == -1.0


def test_agreement_without_common_hits_has_no_order(client: TestClient) -> None:
    answer = client.post("/api/compare", files={"image": QUERY}, data={"top_k": "1"}).json()
    assert answer["agreement"][0]["kendall_tau"] is None


def test_records(client: TestClient, engine: SearchEngine) -> None:
    answer = client.get("/api/records?order_by=-id&limit=2&offset=1").json()
    assert answer["count"] == 4
    assert [record["id"] for record in answer["records"]] == ["fox.png", "dog.png"]
    record = answer["records"][0]
    assert client.get(record["record"]).json() == record
    assert record["metadata"] == {"kind": "fox", "legs": 4}
    assert record["paths"] == [record["uri"]]
    filtered = client.get("/api/records", params={"filter": "legs == 4", "limit": 1}).json()
    assert filtered["count"] == 3
    assert len(filtered["records"]) == 1
    assert client.get("/api/records?offset=99").json() == {"count": 4, "records": []}


def test_info(client: TestClient) -> None:
    info = client.get("/api/info").json()
    assert info["count"] == 4
    assert [(each["name"], each["default"]) for each in info["models"]] == [
        ("near", True),
        ("far", False),
    ]
    assert info["fields"]["legs"] == {"types": ["number"], "values": [4, 2]}
    assert info["limits"] == {"upload_bytes": 200_000, "images": 2, "top_k": 20}


def test_thumbnails_are_small_and_kept(client: TestClient) -> None:
    first = client.get("/api/thumbnails/cat.png?size=32")
    assert first.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(first.content)) as image:
        assert max(image.size) == 32
    again = client.get("/api/thumbnails/cat.png?size=32")
    assert again.content == first.content
    tag = {"If-None-Match": first.headers["etag"]}
    assert client.get("/api/thumbnails/cat.png?size=32", headers=tag).status_code == 304
    assert client.get("/api/thumbnails/cat.png?size=33", headers=tag).status_code == 200
    assert 'found="yes"} 1.0' in client.get("/metrics").text


def test_image_is_the_file(client: TestClient, engine: SearchEngine) -> None:
    record = engine.get("cat.png")
    assert record is not None
    assert record.file is not None
    answer = client.get("/api/images/cat.png")
    assert answer.content == Path(record.file).read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert "sandbox" in answer.headers["content-security-policy"]
    head = client.head("/api/images/cat.png")
    assert head.content == b""
    assert head.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("operation", ["thumbnails", "images", "records"])
def test_only_images_of_the_index_are_shown(
    client: TestClient, tmp_path: Path, operation: str
) -> None:
    outside = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(outside)
    for id in (str(outside), "../secret.png", "..", "/etc/passwd", "cat.png/../../x", "\0", "no"):
        answer = client.get(f"/api/{operation}/{quote(id, safe='')}")
        assert answer.status_code == 404, id


def test_image_without_a_file_has_no_thumbnail(client: TestClient) -> None:
    assert client.get("/api/records/owl").json()["thumbnail"] is None
    for operation in ("thumbnails", "images"):
        answer = client.get(f"/api/{operation}/owl")
        assert answer.status_code == 404
        assert "file of its own" in answer.json()["detail"]


def test_file_that_is_gone_or_replaced(tmp_path: Path) -> None:
    names = ["gone", "text", "folder"]
    with SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        for name in names:
            Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / f"{name}.png")
        engine.index(tmp_path, root=tmp_path)
        for name in names:
            (tmp_path / f"{name}.png").unlink()
        (tmp_path / "text.png").write_text("secret", encoding="utf-8")
        (tmp_path / "folder.png").mkdir()
        with TestClient(create_app(engine), base_url="http://localhost") as client:
            for name in names:
                for operation in ("thumbnails", "images"):
                    answer = client.get(f"/api/{operation}/{name}.png")
                    assert answer.status_code == 404
                    assert "secret" not in answer.text


def test_ids_that_are_not_valid_unicode() -> None:
    with SearchEngine(FakeEmbedder(), InMemoryVectorStore(), InMemoryMetadataStore()) as engine:
        strange = ["beach-\udce9.png", "a/b//c", "?&#%", "é ü", "\ud800"]
        for id in strange:
            engine.add(picture_bytes(repr(id)), id=id)
        with TestClient(create_app(engine), base_url="http://localhost") as client:
            records = client.get("/api/records").json()["records"]
            assert {record["id"] for record in records} == set(strange)
            for record in records:
                assert client.get(record["record"]).json() == record
                assert ids(client.get(record["similar"]).json())[0] == record["id"]


def test_duplicates(client: TestClient, engine: SearchEngine) -> None:
    answer = client.get("/api/duplicates?max_distance=2&limit=1").json()
    assert [member["id"] for member in answer["groups"][0]] == list(engine.duplicates(2)[0])
    assert answer["count"] == 1
    assert client.get("/api/duplicates").json()["groups"] == []


def refusal(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"top_k": "0"}, "top_k"),
        ({"top_k": "21"}, "top_k"),
        ({"top_k": "٣"}, "top_k"),
        ({"top_k": "1_0"}, "top_k"),
        ({"top_k": ["1", "2"]}, "top_k"),
        ({"offset": "-1"}, "offset"),
        ({"max_distance": "nan"}, "max_distance"),
        ({"max_distance": "1e999"}, "max_distance"),
        ({"diversity": "2"}, "diversity"),
        ({"exclude_query": "yes"}, "exclude_query"),
        ({"fusion": "rff"}, "fusion"),
        ({"limit": "3"}, None),
    ],
)
def test_bad_fields_are_refused_by_name(
    client: TestClient, fields: dict[str, Any], argument: str | None
) -> None:
    problem = refusal(client.post("/api/search", files={"image": QUERY}, data=fields), 400)
    assert problem.get("argument") == argument


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"filter": "price <"}, "filter"),
        ({"filter": ""}, "filter"),
        ({"keywords": "!"}, "keywords"),
        ({"group_size": "2"}, "group_size"),
        ({"model": "no such model"}, None),
        ({"text": "a cup"}, "model"),
        ({"id": "no such id"}, None),
        ({"models": ["near"], "max_distance": "1"}, None),
        ({"box": "1,2,3"}, "box"),
        ({"box": "٣,0,4,4"}, "box"),
        ({"box": "-1,0,4,4"}, "box"),
        ({"box": "4,0,2,2"}, "box"),
        ({"box": "0,0,9999,1"}, "box"),
        ({"box": "0,0,1,1", "id": "cat.png"}, "box"),
    ],
)
def test_fields_that_this_index_cannot_answer(
    client: TestClient, fields: dict[str, Any], argument: str | None
) -> None:
    problem = refusal(client.post("/api/search", files={"image": QUERY}, data=fields), 422)
    assert problem.get("argument") == argument


def test_queries_that_are_none(client: TestClient) -> None:
    assert refusal(client.get("/api/search"), 422)["argument"] == "image"
    refusal(client.post("/api/search", data={"unlike_id": "cat.png"}), 422)
    refusal(client.post("/api/search?top_k=3", files={"image": QUERY}), 400)
    refusal(client.post("/api/search", json={"text": "a cup"}), 415)
    refusal(client.get("/api/search?id=%ff"), 400)
    refusal(client.get("/api/records/%ff"), 400)


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        (b"", 422, "BrokenImageError"),
        (b"not an image", 415, "UnsupportedImageError"),
        (QUERY[:60], 422, "BrokenImageError"),
    ],
)
def test_uploads_that_are_no_images(
    client: TestClient, data: bytes, status: int, error: str
) -> None:
    answer = client.post("/api/search", files={"image": ("x.png", data)})
    assert refusal(answer, status)["error"] == error


def test_uploads_beyond_the_limits(client: TestClient) -> None:
    refusal(client.post("/api/search", files={"image": bytes(300_000)}), 413)
    refusal(client.post("/api/search", files=[("image", QUERY)] * 3), 400)
    parts = [("image", QUERY), ("picture", QUERY)]
    assert refusal(client.post("/api/search", files=parts), 400)["argument"] == "picture"


def multipart(body: bytes, content_type: str = "multipart/form-data; boundary=b") -> Any:
    return {"content": body, "headers": {"Content-Type": content_type}}


PART = b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\ncat.png\r\n'


@pytest.mark.parametrize(
    "request_",
    [
        multipart(PART),
        multipart(PART + b"--b"),
        multipart(PART + b"garbage"),
        multipart(b""),
        multipart(PART + b"--b--", "multipart/form-data"),
        multipart(b"--b\r\n\r\nx\r\n--b--"),
        multipart(b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
        multipart(PART.replace(b"cat", b"\xff") + b"--b--"),
        multipart(PART.replace(b"Content", b"X" * 100_000) + b"--b--"),
        multipart(PART * 1_001 + b"--b--"),
    ],
)  # fmt: skip
def test_damaged_forms(client: TestClient, request_: dict[str, Any]) -> None:
    refusal(client.post("/api/search", **request_), 400)


def test_whole_forms(client: TestClient) -> None:
    assert client.post("/api/search", **multipart(PART + b"--b--\r\n")).status_code == 200
    assert client.post("/api/search", data={"id": "cat.png"}).status_code == 200


def test_methods_and_paths(client: TestClient) -> None:
    answer = client.delete("/api/records/owl")
    refusal(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert client.options("/api/info").status_code == 204
    allowed = client.options("/api/search").headers["allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "POST"}
    assert client.head("/api/info").content == b""
    refusal(client.get("/no/such/path"), 404)
    refusal(client.get("/app.py"), 404)
    refusal(client.get("/..%2fapp.py"), 404)


def test_health_metrics_and_description(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}
    metrics = client.get("/metrics").text
    assert "onnxsearch_images 4.0" in metrics
    assert 'operation="ready",status="200"' in metrics
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/search", "/api/records/{id}", "/health"} <= set(document["paths"])


def test_answers_tell_browsers_to_be_careful(client: TestClient) -> None:
    for path in ("/health", "/api/info", "/no/such/path"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("192.168.1.7", 200),
        ("photos.example:8000", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ],
)
def test_host_names(engine: SearchEngine, host: str, status: int) -> None:
    app = create_app(engine, hosts=["photos.example"])
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/api/info", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/api/info", headers=headers).status_code == status


def test_token(engine: SearchEngine) -> None:
    with TestClient(create_app(engine, token=TOKEN), base_url="http://any.example") as client:
        for path in ("/api/info", "/api/thumbnails/cat.png", "/metrics", "/api/no"):
            answer = client.get(path)
            refusal(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer é"):
            headers = {"Authorization": wrong.encode()}
            assert client.get("/api/info", headers=headers).status_code == 401
        for right in (f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
            assert client.get("/api/info", headers={"Authorization": right}).status_code == 200
        for path in ("/health", "/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        security = client.get("/openapi.json").json()["paths"]["/api/info"]["get"]["security"]
        assert security == [{"token": []}]


@pytest.mark.parametrize("token", ["", "short", "with a blank in it", "ümläut-" * 4, 3])
def test_tokens_that_cannot_be_used(engine: SearchEngine, token: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^token") as refused:
        create_app(engine, token=token)
    assert token == 3 or "blank in it" not in str(refused.value)


def test_mounted_in_another_application(engine: SearchEngine) -> None:
    app = Starlette(routes=[Mount("/photos", create_app(engine, token=TOKEN))])
    with TestClient(app, base_url="http://localhost") as client:
        refusal(client.get("/photos/api/info"), 401)
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        record = client.get("/photos/api/records/cat.png").json()
        assert record["thumbnail"] == "/photos/api/thumbnails/cat.png"
        assert client.get(record["thumbnail"]).status_code == 200


def test_behind_a_proxy_that_shows_it_below_a_path(engine: SearchEngine) -> None:
    app = at_path(create_app(engine, token=TOKEN), "/photos/")
    with TestClient(app, base_url="http://localhost") as client:
        for path in ("/photos", ""):  # the proxy leaves the path, or removes it
            refusal(client.get(f"{path}/api/info", headers={"Authorization": ""}), 401)
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            record = client.get(f"{path}/api/records/cat.png").json()
            assert record["thumbnail"] == "/photos/api/thumbnails/cat.png"
        assert client.get(record["thumbnail"]).status_code == 200


def test_failing_stores_are_unavailable() -> None:
    faults = Faults()
    vectors = FaultyVectorStore(InMemoryVectorStore(), faults)
    records = FaultyMetadataStore(InMemoryMetadataStore(), faults)
    engine = SearchEngine(FakeEmbedder(), vectors, records)
    limits = ServiceLimits(answer_seconds=0.1)
    with TestClient(create_app(engine, limits=limits), base_url="http://localhost") as client:
        for path in ("/ready", "/metrics", "/api/records", "/api/search?id=x", "/api/images/x"):
            faults.fail(on="read")
            answer = client.get(path)
            assert faults.struck
            assert refusal(answer, 503)["error"] == "StoreUnavailableError"
            assert answer.headers["retry-after"]
        faults.hang(on="read", timeout=10)
        try:
            answer = client.get("/ready")
        finally:
            faults.release()
        refusal(answer, 429)
        assert answer.headers["retry-after"]
        assert client.get("/health").status_code == 200


def test_too_many_requests_at_once() -> None:
    faults = Faults()
    records = FaultyMetadataStore(InMemoryMetadataStore(), faults)
    engine = SearchEngine(FakeEmbedder(), InMemoryVectorStore(), records)
    app = create_app(engine, limits=ServiceLimits(requests=1))
    with TestClient(app, base_url="http://localhost") as client, ThreadPoolExecutor(1) as pool:
        faults.hang(on="read", timeout=60)
        first = pool.submit(client.get, "/api/records/x")
        try:
            assert faults.hanging.wait(60)
            second = client.get("/api/info")
            assert client.get("/health").status_code == 200
        finally:
            faults.release()
        refusal(second, 429)
        assert second.headers["retry-after"]
        assert first.result().status_code == 404
        assert client.get("/api/info").status_code == 200


def test_limits_are_checked() -> None:
    with pytest.raises(InvalidArgumentError, match="upload_bytes"):
        ServiceLimits(upload_bytes=0)
    with pytest.raises(InvalidArgumentError, match="stall_seconds"):
        ServiceLimits(stall_seconds=0)
