"""Settings of a search, tried on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onnxsearch._internal.validation import choice, integer
from onnxsearch.catalog.augmented_spaces import augmented_name
from onnxsearch.errors import InvalidArgumentError, UnknownModelError
from onnxsearch.evaluation.advice import Advice, Setting, TriedSetting
from onnxsearch.evaluation.bootstrap import Bootstrap
from onnxsearch.evaluation.evaluator import Evaluator
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.paired_difference import PairedDifference
from onnxsearch.evaluation.pool_rankings import PoolRankings
from onnxsearch.search.expansion import AlphaQE
from onnxsearch.search.refinement import Refinement
from onnxsearch.search.rerank import Rerank

if TYPE_CHECKING:
    from onnxsearch.embedders.registry import EmbedderRegistry
    from onnxsearch.search.retriever import Retriever

_RANKS = (1, 5, 10)
_FIRST = "precision@1"
_METRICS = (
    "mean_average_precision",
    "ndcg",
    *(f"{kind}@{k}" for kind in ("precision", "recall") for k in _RANKS),
)
_LEAST_QUERIES = 4
"""Two that choose, and two that measure."""


@dataclass(frozen=True, slots=True)
class Advisor:
    """Tries the settings that an engine has what it takes for."""

    retriever: Retriever
    embedders: EmbedderRegistry
    metric: str
    queries: int
    """Queries, at most."""
    bootstrap: Bootstrap

    def __post_init__(self) -> None:
        choice("metric", self.metric, _METRICS)
        integer("queries", self.queries, least=_LEAST_QUERIES)

    def advise(self, truth: GroundTruth, model: str) -> Advice:
        """Choose step by step: models and their vectors, then expansion, then reranking.

        Args:
            truth: The images that belong together.
            model: Name of the model of the plain search.

        Raises:
            InvalidArgumentError: Fewer than four images have another of their label, or one has
                no vector of a model.
        """
        trials = Trials(self, self._drawn(truth), Setting((model,)))
        best = trials.best_with(self._rankings(model))
        best = trials.best_with([replace(best, expand=AlphaQE())])
        if len(best.models) == 1:
            others = (name for name in self.embedders if name not in best.models)
            best = trials.best_with([replace(best, rerank=name) for name in others])
        return trials.advice(best, self._untried())

    def measured(self, truth: GroundTruth, setting: Setting) -> NDArray[np.float64]:
        """Return the metric and the precision at 1 of each query by its id, (queries, 2)."""
        names = [augmented_name(m) if setting.augmented else m for m in setting.models]
        rerank = None if setting.rerank is None else Rerank.by_model(setting.rerank)
        rankings = PoolRankings(
            self.retriever,
            self.embedders,
            self.embedders.selected(names),
            setting.fusion,
            None,
            Refinement(expand=setting.expand, rerank=rerank),
        )
        table = Evaluator(rankings, _RANKS).evaluate(truth, Bootstrap(resamples=1)).table
        joined = "+".join(names)
        return np.column_stack([table.column(joined, self.metric), table.column(joined, _FIRST)])

    def _drawn(self, truth: GroundTruth) -> GroundTruth:
        """Return the ground truth of some of the queries, drawn at random."""
        random = np.random.default_rng(self.bootstrap.seed)
        ids = random.permutation(sorted(truth.right))[: self.queries].tolist()
        if len(ids) < _LEAST_QUERIES:
            raise InvalidArgumentError(
                f"labels: {len(ids)} images have another one of their label: expected at least "
                f"{_LEAST_QUERIES}, two to choose a setting and two to measure it"
            )
        return replace(truth, right={id: truth.right[id] for id in ids})

    def _rankings(self, model: str) -> Iterator[Setting]:
        """Yield the settings without a second look: each model, and all of them fused."""
        names = (model, *(name for name in self.embedders if name != model))
        found = [Setting((name,)) for name in names]
        if len(names) > 1:
            found += [Setting(names, fusion="rrf"), Setting(names, fusion="scores")]
        yield from found
        for each in found:
            if all(map(self._is_augmented, each.models)):
                yield replace(each, augmented=True)

    def _is_augmented(self, model: str) -> bool:
        try:
            self.embedders.named(augmented_name(model))
        except UnknownModelError:
            return False
        return True

    def _untried(self) -> Mapping[str, str]:
        """Return what is missing, and the remedy."""
        untried: dict[str, str] = {}
        if len(self.embedders) == 1:
            untried["fusion and reranking"] = "open the engine with a second model"
        for model in self.embedders:
            if not self._is_augmented(model):
                untried[f"augmentation of {model}"] = f"engine.augment({model!r})"
        return untried


@dataclass(slots=True)
class Trials:
    """What was measured: one half of the queries chooses, the other one is reported."""

    advisor: Advisor
    truth: GroundTruth
    plain: Setting
    _values: dict[Setting, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._values[self.plain] = self.advisor.measured(self.truth, self.plain)

    def best_with(self, settings: Iterable[Setting]) -> Setting:
        """Try more settings; return the best of all, by the half that chooses.

        One whose precision at 1 is below that of the plain search does not count.
        """
        for setting in settings:
            if setting not in self._values:
                self._values[setting] = self.advisor.measured(self.truth, setting)
        chosen = self._chooses
        means = {setting: values[chosen].mean(axis=0) for setting, values in self._values.items()}
        least = means[self.plain][1]
        return max(
            (setting for setting, (_, first) in means.items() if first >= least),
            key=lambda setting: float(means[setting][0]),
        )

    def advice(self, chosen: Setting, untried: Mapping[str, str]) -> Advice:
        """Return what the other half says of all settings."""
        held = ~self._chooses
        return Advice(
            tried=tuple(self._tried(setting, held) for setting in self._values),
            chosen=chosen,
            untried=untried,
            metric=self.advisor.metric,
            chosen_by=int(self._chooses.sum()),
            measured_on=int(held.sum()),
        )

    @property
    def _chooses(self) -> NDArray[np.bool_]:
        """Whether a query chooses, (queries,): a random half of them."""
        count = len(self.truth.right)
        random = np.random.default_rng(self.advisor.bootstrap.seed + 1)
        return random.permutation(count) < count // 2

    def _tried(self, setting: Setting, held: NDArray[np.bool_]) -> TriedSetting:
        values, bootstrap = self._values[setting][held], self.advisor.bootstrap
        differences = values[:, :1] - self._values[self.plain][held][:, :1]
        (difference,) = bootstrap.estimates(differences)
        value, first = values.mean(axis=0)
        paired = PairedDifference(
            str(setting),
            str(self.plain),
            self.advisor.metric,
            difference,
            bootstrap.confidence,
            len(values),
        )
        return TriedSetting(setting, float(value), float(first), paired)
