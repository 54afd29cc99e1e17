"""Tests of the library: what it does with what the engine finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsearch import SearchEngine
from onnxsearch.testing import picture, write_pictures
from photo_search.library import PhotoLibrary, UnknownPhotoError, UnreadablePhotoError


def test_imports_a_folder(engine: SearchEngine, folder: Path) -> None:
    result = PhotoLibrary(engine).import_folder(folder)
    assert (result.new, result.known) == (4, 0)
    assert result.refused == {str(folder / "party" / "damaged.png"): "the file ends early"}


def test_folders_are_albums(library: PhotoLibrary) -> None:
    assert [photo.id for photo in library.photos(album="trip")] == [
        "trip/beach.png",
        "trip/forest.png",
        "trip/sea.png",
    ]


def test_a_second_import_keeps_tags(library: PhotoLibrary, folder: Path) -> None:
    library.tag("trip/sea.png", ["water"])
    write_pictures(folder, ["trip/boat"])
    result = library.import_folder(folder)
    assert (result.new, result.known) == (1, 4)
    assert [photo.id for photo in library.photos(tag="water")] == ["trip/sea.png"]


def test_more_like_leaves_out_the_photo_itself(library: PhotoLibrary) -> None:
    found = library.more_like("trip/beach.png", limit=2)
    assert [photo.id for photo in found] == ["trip/sea.png", "trip/forest.png"]


def test_similar_to_an_upload(library: PhotoLibrary) -> None:
    assert library.similar(picture("upload"), limit=1)[0].id == "party/cake.png"


def test_similar_in_an_album(library: PhotoLibrary) -> None:
    found = library.similar(picture("upload"), album="trip")
    assert {photo.album for photo in found} == {"trip"}


def test_suggests_the_tags_of_the_most_similar_photos(library: PhotoLibrary) -> None:
    library.tag("trip/sea.png", ["water", "holiday"])
    library.tag("trip/forest.png", ["trees", "holiday"])
    library.tag("party/cake.png", ["birthday"])
    assert library.suggest_tags("trip/beach.png") == ["holiday", "water", "trees"]


def test_suggests_no_tag_that_the_photo_has(library: PhotoLibrary) -> None:
    library.tag("trip/sea.png", ["water", "holiday"])
    library.tag("trip/beach.png", ["holiday"])
    assert library.suggest_tags("trip/beach.png") == ["water"]


def test_unknown_photos(library: PhotoLibrary) -> None:
    for ask in (library.more_like, library.suggest_tags, lambda id: library.tag(id, [])):
        with pytest.raises(UnknownPhotoError, match=r"no photo 'lost\.png'"):
            ask("lost.png")


def test_unreadable_photos(library: PhotoLibrary) -> None:
    with pytest.raises(UnreadablePhotoError):
        library.similar(b"no photo")
