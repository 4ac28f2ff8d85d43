"""Each claim of analysis/reference/hypotheses.csv judged by the runs: column by column, and over the columns.

holds            the adjusted p is at most 5 %, on the claim's side, and the side condition on parameters is true
fails            the same on the other side; or the side condition is false
not told apart   neither; `smallest` says what could have been seen
not tested       there are no runs, too few, or none that can be paired

Of one contrast the test is two-sided. Kind `within` holds by two one-sided tests. A claim of several contrasts holds if
all do, with the largest p (intersection-union; Berger 1982), and fails if one does, with the smallest p times their
number (Bonferroni). Holm's correction is over all claims that a column tests, and once over the summaries.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from analysis.load import hypotheses
from analysis.load.hypotheses import Contrast, Hypothesis
from analysis.load.manifests import SHIPPED
from analysis.load.records import Loaded
from analysis.statistics import estimates, evidence
from analysis.statistics.estimates import Estimate
from analysis.statistics.evidence import Column, Entry
from analysis.statistics.stats import LEVEL, MIN_SEEDS, holm
from errors import RecordError

Verdict = Literal["holds", "fails", "not told apart", "not tested"]
FEW = ("no seed that all rows have", "one seed", "two seeds")


@dataclass(frozen=True)
class Part:
    """One contrast of a claim. p: of the claim's side (`holds`) and of the other (`fails`); tau, sets: of a summary."""

    contrast: Contrast
    estimate: Estimate
    holds: float
    fails: float
    tau: float | None = None
    sets: int = 1


@dataclass(frozen=True)
class Judged:
    """A claim in one column, or (column None) over those that enter the summary.

    parts: none where it is not tested, which `reason` explains; p: adjusted; fewer: is the side condition true?
    params: what its two rows train.
    """

    claim: Hypothesis
    column: Column | None
    parts: tuple[Part, ...] = ()
    reason: str = ""
    fewer: bool | None = None
    params: tuple[int, int] | None = None
    p: float | None = None
    verdict: Verdict = "not tested"

    @property
    def raw(self) -> float:
        """Its p before Holm's correction; that of the side on which it is."""
        return min(self._holds, self._fails)

    @property
    def _holds(self) -> float:
        return max(part.holds for part in self.parts)

    @property
    def _fails(self) -> float:
        return min(1.0, len(self.parts) * min(part.fails for part in self.parts))

    @property
    def smallest(self) -> float | None:
        """What could have been seen in each of its contrasts."""
        return max((part.estimate.smallest for part in self.parts), default=None)

    def decided(self, p: float) -> "Judged":
        if self.fewer is False:
            return replace(self, p=p, verdict="fails", reason="not fewer parameters")
        side = "holds" if self._holds <= self._fails else "fails"
        told = p <= LEVEL and (side == "fails" or not self.claim.fewer or self.fewer is True)
        return replace(self, p=p, verdict=side if told else "not told apart")


@lru_cache(maxsize=1)
def judged(loaded: Loaded) -> dict[str, list[Judged]]:
    """By the claim's id: one for each column whose experiments have all its rows, and last the summary.

    Raises RecordError where a claim names a row or a column that no experiment has.
    """
    claims, columns = hypotheses.read(), evidence.columns(loaded)
    _refuse_unknown(claims, columns, loaded)
    by_column = [_corrected([each for claim in claims if (each := _in_column(claim, column))]) for column in columns]
    found = {claim.id: [each for own in by_column for each in own if each.claim is claim] for claim in claims}
    summaries = _corrected([_over(claim, found[claim.id]) for claim in claims])
    return {each.claim.id: [*found[each.claim.id], each] for each in summaries}


def _refuse_unknown(claims: Iterable[Hypothesis], columns: Sequence[Column], loaded: Loaded) -> None:
    """Rows and columns that neither this folder's experiments have nor the project's own, of which it may lack some."""
    own, shipped = evidence.known_rows(loaded.runs), evidence.known_rows(SHIPPED)
    metrics, shipped_metrics = {column.metric for column in columns}, evidence.known_metrics(SHIPPED)
    judging = {name for column in columns for name, _ in column.entries}
    for claim in claims:
        for metric in claim.columns:
            if metric not in metrics | shipped_metrics:
                raise _unknown(claim, f"column {metric!r}", metrics)
        for row in claim.rows:
            if row.label not in {name for name, _ in own | shipped}:
                raise _unknown(claim, f"row {row.label!r}", judging)
            if row.targets and (row.label, row.targets) not in own | shipped:
                layers = {targets for name, targets in own if name == row.label}
                raise _unknown(claim, f"row {row.label!r} on {row.targets!r}", layers)


def _unknown(claim: Hypothesis, what: str, known: Iterable[str]) -> RecordError:
    return hypotheses.fault(claim, f"no experiment has a {what}; there are: {', '.join(sorted(known))}")


def _corrected(found: Sequence[Judged]) -> list[Judged]:
    """With Holm's correction over those that are tested, and their verdicts."""
    adjusted = iter(holm([each.raw for each in found if each.parts]))
    return [each.decided(next(adjusted)) if each.parts else each for each in found]


# --- one column ------------------------------------------------------------------------------------------------------


def _in_column(claim: Hypothesis, column: Column) -> Judged | None:
    """None where the claim does not speak of it, or it lacks a row."""
    entries = {row: column.entry(row) for row in claim.rows}
    if not claim.contrasts or None in entries.values() or (claim.columns and column.metric not in claim.columns):
        return None
    params = tuple(entries[row].params for row in claim.fewer) if claim.fewer else None
    known = params is not None and None not in params
    here = Judged(claim, column, fewer=params[0] < params[1] if known else None, params=params if known else None)
    if column.lower and (claim.bound or not all(contrast.balanced for contrast in claim.contrasts)):
        return replace(here, reason="of shares or points, which a loss has not")
    found = []
    for contrast in claim.contrasts:
        terms = [((-weight if column.lower else weight), entries[row]) for weight, row in contrast.terms]
        estimate = _estimate(terms)
        if isinstance(estimate, str):
            return replace(here, reason=estimate)
        found.append(_part(claim, contrast, estimate))
    return replace(here, parts=tuple(found))


def _estimate(terms: Sequence[tuple[float, Entry]]) -> Estimate | str:
    """Of Σ weight · score over the seeds that all have, or why there is none."""
    if not all(entry.runs for _, entry in terms):
        return "not run"
    seeds = [seed for seed in terms[0][1].runs if all(seed in entry.runs for _, entry in terms)]
    if len(seeds) < MIN_SEEDS:
        return FEW[len(seeds)]
    runs = [entry.runs[seed] for seed in seeds for _, entry in terms]
    if len({(run.data, len(run.items or "")) for run in runs}) > 1:
        return "scored on other items"
    if all(run.items for run in runs) and len(runs[0].items) > 1:
        values = [sum(weight * _verdicts(entry.runs[seed].items) for weight, entry in terms) for seed in seeds]
        found = estimates.crossed(np.array(values))
    else:
        found = estimates.over_seeds([sum(weight * entry.runs[seed].mean for weight, entry in terms) for seed in seeds])
    return found if found.varies else "nothing varies between seeds"


def _verdicts(items: str) -> np.ndarray:
    return np.frombuffer(items.encode(), dtype=np.uint8).astype(float) - ord("0")


def _part(claim: Hypothesis, contrast: Contrast, estimate: Estimate, tau: float | None = None, sets: int = 1) -> Part:
    """With the p of each side; 1 where the estimate is on the other."""
    mean, bound = estimate.mean, claim.bound
    if claim.kind == "within":
        outside = estimates.two_sided_p(estimate, bound if mean > 0 else -bound) if abs(mean) > bound else 1.0
        return Part(contrast, estimate, estimates.equivalence_p(estimate, bound), outside, tau, sets)
    p = estimates.two_sided_p(estimate, bound)
    return Part(contrast, estimate, p if mean >= bound else 1.0, p if mean <= bound else 1.0, tau, sets)


# --- over the columns ------------------------------------------------------------------------------------------------


def _over(claim: Hypothesis, own: Sequence[Judged]) -> Judged:
    """A random-effects summary of each contrast over the columns that test the claim and enter the summary."""
    tested = [each for each in own if each.parts and each.column.summed]
    if not tested:
        return Judged(claim, None, reason=_untested(claim, own))
    conditions = [each.fewer for each in tested]
    fewer = None if None in conditions else all(conditions)
    found = []
    for place, contrast in enumerate(claim.contrasts):
        summary = estimates.combined([each.parts[place].estimate for each in tested])
        found.append(_part(claim, contrast, summary.estimate, summary.tau, summary.sets))
    return Judged(claim, None, tuple(found), fewer=fewer)


def _untested(claim: Hypothesis, own: Sequence[Judged]) -> str:
    if not claim.contrasts:
        return "no comparison here decides it"
    if not own:
        return "no study has all its rows"
    reasons = dict.fromkeys(each.reason for each in own if each.column.summed)
    return "; ".join(reasons) or "no column of it is summed"
