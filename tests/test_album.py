"""The album is small, its sources are told, and searching it makes sense."""

from __future__ import annotations

import re

import numpy as np
import pytest

from onnxsearch import OnnxEmbedder
from onnxsearch.embedders.bundled import bundled_models


def test_it_is_small(album):
    photos = sorted(album.rglob("*.jpg"))
    assert len(photos) == 42
    assert max(photo.stat().st_size for photo in photos) <= 150_000
    assert sum(photo.stat().st_size for photo in photos) <= 3_000_000


def test_nothing_but_photographs_is_in_it(album):
    files = [path for path in album.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".jpg"}


def test_every_file_has_its_source_and_no_other_is_listed(album):
    examples = album.parent
    listed = re.findall(
        r"^- `(.+?)`:", (examples / "SOURCES.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    present = [
        path.relative_to(examples).as_posix()
        for folder in ("album", "queries")
        for path in (examples / folder).rglob("*.jpg")
    ]
    assert sorted(listed) == sorted(present)


@pytest.mark.parametrize("model", bundled_models())
def test_each_query_finds_all_views_of_its_object_first(album, model):
    embedder = OnnxEmbedder.bundled(model)
    photos = sorted(album.rglob("*.jpg"))
    queries = sorted((album.parent / "queries").glob("*.jpg"))
    likeness = embedder.embed(queries) @ embedder.embed(photos).T
    found = {
        query.stem: {photos[index].parent.name for index in ranking[:3]}
        for query, ranking in zip(queries, np.argsort(-likeness), strict=True)
    }
    assert found == {query.stem: {query.stem} for query in queries}
