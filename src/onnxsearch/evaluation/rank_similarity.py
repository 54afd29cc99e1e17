"""Similarity of two rankings, from the order of their ids alone."""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections.abc import Sequence
from itertools import zip_longest

from onnxsearch._internal.validation import number
from onnxsearch.errors import InvalidArgumentError


def overlap(first: Sequence[str], second: Sequence[str], k: int) -> float:
    """Return the share of the first `k` that both rankings have, from 0 to 1.

    Where both are shorter than `k`, the longer one's length counts as `k`. Two empty
    rankings agree.

    Example:
        >>> overlap(["a", "b", "c"], ["b", "a", "d"], 3)
        0.6666666666666666
    """
    depth = min(k, max(len(first), len(second)))
    return len({*first[:k]} & {*second[:k]}) / depth if depth else 1.0


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float = 0.9) -> float:
    """Return the rank-biased overlap, extrapolated, from 0 (disjoint) to 1 (the same).

    RBO_ext, equation 32 of Webber, Moffat and Zobel, "A Similarity Measure for
    Indefinite Rankings" (ACM TOIS 28(4), 2010). The first ranks weigh most.

    Args:
        first: Ids, best first, none twice.
        second: The same.
        p: Chance that a reader who looked at one rank looks at the next. With 0.9 the
            first ten ranks have 86 % of the weight (equation 21 there).

    Raises:
        InvalidArgumentError: `p` is not between 0 and 1.

    Example:
        >>> round(rank_biased_overlap(["a", "b", "c"], ["b", "a", "d"]), 4)
        0.7767
    """
    if not 0 < number("p", p) < 1:
        raise InvalidArgumentError(f"p {p}: expected a number between 0 and 1, both excluded")
    short, long = sorted((first, second), key=len)
    few, many = len(short), len(long)
    if not few:
        return 0.0 if many else 1.0
    common = _common(short, long)
    agreed = sum(common[d] / d * p**d for d in range(1, many + 1))
    beyond = sum(common[few] * (d - few) / (few * d) * p**d for d in range(few + 1, many + 1))
    tail = (common[many] - common[few]) / many + common[few] / few
    return (1 - p) / p * (agreed + beyond) + tail * p**many


def _common(short: Sequence[str], long: Sequence[str]) -> list[int]:
    """Return how many ids both have in their first d, for d from 0 to the longer one's length."""
    seen: set[str] = set()
    counts = [0]
    for pair in zip_longest(long, short):
        # Neither ranking holds an id twice, so what was seen before came from the other.
        new = {id for id in pair if id is not None}
        both = len(new) == 1 and None not in pair
        counts.append(counts[-1] + both + len(new & seen))
        seen |= new
    return counts


def kendall_tau(first: Sequence[str], second: Sequence[str]) -> float:
    """Return Kendall's tau of the ids that both have, from -1 (reversed) to 1 (the same order).

    NaN where fewer than two are common. Of n (n - 1) / 2 pairs it counts those that
    both rankings order alike, less those that they do not (Kendall, "A New Measure of
    Rank Correlation", Biometrika 30, 1938).

    Example:
        >>> kendall_tau(["a", "b", "c"], ["b", "a", "c"])
        0.3333333333333333
    """
    places = {id: place for place, id in enumerate(second)}
    order = [places[id] for id in first if id in places]
    n = len(order)
    if n < 2:
        return math.nan
    before: list[int] = []
    swapped = 0
    for place in order:
        swapped += len(before) - bisect(before, place)
        insort(before, place)
    return 1.0 - 4.0 * swapped / (n * (n - 1))
