"""The paper's experiments joined with records: one row a cell of a printed table, or a point of a figure.

runs/experiments/<name>.json says for every cell which configuration reproduces it: its `identity`, which records carry
whatever their seed. Printed values are per cent, as strings; scores of records are in [0, 1]. What was not run or not
printed is None, never 0.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pandas as pd

from analysis import stats
from analysis.grounds import refuse_mixed
from errors import RecordError
from harness.store import identity
from harness.store.record import Record

REFERENCE = Path(__file__).with_name("reference")
EXPERIMENTS = "experiments"  # below runs/
SVFT = "arXiv:2405.19597v1"
LINE = "(horizontal line)"  # the configuration of full fine-tuning in figure_points.csv
COLUMNS = (
    "table", "model", "label", "metric", "printed", "reproduced", "low", "high", "seeds", "difference", "noise",
    "verdict", "identity", "method", "panel", "targets", "params_printed", "params", "error", "best_dev", "unparsed",
    "majority", "items",
)  # fmt: skip
Z = 1.96  # two-sided, 5 %

Key = tuple[str, ...]


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


@dataclass(frozen=True)
class Experiment:
    """A table or figure: its manifest, the number it prints or is the twin of, and its cells (COLUMNS) in order."""

    name: str
    manifest: dict[str, Any]
    parent: dict[str, Any] | None
    cells: pd.DataFrame
    records: list[Record]

    @property
    def twin(self) -> bool:
        return self.parent is not None

    @property
    def figure(self) -> str | None:
        return (self.parent or self.manifest).get("figure")

    @property
    def table(self) -> int | None:
        return (self.parent or self.manifest).get("table")

    @property
    def paper(self) -> str:
        """Whose table or figure it is."""
        return (self.parent or self.manifest).get("paper", SVFT)


def experiments(runs: Path, records: Iterable[Record]) -> list[Experiment]:
    """One for each manifest below `runs`, by name.

    Raises RecordError where a run of one is there twice, and ValueError where a twin's original is not there.
    """
    paths = sorted((runs / EXPERIMENTS).glob("*.json"))
    manifests = [value for value in (json.loads(path.read_text(encoding="utf-8")) for path in paths) if "rows" in value]
    named = {manifest["name"]: manifest for manifest in manifests}
    by_identity = identified(records)
    for manifest in manifests:
        if manifest.get("twin_of") and manifest["twin_of"] not in named:
            known = ", ".join(named)
            raise ValueError(
                f"{manifest['name']} is a twin of {manifest['twin_of']!r}, which has no manifest; there are: {known}"
            )
    return [_experiment(manifest, named.get(manifest.get("twin_of")), by_identity) for manifest in manifests]


def identified(records: Iterable[Record]) -> dict[str, dict[int, Record]]:
    """identity -> seed -> record, whatever its status; a finished one is preferred to one that is not.

    Raises RecordError where one is there twice, or where the seeds of one have different data or bases.
    """
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        cell, seed = identity.cell(record), record.run["seed"]
        other = found.setdefault(cell, {}).get(seed)
        if other is not None and record.status == other.status == "done":
            raise RecordError(f"{record.run['label']}, seed {seed}, is there twice: {other.key[:8]}, {record.key[:8]}")
        if other is None or record.status == "done":
            found[cell][seed] = record
    for runs in found.values():
        refuse_mixed([run for _, run in sorted(runs.items()) if run.status == "done"])
    return found


def _experiment(
    manifest: dict[str, Any], parent: dict[str, Any] | None, records: Mapping[str, Mapping[int, Record]]
) -> Experiment:
    values = printed(manifest)
    cells = [cell for row in manifest["rows"] for cell in _row(manifest, row, values, records)]
    identities = dict.fromkeys(cell["identity"] for row in manifest["rows"] for cell in row["cells"].values())
    own = [record for identity in identities for record in records.get(identity, {}).values()]
    return Experiment(manifest["name"], manifest, parent, pd.DataFrame(cells, columns=list(COLUMNS)), own)


# --- what is printed -------------------------------------------------------------------------------------------------


def reference(name: str) -> pd.DataFrame:
    """A file of analysis/reference, every value as the string that is printed; a missing one is empty."""
    return pd.read_csv(REFERENCE / name, dtype=str, keep_default_na=False)


def table(number: int) -> pd.DataFrame:
    """The printed Table `number`, one line a cell. Raises ValueError where it is not kept."""
    paths = sorted(REFERENCE.glob(f"table{number:02d}_*.csv"))
    if not paths:
        raise ValueError(f"no Table {number} is kept in analysis/reference; there are 1 to 14")
    return reference(paths[0].name)


def printed(manifest: Mapping[str, Any]) -> dict[Key, dict[str, str]]:
    """(row, metric) -> {value, params_printed} of the table or figure that a manifest reproduces."""
    if manifest.get("twin_of"):
        return {}
    if manifest.get("table"):
        lines = reference(manifest["reference"]) if "reference" in manifest else table(manifest["table"])
        return {(*_key(line), line["metric"]): line for line in lines.to_dict("records")}
    if not manifest.get("figure"):
        return {}
    points = reference("figure_points.csv")
    points = points[points["figure"].str.split("-").str[0] == manifest["figure"]]
    return {
        (*_key(line), line["target_modules"], panel(line["figure"]), line["metric"]): {**line, "params_printed": ""}
        for line in points.to_dict("records")
    }


def panel(figure: str) -> str:
    """`F1-left` -> `left`, `F4` -> ``."""
    return figure.partition("-")[2]


def _key(line: Mapping[str, Any]) -> Key:
    return line["model"], line["method"], line["variant"] or "", (line["config"] or "").replace(LINE, "")


def _place(manifest: Mapping[str, Any], row: Mapping[str, Any], metric: str) -> Key:
    """Where `printed` has a cell. In figures rows differ by their target modules too; full fine-tuning has "all"."""
    if manifest.get("table"):
        return *_key(row), metric
    targets = "all" if row["method"] == "Full-FT" else row["targets"]
    return *_key(row), targets, row.get("panel") or "", metric


def label(row: Mapping[str, Any]) -> str:
    """`SVFT-R (d=16)`, as the labels of records are."""
    name = f"{row['method']}-{row['variant']}" if row["variant"] else row["method"]
    config = (row["config"] or "").replace(LINE, "").replace(" (", ", ").rstrip(")").replace(", ", ",")
    return f"{name} ({config.replace(',', ', ')})" if config else name


# --- what was reproduced ---------------------------------------------------------------------------------------------


def _row(
    manifest: dict[str, Any], row: dict[str, Any], values: dict[Key, dict[str, str]],
    records: Mapping[str, Mapping[int, Record]],
) -> list[dict[str, Any]]:  # fmt: skip
    columns = {column["metric"]: column for column in manifest["columns"]}
    lines = {metric: values.get(_place(manifest, row, metric), {}) for metric in columns}
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
    columns: Mapping[str, dict], metric: str, cells: Mapping[str, dict], records: Mapping[str, Mapping[int, Record]]
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
    return Score(
        score["mean"], score["standard_error"], entry["n"], score["items"] is not None, score["unparsed"],
        entry.get("majority"), max(watched, default=None),
    )  # fmt: skip


def _derived(column: Mapping[str, Any], parts: Sequence[Score]) -> Score:
    means = [part.mean for part in parts]
    mean = fmean(means) if "mean_of" in column else means[0] - means[1]
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
    return math.sqrt(shown[metric] * (1 - shown[metric]) / score.items) if score.verdicts else score.error


def compared(scores: Sequence[Score], value: float | None, value_error: float | None) -> dict[str, Any]:
    """Mean and interval over seeds, and the verdict on the difference to `value`; differences and noise in points."""
    if not scores:
        return {"seeds": 0}
    means = [score.mean for score in scores]
    mean, (low, high) = fmean(means), stats.bootstrap_interval(means) or (None, None)
    error = seeds_error(scores)
    difference = None if value is None else 100 * (mean - value)
    known = difference is not None and error is not None and value_error is not None
    noise = 100 * Z * math.hypot(error, value_error) if known else None
    return {
        "reproduced": mean, "low": low, "high": high, "seeds": len(scores), "error": error, "difference": difference,
        "noise": noise, "verdict": verdict(difference, noise), "items": scores[0].items,
        **{name: _mean([getattr(score, name) for score in scores]) for name in ("best_dev", "unparsed", "majority")},
    }  # fmt: skip


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
    return fmean(known) if known else None
