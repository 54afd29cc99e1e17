"""Files and folders that a walk leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnxsearch._internal.validation import boolean, items, text
from onnxsearch.errors import InvalidArgumentError, MissingExtraError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_FOLDERS = """
@eadir @recently-snapshot @recycle @sharebin @tmp #recycle #snapshot .@__thumb .appledb
.appledesktop .appledouble .documentrevisions-v100 .fseventsd .spotlight-v100 .temporaryitems
.thumbnails $recycle.bin __macosx lost+found
"""
_SYSTEM_FOLDERS = frozenset(
    [*_FOLDERS.split(), "network trash folder", "system volume information", "temporary items"]
)
"""Folders of file systems, NAS devices and operating systems, in lower case."""

_SYSTEM_FILES = frozenset(
    ["thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", ".ds_store", "icon\r"]
)
_SYSTEM_PREFIXES = ("._", ".trash")
"""AppleDouble files, and the trash of Linux and macOS."""


class Exclusion:
    """Decides which entries of a folder are skipped, and why.

    Args:
        patterns: Patterns as in a `.gitignore` file, relative to the folder.
        include_hidden: Keep entries whose name begins with a dot.

    Raises:
        InvalidArgumentError: A pattern is not valid.
        MissingExtraError: There are patterns, and the package that reads them is missing.
    """

    def __init__(self, patterns: Iterable[str] = (), *, include_hidden: bool = False) -> None:
        self._spec = _spec(patterns)
        self._include_hidden = boolean("include_hidden", include_hidden)

    def reason(self, relative: str, *, is_folder: bool) -> str | None:
        """Return why an entry is skipped; None if it is not.

        Args:
            relative: Path below the folder, with `/` between names.
            is_folder: Whether the entry is a folder.
        """
        name = relative.rpartition("/")[2].lower()
        system = _SYSTEM_FOLDERS if is_folder else _SYSTEM_FILES
        if name in system or name.startswith(_SYSTEM_PREFIXES):
            return f"a {'folder' if is_folder else 'file'} of the system"
        if name.startswith(".") and not self._include_hidden:
            return f"a hidden {'folder' if is_folder else 'file'}; include_hidden=True keeps it"
        return self.pattern_reason(relative, is_folder=is_folder)

    def pattern_reason(self, relative: str, *, is_folder: bool = False) -> str | None:
        """Return why a pattern skips an entry; None if no pattern does."""
        path = f"{relative}/" if is_folder else relative
        if self._spec is not None and self._spec.match_file(path):
            return "excluded by a pattern"
        return None


def _spec(patterns: Iterable[str]) -> GitIgnoreSpec | None:
    expected = "a list of patterns, such as ['*.gif', 'raw/']"
    lines = [text("exclude", line, expected) for line in items("exclude", patterns, expected)]
    if not lines:
        return None
    try:
        import pathspec
    except ImportError as error:
        raise MissingExtraError.for_package("pathspec", extra="patterns") from error
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InvalidArgumentError(f"exclude {patterns!r:.80}: {error}") from error
