"""Which settings of a search pay, measured on images that they were not chosen by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, ClassVar

from onnxsearch._internal.tables import Tabular
from onnxsearch.evaluation.paired_difference import PairedDifference
from onnxsearch.search.expansion import AlphaQE
from onnxsearch.types import JSONValue

if TYPE_CHECKING:
    from typing import Literal


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to search. The fields are arguments of `search`."""

    models: tuple[str, ...]
    augmented: bool = False
    fusion: Literal["rrf", "scores"] | None = None
    expand: AlphaQE | None = None
    rerank: str | None = None
    """Name of the model that looks again at the first hits."""

    @property
    def call(self) -> str:
        """The call, ready to paste."""
        one = len(self.models) == 1
        given = [f"model={self.models[0]!r}" if one else f"models={[*self.models]}"]
        if self.fusion is not None:
            given.append(f"fusion={self.fusion!r}")
        if self.augmented:
            given.append("augmented=True")
        if self.expand is not None:
            given.append(f"expand={self.expand!r}")
        if self.rerank is not None:
            given.append(f"rerank=Rerank.by_model({self.rerank!r})")
        return f"engine.search(query, {', '.join(given)})"

    def __str__(self) -> str:
        parts = [" + ".join(self.models)]
        parts += [f"fused by {self.fusion}"] if self.fusion else []
        parts += ["augmented"] if self.augmented else []
        parts += [f"expanded by {self.expand.n}"] if self.expand else []
        parts += [f"reranked by {self.rerank}"] if self.rerank else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class TriedSetting:
    """A setting, and how good it is. All is measured on queries that chose nothing."""

    setting: Setting
    value: float
    """Mean of the metric."""
    precision_at_1: float
    difference: PairedDifference
    """To the plain search."""


@dataclass(frozen=True, slots=True, repr=False)
class Advice(Tabular):
    """Result of `SearchEngine.advise`: what was tried, and which setting pays.

    One half of the queries chose the setting, and the other half measured it. So the figures hold
    for further images of the same album.

    Example:
        >>> advice = engine.advise("kind")
        >>> print(advice)
        >>> print(advice.call)
        engine.search(query, model='efficientnet-lite2', augmented=True)
    """

    tried: tuple[TriedSetting, ...]
    """The plain search first, then in the order in which they were tried."""
    chosen: Setting
    """What was best for the half that chooses, without a loss of precision@1 there."""
    untried: Mapping[str, str]
    """What could not be tried, and what it takes."""
    metric: str
    chosen_by: int
    """Queries that chose."""
    measured_on: int
    """Other queries, on which all was measured."""

    _columns: ClassVar[Mapping[str, str]] = {
        "setting": "str",
        "value": "float",
        "precision_at_1": "float",
        "difference": "float",
        "low": "float",
        "high": "float",
        "chosen": "bool",
        "call": "str",
    }

    @property
    def proposed(self) -> Setting:
        """The chosen setting if it pays, else the plain search.

        It pays if it is better than the plain search on the half that chose nothing, and the
        interval of the difference does not hold 0.
        """
        plain, *_ = self.tried
        (best,) = (each for each in self.tried if each.setting == self.chosen)
        pays = best.difference.difference.low > 0
        return best.setting if pays else plain.setting

    @property
    def call(self) -> str:
        """The call of the proposed setting, ready to paste."""
        return self.proposed.call

    def to_dicts(self) -> list[dict[str, JSONValue]]:
        """Return a dictionary for each setting that was tried."""
        return [
            {
                "setting": str(each.setting),
                "value": each.value,
                "precision_at_1": each.precision_at_1,
                "difference": each.difference.difference.value,
                "low": each.difference.difference.low,
                "high": each.difference.difference.high,
                "chosen": each.setting == self.chosen,
                "call": each.setting.call,
            }
            for each in self.tried
        ]

    def __str__(self) -> str:
        width = max(len(str(each.setting)) for each in self.tried)
        lines = [
            f"{self.metric} on {self.measured_on} queries; {self.chosen_by} others chose",
            f"  {'setting':{width}}   value     P@1   against plain",
        ]
        for each in self.tried:
            it = each.difference.difference
            against = f"{it.value:+.3f} ({it.low:+.3f} to {it.high:+.3f})"
            mark = "*" if each.setting == self.chosen else " "
            lines.append(
                f"{mark} {each.setting!s:{width}}  {each.value:6.3f}  {each.precision_at_1:6.3f}   "
                + ("" if each is self.tried[0] else against)
            )
        lines += [f"not tried: {what} ({remedy})" for what, remedy in self.untried.items()]
        plain = self.proposed == self.tried[0].setting
        lines.append(f"{'Nothing pays; stay with' if plain else 'Proposed'}: {self.call}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
