"""One index of words in a Redis server.

In the names below, `|` is a character that no name of a table has:

    {prefix}:table                       the table: a hash of values
    {prefix}:table|words                 its indexes: a hash from digests of readers' names to the
                                         order in which they were made, and a `sequence` of numbers
    {prefix}:table|words|DIGEST          an index: a hash of
        version                              another number after each change
        documents, length, next              see `Totals`
        completion                           its version when every value had been noted
        key KEY                              the document of a value
        name NUMBER                          the key of a document
        word WORD CHUNK                      the postings of a word
    {prefix}:table|words|DIGEST|changes  the keys whose words are to be read, by when they changed

Every change is one script, which does nothing if the index is not as it was when it was read. So no
crash leaves half of a change, and processes need not know of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple, cast

from onnxsearch._internal.threads import batched
from onnxsearch.errors import StoreCorruptError
from onnxsearch.metadata.capabilities import RankedKey
from onnxsearch.metadata.redis import scripts
from onnxsearch.metadata.redis.connection import Client
from onnxsearch.metadata.redis.words.check import stale_keys
from onnxsearch.metadata.redis.words.edit import (
    WordEdit,
    document_field,
    key_field,
    postings_field,
)
from onnxsearch.metadata.redis.words.postings import (
    Totals,
    best_documents,
    decoded_document,
    decoded_postings,
    decoded_totals,
)

_SEPARATOR = "\x1f"
_COMPLETION = "completion"
_SCAN_COUNT = 1000


def words_of(table: str) -> str:
    """Return the name of the hash that names the indexes of a table."""
    return f"{table}{_SEPARATOR}words"


def digests_of(client: Client, table: str) -> list[str]:
    """Return the digests of the indexes of a table."""
    names = cast("list[bytes]", client.hkeys(words_of(table)))
    return sorted(_text(name) for name in names if name != b"sequence")


class NotedKey(NamedTuple):
    """A key whose value has changed since its words were read."""

    key: str
    number: int
    """A later change has a greater one."""


class _State(NamedTuple):
    version: bytes
    totals: Totals


class WordHash:
    """An index of words, which may not exist yet.

    Args:
        client: Reaches the server.
        table: The name of the hash of values.
        digest: Stands for the reader of the words.
    """

    def __init__(self, client: Client, table: str, digest: str) -> None:
        self.table = table
        self._client = client
        self._digest = digest
        self._indexes = words_of(table)
        self._name = f"{self._indexes}{_SEPARATOR}{digest}"
        self._changes = f"{self._name}{_SEPARATOR}changes"

    def create(self, most: int) -> None:
        """Create the index if it does not exist; of more than `most`, delete the oldest."""
        self._run(scripts.CREATE, most)

    def drop(self) -> None:
        """Delete the index."""
        self._run(scripts.DROP)

    def note(self, keys: Sequence[str]) -> None:
        """Have the words of these values read, if the index exists."""
        self._run(scripts.NOTE, *keys)

    def complete(self) -> bytes | None:
        """Remember that every value has been noted; return what `completion` returns then."""
        while (edit := self.edit()) is not None:
            edit.fields[_COMPLETION] = edit.version
            if self.write(edit):
                return edit.version
        return None

    def completion(self) -> bytes | None:
        """Return what tells this index from one that is made later; None until it is complete."""
        # A server that evicts keys may have forgotten the indexes, and then nobody notes changes.
        if not self._client.hexists(self._indexes, self._digest):
            return None
        return cast("bytes | None", self._client.hget(self._name, _COMPLETION))

    def has_changes(self) -> bool:
        """Return whether the words of some values have not been read."""
        return bool(self._client.exists(self._changes))

    def drop_sparse(self) -> bool:
        """Delete the index if most numbers of documents are out of use; return whether it was.

        The words of all values are cheaper to read anew than to be carried along.
        """
        state = self._state()
        is_sparse = state is not None and state.totals.is_sparse
        if is_sparse:
            self.drop()
        return is_sparse

    def last_change(self) -> int:
        """Return the number of the latest change; 0 if there is none."""
        latest = self._changed(-1, -1)
        return latest[0].number if latest else 0

    def changes(self, most: int) -> list[NotedKey]:
        """Return the earliest changes, in order; all if `most` is 0."""
        return self._changed(0, most - 1)

    def values(self, changes: Sequence[NotedKey]) -> list[bytes | None]:
        """Return the values of keys that have changed."""
        return self._hmget(self.table, [change.key for change in changes])

    def edit(self, changes: Sequence[NotedKey] = ()) -> WordEdit | None:
        """Return an edit of the words of keys that have changed; None without an index.

        Raises:
            StoreCorruptError: The index is damaged.
        """
        state = self._state()
        if state is None:
            return None
        fields = [document_field(change.key) for change in changes]
        stored = zip(changes, self._hmget(self._name, fields), strict=True)
        with self._undamaged():
            documents = {c.key: decoded_document(data) for c, data in stored if data is not None}
        return WordEdit(state.version, state.totals, documents)

    def write(self, edit: WordEdit, changes: Sequence[NotedKey] = ()) -> bool:
        """Write an edit, and forget the changes with which it deals.

        Returns:
            False if the index was changed meanwhile; nothing is written then.

        Raises:
            StoreCorruptError: The index is damaged.
        """
        names = edit.postings()
        with self._undamaged():
            edit.finish(dict(zip(names, self._hmget(self._name, names), strict=True)))
        noted = [each for change in changes for each in change]
        values = [each for item in edit.fields.items() if item[1] for each in item]
        deleted = [name for name, value in edit.fields.items() if not value]
        counts = len(changes), len(values)
        return self._run(scripts.REPLACE, edit.version, *counts, *noted, *values, *deleted)

    def rank(self, completion: bytes, words: Sequence[str], limit: int) -> list[RankedKey] | None:
        """Return the keys of the best values, best first.

        Args:
            completion: That of the index.
            words: Words to search for.
            limit: Greatest number of keys.

        Returns:
            None if the index was changed meanwhile.

        Raises:
            StoreCorruptError: The index is damaged.
        """
        state = self._state()
        if state is None:
            return None
        chunks = range(state.totals.chunks)
        fields = [postings_field(word, chunk) for word in sorted(set(words)) for chunk in chunks]
        # One command, hence one moment.
        found = iter(self._hmget(self._name, [_COMPLETION, *Totals.FIELDS, *fields]))
        if next(found) != completion:
            return None
        with self._undamaged():
            totals = decoded_totals(islice(found, len(Totals.FIELDS)))
            if totals.chunks > len(chunks):
                return None
            postings = [
                decoded_postings(b"".join(filter(None, of_word)))
                for of_word in batched(found, len(chunks))
            ]
            numbers, scores = best_documents(totals, postings, limit)
        keys = self._hmget(self._name, [key_field(number) for number in numbers.tolist()])
        if None in keys:
            return None
        ranked = zip((-scores).tolist(), cast("list[bytes]", keys), strict=True)
        with self._undamaged():
            return [RankedKey(_text(key), -score) for score, key in nsmallest(limit, ranked)]

    def stale_keys(self, keys: Set[str]) -> set[str]:
        """Return the keys whose words are not found as they are.

        Args:
            keys: The keys of all values.
        """
        if self.completion() is None:
            return set()
        scanned = self._client.hscan_iter(self._name, count=_SCAN_COUNT)
        stale = stale_keys(cast("Iterator[tuple[bytes, bytes]]", scanned), keys)
        return stale - {change.key for change in self.changes(most=0)}

    def _state(self) -> _State | None:
        """Return the version and the totals; None without an index."""
        version, *totals = self._hmget(self._name, ["version", *Totals.FIELDS])
        if version is None:
            return None
        with self._undamaged():
            return _State(version, decoded_totals(totals))

    def _changed(self, first: int, last: int) -> list[NotedKey]:
        found = self._client.zrange(self._changes, first, last, withscores=True)
        noted = cast("list[tuple[bytes, float]]", found)
        return [NotedKey(_text(key), int(number)) for key, number in noted]

    def _hmget(self, name: str, fields: Sequence[str]) -> list[bytes | None]:
        found = self._client.hmget(name, list(fields)) if fields else []
        return cast("list[bytes | None]", found)

    def _run(self, script: str, *arguments: str | bytes | int) -> bool:
        run = self._client.register_script(script)
        return bool(run(keys=[self._indexes], args=[self._digest, *arguments]) == 1)

    @contextmanager
    def _undamaged(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise StoreCorruptError(
                f"the index of words {self._name!r} is damaged: {error!s:.200}. "
                "verify(repair=True) has the words read again"
            ) from error


def _text(name: bytes) -> str:
    """Return the name of a value; raise `ValueError` for one that no value has."""
    return name.decode("ascii")
