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
    value: float
    """Its distance from the query; or its score, where no metric measures distances."""
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
    """How the values are measured."""
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
class Fact:
    """Something that is said of an image."""

    name: str
    value: str
    is_best: bool
    """Whether no other image of the group has more of it, and some have less."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One image of a group."""

    key: str
    """Identifies the image: its id."""
    path: str | None
    """The image file; None if there is none."""
    name: str
    """A short name, such as that of a file without its folders."""
    facts: tuple[Fact, ...]
    size: int | None
    """Bytes of the file."""
    thumbnail: bytes | None
    """A JPEG; None if there is nothing to show."""

    @property
    def title(self) -> str:
        """The full name: the path, or without one the key."""
        return self.path or self.key


@dataclass(frozen=True, slots=True)
class Group:
    """Images that belong together."""

    number: int
    """From 1 on."""
    tiles: tuple[Tile, ...]
    keep: int | None
    """The place of the image that should be kept; None without a suggestion."""
    reason: str
    """Why it should be kept, or why there is no suggestion."""
    hidden: int
    """Images of the group that are not shown."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of texts, above the rows."""

    caption: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    """The cells of each line; the first one is its heading."""
