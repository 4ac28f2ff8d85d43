"""All that the page says, in the parts that it opens one after another."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

from analysis.content import answers, boards, cards, costs, details, papers, rows
from analysis.load.grounds import ground
from analysis.load.records import Loaded
from analysis.statistics import stats

SCHEMA = 1
TITLE = "svft-bench"
MOST = 10  # seeds of which the resamples are kept; beyond, the page has no interval


@dataclass(frozen=True)
class Content:
    """parts: `core` is opened first; `details` and `answers` when they are asked for."""

    title: str
    parts: dict[str, Any]


def content(loaded: Loaded) -> Content:
    outcomes = boards.Outcomes(loaded)
    shown = boards.boards(loaded, outcomes)
    found = {
        "schema": SCHEMA, "title": TITLE, "about": _about(loaded), "methods": cards.looks(),
        "boards": shown, **outcomes.stored(), "rows": rows.rows(loaded), "bootstrap": _bootstraps(shown),
        "paper": papers.papers(loaded), "others": papers.others(loaded), "claims": papers.claims(loaded),
        "errata": papers.misprints(loaded), "bench": costs.costs(loaded), "method_costs": costs.methods(loaded),
        "cards": cards.cards(loaded),
    }  # fmt: skip
    return Content(
        TITLE, {"core": found, "details": details.details(loaded), "answers": answers.answers(loaded, shown)}
    )


def _about(loaded: Loaded) -> dict[str, Any]:
    status = [record.status for record in loaded.records]
    seconds = sum((record.train or {}).get("step_seconds") or 0 for record in loaded.records)
    return {
        "runs": len(status), **{each: status.count(each) for each in ("done", "failed", "running")},
        "tasks": len({record.run["task"] for record in loaded.records}),
        "models": len({ground(record)["base"] or record.run["model"] for record in loaded.records}),
        "train_hours": round(seconds / 3600, 1), "left_out": [each.sentence for each in loaded.left_out],
    }  # fmt: skip


def _bootstraps(shown: Iterable[dict[str, Any]]) -> dict[str, list[list[int]]]:
    """For each number of seeds that two cells may share: the distinct resamples, and how often each was drawn."""
    most = max((len(outcomes or ()) for board in shown for line in board["outcomes"] for outcomes in line), default=0)
    return {str(n): resamples(n) for n in range(stats.MIN_SEEDS, min(most, MOST) + 1)}


def resamples(n: int) -> list[list[int]]:
    """The resamples of `stats.bootstrap_interval` for n values: how often each value is in it, and how often it came.

    Each value is a power of n + 1, so that the sum of a resample says which values are in it.
    """
    values = np.array([float((n + 1) ** place) for place in range(n)])
    drawn = scipy_stats.bootstrap(
        (values,), np.sum, n_resamples=stats.RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).bootstrap_distribution
    sums, times = np.unique(np.rint(drawn).astype(np.int64), return_counts=True)
    counts = [[int(total // (n + 1) ** place % (n + 1)) for place in range(n)] for total in sums]
    return [[*count, int(number)] for count, number in zip(counts, times, strict=True)]
