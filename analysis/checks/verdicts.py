"""What the runs say of each claim: the pages `verdicts`, in words, and `verdicts_numbers`, with what they rest on.

Made where an experiment is evidence (statistics/evidence.py), whether it was run or not.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import pandas as pd

from analysis.load.hypotheses import Hypothesis
from analysis.load.records import Loaded
from analysis.statistics.evidence import Column, columns, evidence
from analysis.statistics.verdicts import Judged, Part, judged
from analysis.writing.numbers import count, percent, with_interval
from analysis.writing.page import Page, Table

WORDS, NUMBERS = "verdicts", "verdicts_numbers"  # the pages
COLUMNS = [
    "id", "where", "claim", "kind", "bound", "model", "metric", "contrast", "mean", "low", "high", "error", "df",
    "seeds", "items", "columns", "tau", "p", "smallest", "fewer", "params_one", "params_other", "p_adjusted", "verdict",
    "reason",
]  # fmt: skip
SHOWN = ["Claim, column", "Contrast", "Points", "Seeds × items", "Visible", "p", "Adjusted", "Parameters", "Verdict"]
RULES = (
    "Not told apart (x): a true difference of x points from the bound would have been seen with a power of 80 % by one "
    "two-sided test at 5 %, (t.975 + t.8) standard errors, without correction; of several contrasts the largest x.",
    "Holds, fails: by a paired t test, at 5 % after Holm's correction over all claims of the column. The error is that "
    "of seeds and test items crossed (two-way random effects, degrees of freedom by Satterthwaite); where a metric is "
    "no mean of verdicts, of seeds alone. A claim of several contrasts holds if all do (the largest p) and fails if "
    "one does (the smallest p times their number); one of being within a bound holds by two one-sided tests.",
    "All: a random-effects summary over the columns (DerSimonian and Laird; Hartung, Knapp, Sidik and Jonkman's error, "
    "never below the plain one), and Holm's correction over the summaries. One column is its own summary. Two hardly "
    "ever decide: with one degree of freedom the interval is 12.7 standard errors to each side.",
)


# --- numbers ---------------------------------------------------------------------------------------------------------


def numbers(loaded: Loaded) -> pd.DataFrame:
    """One line for each contrast of a claim in each column, then over them, where `model` and `metric` are empty.

    Rates in [0, 1], the bound included. p: of the contrast, before any correction; p_adjusted, verdict: of the claim.
    """
    lines = [line for own in judged(loaded).values() for each in own for line in _lines(each)]
    return pd.DataFrame(lines, columns=COLUMNS)


def _lines(each: Judged) -> Iterator[dict[str, Any]]:
    claim, column = each.claim, each.column
    said = {
        "id": claim.id, "where": claim.where, "claim": claim.claim, "kind": claim.kind, "bound": claim.bound,
        "model": column.model if column else "", "metric": column.metric if column else "", "fewer": each.fewer,
        "verdict": each.verdict, "reason": each.reason, "p_adjusted": _stable(each.p),
    }  # fmt: skip
    if each.params:
        said |= dict(zip(("params_one", "params_other"), each.params, strict=True))
    yield from ({**said, **_measured(part, column)} for part in each.parts)
    if not each.parts:
        yield from ({**said, "contrast": str(contrast)} for contrast in claim.contrasts or ("",))


def _measured(part: Part, column: Column | None) -> dict[str, Any]:
    estimate, (low, high) = part.estimate, part.estimate.interval
    counted = {"seeds": estimate.seeds, "items": estimate.items} if column else {"columns": part.sets}
    return {
        "contrast": str(part.contrast), "mean": estimate.mean, "p": _stable(min(part.holds, part.fails)), **counted,
        "low": _stable(low), "high": _stable(high), "error": _stable(estimate.error), "df": _stable(estimate.df),
        "smallest": _stable(estimate.smallest), "tau": _stable(part.tau),
    }  # fmt: skip


def _stable(value: float | None) -> float | None:
    """Eight significant digits: the others depend on the order in which a processor sums."""
    return None if value is None else float(f"{value:.8g}")


# --- text ------------------------------------------------------------------------------------------------------------


def words(loaded: Loaded) -> pd.DataFrame:
    """A line a claim: its verdict over all columns, and in each column whose experiments have its rows."""
    lines = []
    for own in judged(loaded).values():
        *each, over = own
        by_column = {heading(one.column): _word(one) for one in each}
        lines.append({"Claim": said(over.claim), "Where": over.claim.where, "All": f"**{_word(over)}**", **by_column})
    shown = [heading(column) for column in columns(loaded) if heading(column) not in waiting(loaded)]
    return pd.DataFrame(lines, columns=["Claim", "Where", "All", *shown]).fillna("")


@lru_cache(maxsize=1)
def waiting(loaded: Loaded) -> list[str]:
    """Columns that test no claim yet, while others do."""
    begun = {heading(each.column) for own in judged(loaded).values() for each in own if each.column and each.parts}
    return [heading(column) for column in columns(loaded) if begun and heading(column) not in begun]


def heading(column: Column) -> str:
    return f"{column.model}: {column.metric}"


def said(claim: Hypothesis) -> str:
    return f"{claim.id}: {claim.claim}"


def _word(each: Judged) -> str:
    if each.verdict == "not told apart":
        return f"not told apart ({percent(each.smallest)})"
    return f"fails: {each.reason}" if each.verdict == "fails" and each.reason else each.verdict


def text(loaded: Loaded) -> pd.DataFrame:
    """For each claim a line in bold, then one for each contrast and column, then one over the columns."""
    lines = []
    for own in judged(loaded).values():
        claim = own[-1].claim
        lines.append({"Claim, column": f"**{said(claim)}; {bound(claim)}**"})
        begun = [each for each in own if not each.column or heading(each.column) not in waiting(loaded)]
        lines += [line for each in begun for line in _shown(each)]
    names = [
        "Claim, column",
        "Contrast",
        "Points",
        "Seeds × items",
        "Visible",
        "p",
        "Adjusted",
        "Parameters",
        "Verdict",
    ]
    return pd.DataFrame(lines, columns=names).fillna("")


def bound(claim: Hypothesis) -> str:
    """`above -1`, in points."""
    points = f"{100 * claim.bound:g}"
    return f"within ±{points}" if claim.kind == "within" else f"above {points}"


def _shown(each: Judged) -> Iterator[dict[str, str]]:
    verdict = f"{each.verdict}: {each.reason}" if each.reason else each.verdict
    own = {
        "Claim, column": heading(each.column) if each.column else f"All{_between(each.parts)}", "Verdict": verdict,
        "Parameters": " against ".join(map(count, each.params)) if each.params else "", "Adjusted": _p(each.p),
    }  # fmt: skip
    if not each.parts:
        yield own
    for place, part in enumerate(each.parts):
        estimate = part.estimate
        items = f" × {count(estimate.items)}" if estimate.items else ""
        yield {
            **(own if place == 0 else {"Claim, column": own["Claim, column"]}),
            "Contrast": str(part.contrast),
            "Points": with_interval(estimate.mean, *estimate.interval),
            "Seeds × items": f"{estimate.seeds}{items}" if each.column else "",
            "Visible": percent(estimate.smallest),
            "p": _p(min(part.holds, part.fails)),
        }


def _between(parts: Sequence[Part]) -> str:
    """How many columns, and how far true differences are apart between them; of several contrasts the farthest."""
    if not parts or parts[0].sets == 1:
        return " (1 column)" if parts else ""
    return f" ({parts[0].sets} columns, ±{percent(max(part.tau for part in parts))} between them)"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def notes(loaded: Loaded, in_numbers: bool) -> Iterator[str]:
    apart = [heading(column) for column in columns(loaded) if not column.summed]
    yield from RULES
    if apart:
        yield (
            "Not part of All, as a task would count twice, a test is not clean, a base is no real one, or losses have "
            f"other units: {'; '.join(apart)}."
        )
    if in_numbers:
        yield (
            "Points: the contrast with its 95 % interval, uncorrected. Visible: the smallest difference, as above. p: "
            "of the contrast; Adjusted: of the claim in its column. Parameters: trained, head apart, of the two rows "
            "whose first has to train fewer. Between columns: the standard deviation of the true differences."
        )
        if any(column.lower for column in columns(loaded)):
            yield "Of a loss the sign is turned, so that above is better there too; a point is a hundredth of its unit."
    else:
        yield f"Empty: no experiment has all its rows there. Not tested: one has, and {NUMBERS} says what is missing."
        for claim in (own[-1].claim for own in judged(loaded).values()):
            if claim.note:
                yield f"{claim.id}: {claim.note}"
    if waiting(loaded):
        yield f"Planned, and no claim tested there yet: {'; '.join(waiting(loaded))}."
    left_out = dict.fromkeys(sentence for each in evidence(loaded) for sentence in each.left_out)
    yield from (f"Not counted: {sentence}." for sentence in left_out)


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    if not evidence(loaded):
        return {}
    return {WORDS: partial(_words, loaded), NUMBERS: partial(_numbers, loaded)}


def _words(loaded: Loaded) -> Page:
    lines = [
        {"id": each.claim.id, "where": each.claim.where, "claim": each.claim.claim,
         "model": each.column.model if each.column else "", "metric": each.column.metric if each.column else "",
         "verdict": each.verdict, "reason": each.reason, "p_adjusted": _stable(each.p),
         "smallest": _stable(each.smallest)}
        for own in judged(loaded).values() for each in own
    ]  # fmt: skip
    return Table(pd.DataFrame(lines), words(loaded), list(notes(loaded, False)), "What the runs say of each claim")


def _numbers(loaded: Loaded) -> Page:
    return Table(numbers(loaded), text(loaded), list(notes(loaded, True)), "Verdicts and what they rest on")
