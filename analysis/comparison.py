"""Methods side by side on equal terms: `<experiment>.csv`, `.md` and `.tex`.

    python -m analysis.comparison [--runs runs] [--out analysis/output/tables]

One for each experiment below runs/experiments whose columns name a `reference` row; every panel is one model on one
task. A row's learning rate stands beside the search that picked it, and its score beside its difference to the
reference, which is called a tie where it is inside the noise (analysis/paired.py).
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import command, paired, paper, search
from analysis.frames import untrained
from analysis.grounds import ground
from analysis.paper_notes import record_notes, statistics_notes
from analysis.paper_tables import estimate
from analysis.tables import OUT, count, write
from errors import RecordError
from harness.store import record
from harness.store.disk import tells_disk_errors
from harness.store.record import Record

COLUMNS = [
    "panel", "metric", "model", "label", "method", "targets", "identity", "params", "seeds", "reproduced", "low",
    "high", "error", "unparsed", "rate", "rates", "search_seeds", "picked", "difference", "difference_low",
    "difference_high", "p", "verdict",
]  # fmt: skip


def comparisons(runs: Path, records: Sequence[Record]) -> list[paper.Experiment]:
    """The experiments below `runs` that compare with a reference."""
    found = paper.experiments(runs, records)
    return [each for each in found if any("reference" in column for column in each.manifest["columns"])]


def numbers(experiment: paper.Experiment, records: Sequence[Record]) -> pd.DataFrame:
    """One line a row of the experiment (COLUMNS), rates in [0, 1]. records: all there are, searches included.

    Raises ValueError where a panel has no row of the reference's name.
    """
    by_identity = paper.identified(experiment.records)
    columns = {column["metric"]: column for column in experiment.manifest["columns"]}
    cells = [cell for cell in experiment.cells.itertuples() if "reference" in columns[cell.metric]]
    outcomes = {
        cell.identity: paired.outcomes(columns[cell.metric], by_identity.get(cell.identity, {})) for cell in cells
    }
    anchors = {metric: _reference(column, cells) for metric, column in columns.items() if "reference" in column}
    pairs = {
        cell.identity: (outcomes[cell.identity], outcomes[anchors[cell.metric]])
        for cell in cells
        if cell.identity != anchors[cell.metric]
    }
    differences = paired.differences(pairs)
    lines = [
        {**_scored(cell), **_counted(cell, by_identity.get(cell.identity, {}), records),
         **_compared(differences.get(cell.identity), cell.identity == anchors[cell.metric])}
        for cell in cells
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=COLUMNS)


def _reference(column: Mapping[str, Any], cells: Sequence[Any]) -> str:
    """The identity of the row that a column names as its reference."""
    rows = [cell for cell in cells if cell.metric == column["metric"]]
    for cell in rows:
        if cell.label == column["reference"]:
            return cell.identity
    known = ", ".join(cell.label for cell in rows)
    raise ValueError(f"{column['metric']} has no row {column['reference']!r} to compare with; there are: {known}")


def _scored(cell) -> dict[str, Any]:
    kept = ("panel", "metric", "model", "label", "method", "targets", "identity", "params", "seeds", "reproduced",
            "low", "high", "error", "unparsed")  # fmt: skip
    return {name: getattr(cell, name) for name in kept}


def _counted(cell, runs: Mapping[int, Record], records: Sequence[Record]) -> dict[str, Any]:
    """What was really trained, at which rate, and how that was searched; empty where nothing was run or trained."""
    done = [each for each in runs.values() if each.status == "done"]
    if not done:
        return {}
    counted = {"params": done[0].parameters["adapter"]}
    if untrained(done[0]):
        return counted
    tried = searched(done[0], records)
    return counted | {
        "rate": done[0].config["train"]["lr"],
        "rates": " ".join(f"{rate:g}" for rate in sorted(tried["rate"])) or None,
        "search_seeds": int(tried["seeds"].min()) if len(tried) else None,
        "picked": search.pick(tried) if len(tried) else None,
    }


def searched(run: Record, records: Sequence[Record]) -> pd.DataFrame:
    """The validation scores of the rates that a run's own was picked from: same task, data, model, method, budget."""
    names, budget = ("task", "model", "method", "variant"), search.budget(run)
    alike = [
        each
        for each in records
        if all(each.run[name] == run.run[name] for name in names)
        and search.budget(each) == budget
        and ground(each) == ground(run)
    ]
    return search.grid(alike)


def _compared(difference: paired.Difference | None, reference: bool) -> dict[str, Any]:
    if reference:
        return {"verdict": "reference"}
    if difference is None:
        return {}
    return {
        "difference": difference.mean, "difference_low": difference.low, "difference_high": difference.high,
        "p": difference.p, "verdict": difference.verdict,
    }  # fmt: skip


# --- text ------------------------------------------------------------------------------------------------------------


def text(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as strings, in the order of the experiment; a line with the panel's name begins its rows."""
    lines = []
    for panel, rows in frame.groupby("panel", sort=False):
        lines.append({"Method": f"**{panel}**"})
        lines += [_line(row) for row in rows.itertuples()]
    columns = ["Method", "Trained", "Targets", "Rate", "Tried", "Seeds", "Score (%)", "Difference", "Verdict"]
    return pd.DataFrame(lines, columns=columns).fillna("")


def _line(row) -> dict[str, str]:
    rates = [] if pd.isna(row.rates) else row.rates.split()
    difference = row.difference, row.difference_low, row.difference_high
    return {
        "Method": row.label, "Trained": count(row.params), "Targets": row.targets,
        "Rate": "" if pd.isna(row.rate) else f"{row.rate:g}{_marks(row, rates)}",
        "Tried": "" if not rates else f"{len(rates)} × {int(row.search_seeds)}",
        "Seeds": str(row.seeds) if row.seeds else "",
        "Score (%)": estimate(row) if row.seeds else "",
        "Difference": "" if pd.isna(row.difference) else paired.with_interval(*difference),
        "Verdict": "" if pd.isna(row.verdict) else row.verdict,
    }  # fmt: skip


def _marks(row, rates: Sequence[str]) -> str:
    """‡: the best on validation data is another; †: an end of the grid, so a better one may lie outside."""
    if not rates:
        return ""
    if row.picked != row.rate:
        return "‡"
    return "†" if f"{row.rate:g}" in (rates[0], rates[-1]) else ""


def notes(experiment: paper.Experiment, frame: pd.DataFrame) -> Iterator[str]:
    columns = [column for column in experiment.manifest["columns"] if "reference" in column]
    said = [f"{column['panel']}: {column['reference']}, {column['scorer']}" for column in columns]
    yield f"Reference and scorer: {'; '.join(said)}."
    yield f"Difference: to the reference, in points, over the seeds that both have; {paired.RULE}."
    yield "Trained: parameters without the head. Score: test split."
    yield from _search_notes(frame)
    yield from statistics_notes(experiment.cells.assign(verdict=None, best_dev=None, majority=None))
    yield from record_notes(experiment)


def _search_notes(frame: pd.DataFrame) -> Iterator[str]:
    ran = frame[frame["rate"].notna()]
    grids = ran["rates"].dropna().unique()
    if len(grids):
        each = "; ".join(f"{', '.join(grid.split())}{_whose(ran, grid) if len(grids) > 1 else ''}" for grid in grids)
        yield f"Tried: learning rates × seeds of the search on validation data, whose best mean was picked: {each}."
    marks = ran.apply(lambda row: "" if pd.isna(row["rates"]) else _marks(row, row["rates"].split()), axis=1)
    if (marks == "†").any():
        yield "†: the picked rate is an end of the grid; a better one may lie outside."
    if (marks == "‡").any():
        yield "‡: not the best rate on validation data."
    without = ran[ran["rates"].isna()]
    if len(without):
        yield f"Not searched: {_named(without)}."


def _whose(rows: pd.DataFrame, grid: str) -> str:
    return f" ({_named(rows[rows['rates'] == grid])})"


def _named(rows: pd.DataFrame) -> str:
    return ", ".join(f"{model} {label}" for model, label in zip(rows["model"], rows["label"], strict=True))


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.comparison", __doc__, OUT, "tables")
    options = command.parsed(parser, arguments)
    records, broken = record.find(options.runs)
    for sentence in broken:
        print(f"not counted: {sentence}", file=sys.stderr)
    try:
        found = comparisons(options.runs, records)
    except RecordError as error:
        sys.exit(str(error))
    if not found:
        print(f"no experiment with a reference below {options.runs}/experiments", file=sys.stderr)
    for each in found:
        frame = numbers(each, records)
        write(options.out, each.name, frame, text(frame), list(notes(each, frame)))
        print(f"{options.out}/{each.name}.{{csv,md,tex}}")


if __name__ == "__main__":
    main()
