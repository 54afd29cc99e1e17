"""Indexes of words beside the tables of a Redis server, and values ranked by them.

An index belongs to a table and a reader, and is made by the first search that needs it. The
script of each commit notes the keys whose values it changes, and the next search reads the words of
these. `index` describes how an index is stored.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from onnxsearch._internal.threads import batched
from onnxsearch.errors import StoreError
from onnxsearch.metadata.capabilities import MOST_INDEXES, RankedKey, WordReader
from onnxsearch.metadata.reading_log import ReadingLog
from onnxsearch.metadata.redis.connection import Client
from onnxsearch.metadata.redis.words.index import NotedKey, WordHash, digests_of

_NOTED = 1000
"""Keys noted in one step, which takes the server about a millisecond."""
_BATCH = 256
_BATCH_WORDS = 50_000
"""Values, and words of them, that are read in one step: some ten milliseconds of the server."""
_ATTEMPTS = 10
"""Searches for one call, if other processes change the index at the same time."""


class WordHashes:
    """The indexes of words of one server.

    Args:
        client: Reaches the server.
        items: Returns the keys and values of the table that is the hash of a name.
    """

    def __init__(self, client: Client, items: Callable[[str], Iterator[tuple[str, bytes]]]) -> None:
        self._client = client
        self._items = items

    def rank(
        self, table: str, reader: WordReader, words: Sequence[str], limit: int
    ) -> list[RankedKey]:
        """Return what `KeywordSearch.rank_by_words` returns; `table` is the name of a hash."""
        digest = hashlib.blake2b(reader.name.encode(), digest_size=16).hexdigest()
        index = WordHash(self._client, table, digest)
        for _ in range(_ATTEMPTS):
            completion = index.completion()
            if completion is None or index.has_changes():
                completion = self._update(index, reader)
            found = None if completion is None else index.rank(completion, words, limit)
            if found is not None:
                return found
        raise StoreError(
            f"the index of words of {table!r} was changed {_ATTEMPTS} times during one search: "
            "search again. If no other process writes, verify(repair=True) mends it"
        )

    def stale(self, table: str, *, repair: bool) -> list[str]:
        """Return what `KeywordSearch.stale_words` returns; a repair deletes the index."""
        stale: set[str] = set()
        indexes = [WordHash(self._client, table, each) for each in digests_of(self._client, table)]
        keys = set(self._keys(table)) if indexes else set[str]()
        for index in indexes:
            found = index.stale_keys(keys)
            if found:
                # While others write, values and words are read at different moments. What is
                # stale for good is so twice.
                found &= index.stale_keys(set(self._keys(table)))
            if repair and found:
                index.drop()
            stale |= found
        return sorted(stale)

    def _keys(self, table: str) -> Iterator[str]:
        return (key for key, _ in self._items(table))

    def _update(self, index: WordHash, reader: WordReader) -> bytes | None:
        """Read the words of all values that have changed; return None if the index is gone."""
        log = ReadingLog()
        index.create(MOST_INDEXES)
        completion = index.completion()
        if completion is None:
            for keys in batched(self._keys(index.table), _NOTED):
                index.note(keys)
            completion = index.complete()
        # What changes from now on is read by the next search.
        last = index.last_change()
        while changes := [each for each in index.changes(_BATCH) if each.number <= last]:
            read = self._read(index, reader, changes)
            if read is None:
                return None
            log.add(read)
        log.finish()
        return None if index.drop_sparse() else completion

    def _read(self, index: WordHash, reader: WordReader, changes: Sequence[NotedKey]) -> int | None:
        """Read the words of some values; return of how many, None if the index is gone."""
        edit = index.edit(changes)
        if edit is None:
            return None
        done, size = 0, 0
        for change, value in zip(changes, index.values(changes), strict=True):
            words = None if value is None else Counter(reader.read(value))
            size += edit.set(change.key, words)
            done += 1
            if size > _BATCH_WORDS:
                break
        # If another process has read them meanwhile, they are no longer noted.
        return done if index.write(edit, changes[:done]) else 0
