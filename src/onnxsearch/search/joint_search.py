"""Different searches answered together: one batch for the model, one call of the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import numpy as np

from onnxsearch._internal.threads import batched, ordered_map
from onnxsearch.errors import StoreError
from onnxsearch.images.reading import all_bytes, open_image
from onnxsearch.search.omission import NOTHING, Omission
from onnxsearch.search.query import Query
from onnxsearch.search.refinement import Refinement
from onnxsearch.search.searcher import Searcher, most_at_once, one_query
from onnxsearch.search.selection import Selection

if TYPE_CHECKING:
    from onnxsearch.embedders.base import Embedder, Tensor
    from onnxsearch.search.fusion import FusionChoice
    from onnxsearch.search.query import QueryInput
    from onnxsearch.search.results import SearchResults
    from onnxsearch.types import Vectors

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Call:
    """The arguments of one call of `SearchEngine.search`, checked."""

    query: QueryInput | None
    selection: Selection
    refinement: Refinement
    model: str | None
    models: Sequence[str] | None
    fusion: FusionChoice | None


@dataclass(slots=True)
class _Search:
    """One of the searches, on its way to its answer."""

    arguments: Mapping[str, Any]
    call: _Call | None = None
    omission: Omission = NOTHING
    tensor: Tensor | None = None
    """What the model is fed, for an image."""
    row: Vectors | None = None
    """The query as a vector."""
    answer: SearchResults | Exception | None = None


@dataclass(frozen=True, slots=True)
class JointSearch:
    """Answers searches together, each as if it were alone: bit for bit.

    What cannot be answered with the others, such as a damaged image, the fusion of several
    models or a search with refinements, is answered alone. A batch may give a vector other bits
    than its image alone, by sums in another order. So the first batch of each size is compared
    with its images alone, and where they differ, images are embedded one by one.
    """

    searcher: Searcher
    _exact: dict[tuple[str, bool, int], bool] = field(
        default_factory=dict[tuple[str, bool, int], bool]
    )
    """Whether batches are exact, by the model's fingerprint, whether the batch is on all cores,
    and its size."""

    def answer(self, arguments: Sequence[Mapping[str, Any]]) -> list[SearchResults | Exception]:
        """Return for each search its results, or the error that it raises alone.

        Args:
            arguments: The arguments of `SearchEngine.search`, by name, for each search.
        """
        searches = [_Search(each) for each in arguments]
        for search in searches:
            try:
                search.call = _checked_call(**search.arguments)
            except Exception as error:  # noqa: BLE001, raised for whom it concerns
                search.answer = error
        for model, group in _grouped(searches, _model_of).items():
            if model is not None and len(group) > 1:
                self._answer_together(group)
        return [
            self._alone(cast("_Call", search.call)) if search.answer is None else search.answer
            for search in searches
        ]

    def _alone(self, call: _Call) -> SearchResults | Exception:
        try:
            return self.searcher.search(
                call.query,
                call.selection,
                call.refinement,
                model=call.model,
                models=call.models,
                fusion=call.fusion,
            )
        except Exception as error:  # noqa: BLE001, raised for whom it concerns
            return error

    def _answer_together(self, searches: Sequence[_Search]) -> None:
        """Answer searches with one model; those that have to be alone are left."""
        model = cast("_Call", searches[0].call).model
        embedder = _attempted(partial(self.searcher.embedders.searched, model))
        if embedder is None:
            return
        workers = self.searcher.workers
        # A few images are embedded by all cores, one after the other; many by one core each.
        images = [s for s in searches if not isinstance(cast("_Call", s.call).query, Query)]
        others = [s for s in searches if isinstance(cast("_Call", s.call).query, Query)]
        view = embedder.parallel(workers) if len(images) > workers else embedder
        size = max(1, min(self.searcher.batch_size, ceil(len(images) / workers)))
        encode = partial(self._encode, embedder, view)
        encode(others)  # which take too little time for threads to be worth it
        for _ in ordered_map(encode, batched(images, size), workers=workers):
            pass
        ready = [search for search in searches if search.row is not None]
        for group in _grouped(ready, _selection_of).values():
            most = most_at_once(embedder, cast("_Call", group[0].call).selection)
            for some in batched(group, most):
                self._retrieve(embedder, some)

    def _encode(self, embedder: Embedder, view: Embedder, searches: Sequence[_Search]) -> None:
        """Turn the queries into vectors, where that succeeds."""
        for search in searches:
            _attempted(partial(self._prepare, embedder, search))
        images = [search for search in searches if search.tensor is not None]
        tensors = [search.tensor for search in images if search.tensor is not None]
        rows = _attempted(partial(self._embed, embedder, view, tensors)) if tensors else None
        for search, row in zip(images, rows if rows is not None else (), strict=False):
            search.row, search.tensor = row, None

    def _prepare(self, embedder: Embedder, search: _Search) -> None:
        call = cast("_Call", search.call)
        asked = cast("QueryInput", call.query)  # keywords alone are answered alone
        query, search.omission = self.searcher.with_omission(asked, call.selection)
        if isinstance(query, Query):
            search.row = self.searcher.encoder.vectors(query, [embedder])[embedder.name]
        else:
            reading = embedder.reading_for(self.searcher.encoder.reading)
            search.tensor = embedder.prepare(open_image(query, reading))

    def _embed(self, embedder: Embedder, view: Embedder, tensors: Sequence[Tensor]) -> Vectors:
        """Return the vectors that `embedder` gives for each tensor alone."""
        key = embedder.fingerprint, view is embedder, len(tensors)
        if key[1:] == (True, 1) or self._exact.get(key):
            return view.embed_tensors(tensors)
        alone = np.concatenate([embedder.embed_tensors([tensor]) for tensor in tensors])
        if key not in self._exact:
            self._exact[key] = np.array_equal(view.embed_tensors(tensors), alone)
        return alone

    def _retrieve(self, embedder: Embedder, searches: Sequence[_Search]) -> None:
        """Ask the store once for queries that select alike."""
        selection = cast("_Call", searches[0].call).selection
        matrix = np.stack([search.row for search in searches if search.row is not None])
        omissions = [search.omission for search in searches]
        try:
            found = self.searcher.retriever.search(embedder, matrix, selection, omissions)
        except StoreError as error:
            # Asked again for each of them, the store would fail as often, after as many timeouts.
            for search in searches:
                search.answer = error
        except Exception:  # noqa: BLE001, each raises it alone if it concerns it
            return
        else:
            for search, results in zip(searches, found, strict=True):
                search.answer = results


def _checked_call(
    query: QueryInput | None = None,
    *,
    text: str | None = None,
    model: str | None = None,
    models: Sequence[str] | None = None,
    fusion: FusionChoice | None = None,
    **others: Any,
) -> _Call:
    """Return a call with these arguments of `SearchEngine.search`.

    Raises:
        InvalidArgumentError: One has a wrong type or value.
    """
    names = others.keys() & {each.name for each in fields(Refinement)}
    refinement = Refinement(**{name: others.pop(name) for name in names})
    selection, given = Selection(**others), one_query(query, text, refinement)
    if hasattr(given, "read"):  # it may have to be read again
        given = all_bytes(cast("BinaryIO", given))
    return _Call(given, selection, refinement, model, models, fusion)


def _model_of(search: _Search) -> str | None:
    """Return which model searches, "" for the default one; None for a search that is alone."""
    call = search.call
    if call is None or call.models is not None or call.fusion is not None:
        return None
    if not call.refinement.is_nothing:
        return None
    model: object = call.model
    if model is None:
        return ""
    return model if isinstance(model, str) else None


def _selection_of(search: _Search) -> Hashable:
    selection = cast("_Call", search.call).selection
    # As text: 1 and True are equal to Python, and different values to a filter.
    return replace(selection, filter=None), str(selection.filter)


def _grouped(searches: Iterable[_Search], key: Callable[[_Search], _T]) -> dict[_T, list[_Search]]:
    groups: defaultdict[_T, list[_Search]] = defaultdict(list)
    for search in searches:
        groups[key(search)].append(search)
    return groups


def _attempted(function: Callable[[], _T]) -> _T | None:
    """Return what `function` returns; None if it fails, which the search alone reports."""
    try:
        return function()
    except Exception:  # noqa: BLE001
        return None
