"""The cells of an experiment's table: what each run scored, their mean and its noise, and what is printed beside it.

Scores of records are in [0, 1], printed values in per cent. What was not run or not printed is None, never 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import Any

from analysis.load.paper import Key, label, place
from analysis.statistics import stats
from harness.store.record import Record

COLUMNS = (
    "table", "model", "label", "metric", "printed", "reproduced", "low", "high", "seeds", "difference", "noise",
    "verdict", "identity", "method", "panel", "targets", "params_printed", "params", "error", "best_dev", "unparsed",
    "majority", "items",
)  # fmt: skip

Records = Mapping[str, Mapping[int, Record]]  # identity -> seed -> record


@dataclass(frozen=True)
class Score:
    """What one run scored on one column. error: standard error over items; verdicts: the mean of right or wrong?"""

    mean: float
    error: float | None
    items: int
    verdicts: bool
    unparsed: float | None = None
    majority: float | None = None
    best_dev: float | None = None


def row_cells(
    manifest: Mapping[str, Any], row: Mapping[str, Any], values: Mapping[Key, Mapping[str, str]], records: Records
) -> list[dict[str, Any]]:
    """A row of a manifest, one dictionary (COLUMNS) a cell that was planned, is derived of others, or is printed.

    values: as of paper.printed.
    """
    columns = {column["metric"]: column for column in manifest["columns"]}
    lines = {metric: values.get(place(manifest, row, metric), {}) for metric in columns}
    shown = {metric: float(line["value"]) / 100 for metric, line in lines.items() if line.get("value")}
    scores = {metric: column_scores(columns, metric, row["cells"], records) for metric in columns}
    errors = {metric: printed_error(columns, metric, shown, scores) for metric in columns}
    params = next((line["params_printed"] for line in lines.values() if line), "")
    return [
        {
            "table": manifest.get("table"), "model": row["model"], "label": label(row), "metric": metric,
            "printed": lines[metric].get("value") or None, "identity": row["cells"].get(metric, {}).get("identity"),
            "method": row["id"], "panel": row.get("panel") or "", "targets": row["targets"],
            "params_printed": params.replace("-", "") or None, "params": row.get("params"),
            **compared(list(scores[metric].values()), shown.get(metric), errors[metric]),
        }
        for metric in columns
        if metric in row["cells"] or not _direct(columns[metric]) or metric in shown
    ]  # fmt: skip


def _direct(column: Mapping[str, Any]) -> bool:
    return "benchmark" in column


def _parts(column: Mapping[str, Any]) -> Sequence[str]:
    return column.get("mean_of") or column["difference"]


def column_scores(
    columns: Mapping[str, dict], metric: str, cells: Mapping[str, dict], records: Records
) -> dict[int, Score]:
    """seed -> score of finished runs; of a derived column, for the seeds that have every part."""
    column = columns[metric]
    if _direct(column):
        runs = records.get(cells.get(metric, {}).get("identity"), {})
        found = {seed: _score(column, record) for seed, record in sorted(runs.items()) if record.status == "done"}
        return {seed: score for seed, score in found.items() if score is not None}
    parts = [column_scores(columns, part, cells, records) for part in _parts(column)]
    seeds = [seed for seed in parts[0] if all(seed in part for part in parts)]
    return {seed: _derived(column, [part[seed] for part in parts]) for seed in seeds}


def _score(column: Mapping[str, Any], record: Record) -> Score | None:
    entry = record.scores.get(column["benchmark"], {}).get(column["split"], {})
    score = entry.get("scorers", {}).get(column["scorer"])
    if score is None:
        return None
    watched = [point["score"] for point in (record.train or {}).get("watched") or []] if column.get("watched") else []
    verdicts, mean, n = score["items"] is not None, score["mean"], entry["n"]
    error = stats.share_error(mean, n) if verdicts else score["standard_error"] or None  # 0: it was not to be had
    best_dev = max(watched, default=None)
    return Score(mean, error, n, verdicts, score["unparsed"], entry.get("majority"), best_dev)


def _derived(column: Mapping[str, Any], parts: Sequence[Score]) -> Score:
    means = [part.mean for part in parts]
    mean = stats.mean(means) if "mean_of" in column else round(means[0] - means[1], stats.DECIMALS)
    return Score(mean, _combined(column, [part.error for part in parts]), sum(part.items for part in parts), False)


def _combined(column: Mapping[str, Any], errors: Sequence[float | None]) -> float | None:
    """Standard error of a mean or difference of independent parts."""
    if any(error is None for error in errors):
        return None
    return math.hypot(*errors) / (len(errors) if "mean_of" in column else 1)


def printed_error(
    columns: Mapping[str, dict], metric: str, shown: Mapping[str, float], scores: Mapping[str, dict[int, Score]]
) -> float | None:
    """Standard error of a printed value taken as one run: binomial over the items of the records' benchmark.

    Of a metric that is no mean of verdicts (Matthews, Pearson) the records' own error over items stands in.
    """
    column = columns[metric]
    if not _direct(column):
        return _combined(column, [printed_error(columns, part, shown, scores) for part in _parts(column)])
    if metric not in shown or not scores[metric]:
        return None
    score = next(iter(scores[metric].values()))
    return stats.share_error(shown[metric], score.items) if score.verdicts else score.error


def compared(scores: Sequence[Score], value: float | None, value_error: float | None) -> dict[str, Any]:
    """Mean and interval over seeds, and the verdict on the difference to `value`; differences and noise in points."""
    if not scores:
        return {"seeds": 0}
    means = [score.mean for score in scores]
    mean, (low, high) = stats.mean(means), _interval(scores) or (None, None)
    error = seeds_error(scores)
    difference = None if value is None else round(100 * (mean - value), stats.DECIMALS - 2)
    known = difference is not None and error is not None and value_error is not None
    noise = 100 * stats.Z * math.hypot(error, value_error) if known else None
    return {
        "reproduced": mean, "low": low, "high": high, "seeds": len(scores), "error": error, "difference": difference,
        "noise": noise, "verdict": verdict(difference, noise), "items": scores[0].items,
        **{name: _mean([getattr(score, name) for score in scores]) for name in ("best_dev", "unparsed", "majority")},
    }  # fmt: skip


def _interval(scores: Sequence[Score]) -> tuple[float, float] | None:
    """Over seeds, from three on. Of fewer, over items, where all or none are right: the binomial error would be 0."""
    if len(scores) >= stats.MIN_SEEDS:
        return stats.bootstrap_interval([score.mean for score in scores])
    extreme = all(score.verdicts for score in scores) and {score.mean for score in scores} in ({0.0}, {1.0})
    return stats.wilson_interval(scores[0].mean, scores[0].items) if extreme else None


def seeds_error(scores: Sequence[Score]) -> float | None:
    """Of the mean over seeds: the bootstrap's (σ/√n, exactly) from three seeds on; below, that over items of one run.

    Seeds share their test items, so two of them do not halve the error over items.
    """
    if len(scores) >= stats.MIN_SEEDS:
        return pstdev(score.mean for score in scores) / math.sqrt(len(scores))
    return _mean([score.error for score in scores])


def verdict(difference: float | None, noise: float | None) -> str | None:
    if difference is None or noise is None:
        return None
    if abs(difference) <= noise:
        return "inside noise"
    return "higher" if difference > 0 else "lower"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return stats.mean(known) if known else None
