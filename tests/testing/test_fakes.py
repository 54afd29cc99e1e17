"""The fakes follow their arguments, and refuse arguments that cannot be met."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from onnxsearch import BrokenImageError, EmbeddingError, InvalidArgumentError, UnsupportedImageError
from onnxsearch.testing import (
    EmbedderContract,
    FakeEmbedder,
    picture,
    picture_bytes,
    write_pictures,
)


class TestFakeEmbedder(EmbedderContract):
    tolerance = 0.0

    def make_embedder(self) -> FakeEmbedder:
        return FakeEmbedder(rankings={"query": ["cat", "dog"]})


def distances(fake: FakeEmbedder, query: str, names: list[str]) -> list[float]:
    vectors = fake.embed([picture(query), *map(picture, names)])
    return np.linalg.norm(vectors[1:] - vectors[0], axis=1).tolist()


def test_finds_what_the_ranking_says() -> None:
    fake = FakeEmbedder(rankings={"query": ["cat", "dog"], "other": ["dog"]})
    names = ["cat", "dog", "other", "fox", "owl"]
    cat, dog, *rest = distances(fake, "query", names)
    assert 0 < cat < dog < min(rest)
    dog, *rest = distances(fake, "other", ["dog", "cat", "query", "fox", "owl"])
    assert 0 < dog < min(rest)


NAMES = list("abcdef")
rankings_strategy = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True), max_size=4
)


@given(rankings=rankings_strategy)
def test_obeys_every_ranking_or_refuses_them(rankings: dict[str, list[str]]) -> None:
    try:
        fake = FakeEmbedder(rankings=rankings)
    except InvalidArgumentError:
        assert any(query in found for query, found in rankings.items()) or contradict(rankings)
        return
    for query, found in rankings.items():
        rest = [name for name in [*NAMES, "x", "y"] if name not in {query, *found}]
        ranked = distances(fake, query, [*found, *rest])
        ordered = [0.0, *ranked[: len(found)], min(ranked[len(found) :])]
        assert all(nearer < further for nearer, further in itertools.pairwise(ordered))


def contradict(rankings: dict[str, list[str]]) -> bool:
    """Whether the wanted order of pairs has a circle, by plain transitive closure."""
    nearer = set[tuple[frozenset[str], frozenset[str]]]()
    for query, found in rankings.items():
        others = [name for name in NAMES if name not in {query, *found}]
        for place, name in enumerate(found):
            for further in (*found[place + 1 :], *others):
                nearer.add((frozenset({query, name}), frozenset({query, further})))
    for _ in range(8):
        nearer |= {(a, d) for a, b in nearer for c, d in nearer if b == c}
    return any(a == b for a, b in nearer)


def test_tells_long_rankings_apart() -> None:
    names = [f"image {number}" for number in range(100)]
    fake = FakeEmbedder(dimension=128, rankings={"query": names})
    ranked = distances(fake, "query", [*names, "fox"])
    assert all(nearer < further for nearer, further in itertools.pairwise(ranked))


@pytest.mark.parametrize(
    ("rankings", "says"),
    [
        ({"a": ["b", "c"], "b": ["c", "a"], "c": ["a", "b"]}, "contradict"),
        ({"a": ["a"]}, "other names"),
        ({"a": ["b", "b"]}, "each once"),
        ({"a": "bc"}, "a list"),
        ({"a": list("bcdefghijklmnop")}, "at least 18"),
        ({"a": [str(number) for number in range(500)]}, "float32"),
    ],
)
def test_refuses_impossible_rankings(rankings: dict[str, list[str]], says: str) -> None:
    dimension = 600 if says == "float32" else 16
    with pytest.raises(InvalidArgumentError, match=says):
        FakeEmbedder(dimension=dimension, rankings=rankings)


def test_records_its_calls() -> None:
    fake = FakeEmbedder(rankings={"cat": ["dog"], "fox": []})
    assert fake.calls.prepared == fake.calls.batches == ()
    fake.embed([picture(name) for name in ["cat", "dog", "fox"]], batch_size=2)
    assert fake.calls.prepared == ("cat", "dog", "fox")
    assert fake.calls.batches == (2, 1)
    fake.embed(picture("stranger"))
    assert len(fake.calls.prepared[-1]) == 64


def test_records_calls_of_threads() -> None:
    fake = FakeEmbedder(rankings={"cat": []})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fake.embed(picture("cat")), range(200)))
    assert fake.calls.prepared == ("cat",) * 200
    assert fake.calls.batches == (1,) * 200


def test_fails_where_it_is_told() -> None:
    fake = FakeEmbedder(failures={"cat": BrokenImageError("the cat is torn")})
    with pytest.raises(BrokenImageError, match="the cat is torn"):
        fake.embed([picture("dog"), picture_bytes("cat")])
    assert fake.embed(picture("dog")).shape == (1, 16)
    assert fake.calls.prepared[1] == "cat"


def test_refuses_what_prepare_did_not_make() -> None:
    with pytest.raises(EmbeddingError, match="what prepare"):
        FakeEmbedder().run(np.zeros((1, 3, 224, 224), np.float32))


def test_differs_from_other_fakes() -> None:
    fakes = [
        FakeEmbedder(),
        FakeEmbedder("other"),
        FakeEmbedder(dimension=17),
        FakeEmbedder(rankings={"cat": ["dog"]}),
    ]
    assert len({fake.fingerprint for fake in fakes}) == len(fakes)
    one, other = fakes[0].embed(picture("cat")), fakes[1].embed(picture("cat"))
    assert not np.allclose(one, other)


def test_is_the_same_in_every_process() -> None:
    code = (
        "from onnxsearch.testing import FakeEmbedder, picture;"
        "fake = FakeEmbedder(rankings={'cat': ['dog']});"
        "vectors = fake.embed([picture('cat'), picture('fox')]);"
        "print(fake.fingerprint, vectors.tobytes().hex())"
    )
    runs = [
        subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]


def test_needs_no_pytest() -> None:
    code = (
        "import sys, onnxsearch; from onnxsearch.testing import FakeEmbedder;"
        "FakeEmbedder(); sys.exit('pytest' in sys.modules or 'onnxruntime' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pictures_survive_png(tmp_path: Path) -> None:
    paths = write_pictures(tmp_path, iter(["cat", "pets/dog", "a.b"]))
    assert paths == [tmp_path / "cat.png", tmp_path / "pets" / "dog.png", tmp_path / "a.b.png"]
    fake = FakeEmbedder(rankings={"cat": [], "pets/dog": [], "a.b": []})
    fake.embed(paths)
    assert fake.calls.prepared == ("cat", "pets/dog", "a.b")
    with Image.open(io.BytesIO(picture_bytes("cat"))) as image:
        assert image.tobytes() == picture("cat").tobytes()
        assert image.size == (32, 32)


def test_is_no_picture() -> None:
    with pytest.raises(UnsupportedImageError):
        FakeEmbedder().prepare(b"not a picture")
