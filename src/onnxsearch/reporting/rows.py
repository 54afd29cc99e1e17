"""Rows of cards: the input of every report, independent of search and comparison."""

from __future__ import annotations

from dataclasses import dataclass

from onnxsearch.types import ImageInput


@dataclass(frozen=True, slots=True)
class Card:
    """One image of a row."""

    key: str
    """Identifies the image: cards of one key, in different rows, show the same image."""
    rank: int
    """Its rank in the row, from 1 on."""
    distance: float
    name: str
    """A short name, such as that of a file without its folders."""
    path: str | None
    """The image file; None if there is none."""

    @property
    def title(self) -> str:
        """The full name: the path, or without one the key."""
        return self.path or self.key


@dataclass(frozen=True, slots=True)
class Row:
    """One ranking."""

    title: str
    """What ranked the images: the name of a model."""
    measure: str
    """How the distances are measured."""
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """The rows that belong to one query."""

    name: str
    """What the report calls the query."""
    image: ImageInput | None
    """The query, if it is an image."""
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of a group."""

    name: str
    """A short name, such as that of a file without its folders."""
    title: str
    """The full name: the path, or without one the id."""
    note: str
    """What else is said of it, in a few words."""
    path: str | None
    """The image file; None if there is none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Images that belong together."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of texts, above the rows."""

    caption: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    """The cells of each line; the first one is its heading."""
