"""Differences between runs that share seeds and test items: how large they are, and which are inside the noise.

Two kinds of noise are asked about, and a difference counts where it is outside both. Other test items: the paired test
of statistics/stats.py, Holm's correction over all differences that are shown together. Other trainings: the bootstrap
interval of the seed-by-seed difference, where three seeds are shared; with fewer that is not known.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.statistics import stats
from harness.store import identity
from harness.store.record import Record

Verdict = Literal["better", "worse", "tie", "untested"]
RULE = (
    "tie: inside the noise of the test items (exact paired sign-flip test over items, summed over shared seeds; Holm "
    "over all differences shown; 5 %) or of the trainings (95 % bootstrap interval of the seed-by-seed difference has "
    "zero in it; known from three shared seeds on)"
)


@dataclass(frozen=True)
class Outcome:
    """What one run scored on one column.

    items: "0110..." or None of a metric that is no mean of verdicts; values: of a loss, by item; lower: is less better?
    """

    mean: float
    items: str | None
    data: str  # fingerprint of the data; items of other data are not the same items
    values: Sequence[float] | None = None
    lower: bool = False


@dataclass(frozen=True)
class Difference:
    """First minus second, in rates. p: adjusted; low and high: over seeds."""

    mean: float
    low: float | None
    high: float | None
    seeds: int
    p: float | None
    verdict: Verdict


Outcomes = Mapping[int, Outcome]  # by seed


def outcomes(column: Mapping[str, Any], records: Mapping[int, Record]) -> dict[int, Outcome]:
    """By seed, of the finished runs that have a score on the column {benchmark, split, scorer}."""
    found = {}
    for seed, record in sorted(records.items()):
        entry = record.scores.get(column["benchmark"], {}).get(column["split"], {"scorers": {}})
        score = entry["scorers"].get(column["scorer"])
        if score is not None and record.status == "done":
            items = identity.items(record, column["benchmark"], column["split"])
            lower = column.get("better") == "lower"
            found[seed] = Outcome(score["mean"], score["items"], items, score.get("values"), lower)
    return found


def differences(pairs: Mapping[Hashable, tuple[Outcomes, Outcomes]]) -> dict[Hashable, Difference]:
    """Of the pairs that share a seed, by the names given. Holm's correction is over all of them."""
    tests = {name: _p(*pair) for name, pair in pairs.items()}
    tested = [name for name, p in tests.items() if p is not None]
    adjusted = dict(zip(tested, stats.holm([tests[name] for name in tested]), strict=True))
    found = {name: _difference(*pair, adjusted.get(name)) for name, pair in pairs.items()}
    return {name: difference for name, difference in found.items() if difference is not None}


def _p(one: Outcomes, other: Outcomes) -> float | None:
    if any(run.values for run in one.values()):
        return stats.paired_t(_values(one), _values(other))
    return stats.paired_p(_items(one), _items(other))


def _difference(one: Outcomes, other: Outcomes, p: float | None) -> Difference | None:
    # Rounded, so that a difference of nothing is 0 and no sum of rounding errors on one side of it.
    by_seed = [round(one[seed].mean - other[seed].mean, stats.DECIMALS) for seed in one if seed in other]
    if not by_seed:
        return None
    mean, (low, high) = stats.mean(by_seed), stats.bootstrap_interval(by_seed) or (None, None)
    lower = any(run.lower for run in one.values())
    return Difference(mean, low, high, len(by_seed), p, _verdict(mean, low, high, p, lower=lower))


def _verdict(mean: float, low: float | None, high: float | None, p: float | None, *, lower: bool) -> Verdict:
    if p is None or math.isnan(mean):
        return "untested"
    if p > stats.LEVEL or (low is not None and low <= 0 <= high):
        return "tie"
    return "better" if (mean < 0) == lower else "worse"


def _items(runs: Outcomes) -> stats.Verdicts:
    return {(run.data, seed): run.items or "" for seed, run in runs.items()}


def _values(runs: Outcomes) -> stats.Values:
    return {(run.data, seed): run.values for seed, run in runs.items()}
