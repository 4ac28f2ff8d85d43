"""Methods side by side on equal terms: one page for each manifest whose columns name a `reference` row.

Every panel is one model on one task. A row's learning rate stands beside the search that picked it, and its score
beside its difference to the reference, which is called a tie where it is inside the noise (statistics/paired.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import pandas as pd

from analysis.load import retention
from analysis.load.frames import untrained
from analysis.load.manifests import places
from analysis.load.records import Loaded
from analysis.pages.footnotes import left_out_notes
from analysis.pages.paper_notes import record_notes, statistics_notes
from analysis.statistics import paired, rates, stats
from analysis.statistics.experiments import Experiment, experiments, identified
from analysis.writing.numbers import count, estimate, nats, percent, with_interval
from analysis.writing.page import Page, Table
from harness.store.record import Record

COLUMNS = [
    "panel", "metric", "model", "label", "method", "targets", "identity", "params", "seeds", "reproduced", "low",
    "high", "error", "unparsed", "rate", "rates", "search_seeds", "picked", "difference", "difference_low",
    "difference_high", "p", "verdict",
]  # fmt: skip


@lru_cache(maxsize=4)
def numbers(loaded: Loaded, name: str) -> pd.DataFrame:
    """One line a row of the experiment `name`, rates in [0, 1]: COLUMNS, and what is known of retention (_kept).

    Raises ValueError where a panel has no row of the reference's name.
    """
    experiment, searches = experiments(loaded)[name], rates.searches(loaded.records)
    by_identity = identified(experiment.records)
    columns = {column["metric"]: column for column in experiment.manifest["columns"]}
    cells = [cell for cell in experiment.cells.itertuples() if "reference" in columns[cell.metric]]
    outcomes = {
        _name(cell): paired.outcomes(columns[cell.metric], by_identity.get(cell.identity, {})) for cell in cells
    }
    anchors = {metric: _reference(column, cells) for metric, column in columns.items() if "reference" in column}
    pairs = {
        _name(cell): (outcomes[_name(cell)], outcomes[cell.metric, anchors[cell.metric]])
        for cell in cells
        if cell.identity != anchors[cell.metric]
    }
    differences = paired.differences(pairs)
    lines = [
        {**_scored(cell), **_counted(by_identity.get(cell.identity, {}), searches),
         **_compared(differences.get(_name(cell)), cell.identity == anchors[cell.metric]),
         **_kept(by_identity.get(cell.identity, {}))}
        for cell in cells
    ]  # fmt: skip
    more = [column for name in retention.MEASURES for column in _ends(name) if any(column in line for line in lines)]
    return pd.DataFrame(lines, columns=[*COLUMNS, *more])


def _name(cell: Any) -> tuple[str, str]:
    """A run may be scored in several columns."""
    return cell.metric, cell.identity


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


def _counted(runs: Mapping[int, Record], searches: Mapping[rates.Search, Sequence[Record]]) -> dict[str, Any]:
    """What was really trained, at which rate, and how that was searched; empty where nothing was run or trained."""
    done = [each for each in runs.values() if each.status == "done"]
    if not done:
        return {}
    counted = {"params": done[0].parameters["adapter"]}
    if untrained(done[0]):
        return counted
    tried = rates.searched(done[0], searches)
    return counted | {
        "rate": done[0].config["train"]["lr"],
        "rates": " ".join(f"{rate:g}" for rate in sorted(set(tried["rate"]))) or None,
        "search_seeds": int(tried["seeds"].min()) if len(tried) else None,
        "picked": rates.pick(tried) if len(tried) else None,
    }


def _compared(difference: paired.Difference | None, reference: bool) -> dict[str, Any]:
    if reference:
        return {"verdict": "reference"}
    if difference is None:
        return {}
    return {
        "difference": difference.mean, "difference_low": difference.low, "difference_high": difference.high,
        "p": difference.p, "verdict": difference.verdict,
    }  # fmt: skip


def _kept(runs: Mapping[int, Record]) -> dict[str, float | None]:
    """Mean and interval of each measure of retention that the records have."""
    found = {}
    for name, values in retention.by_measure(runs.values()).items():
        found |= dict(zip(_ends(name), stats.mean_interval(values), strict=True))
    return found


def _ends(measure: str) -> tuple[str, str, str]:
    """Its columns."""
    return measure, f"{measure}_low", f"{measure}_high"


# --- text ------------------------------------------------------------------------------------------------------------


def text(frame: pd.DataFrame, losses: Sequence[str] = ()) -> pd.DataFrame:
    """The table as strings, in the order of the experiment; a line with the panel's name begins its rows.

    losses: metrics in nats.
    """
    lines = []
    for panel, rows in frame.groupby("panel", sort=False):
        in_nats = rows["metric"].isin(losses).all()
        lines.append({"Method": f"**{panel}{' (nats, lower is better)' if in_nats else ''}**"})
        lines += [_line(row, in_nats=in_nats) | _distances(row) for row in rows.itertuples()]
    columns = ["Method", "Trained", "Targets", "Rate", "Tried", "Seeds", "Score (%)", "Difference", "Verdict"]
    columns += [measure.title for name, measure in retention.MEASURES.items() if name in frame]
    return pd.DataFrame(lines, columns=columns).fillna("")


def _line(row, *, in_nats: bool) -> dict[str, str]:
    tried = _tried(row)
    difference = row.difference, row.difference_low, row.difference_high
    return {
        "Method": row.label, "Trained": count(row.params), "Targets": row.targets,
        "Rate": "" if pd.isna(row.rate) else f"{row.rate:g}{mark(row)}",
        "Tried": "" if not tried else f"{len(tried)} × {int(row.search_seeds)}",
        "Seeds": str(row.seeds) if row.seeds else "",
        "Score (%)": estimate(row, nats if in_nats else percent) if row.seeds else "",
        "Difference": "" if pd.isna(row.difference) else with_interval(*difference, in_nats=in_nats),
        "Verdict": "" if pd.isna(row.verdict) else row.verdict,
    }  # fmt: skip


def _distances(row) -> dict[str, str]:
    """How far it moved from its base."""
    found = {}
    for name, measure in retention.MEASURES.items():
        mean, low, high = (getattr(row, column, None) for column in _ends(name))
        if not pd.isna(mean):
            found[measure.title] = retention.shown(measure, mean, low, high)
    return found


def _tried(row) -> list[str]:
    """The rates of its search."""
    return [] if pd.isna(row.rates) else row.rates.split()


def mark(row) -> str:
    """Of the rate of a row of `numbers`.

    ‡: the best on validation data is another; †: an end of the grid, so a better one may lie outside.
    """
    tried = _tried(row)
    if not tried:
        return ""
    if row.picked != row.rate:
        return "‡"
    return "†" if f"{row.rate:g}" in (tried[0], tried[-1]) else ""


def notes(experiment: Experiment, frame: pd.DataFrame) -> Iterator[str]:
    columns = [column for column in experiment.manifest["columns"] if "reference" in column]
    said = [f"{column['panel']}: {column['reference']}, {column['scorer']}" for column in columns]
    yield f"Reference and scorer: {'; '.join(said)}."
    yield f"Difference: to the reference, in points, over the seeds that both have; {paired.RULE}."
    yield "Trained: parameters without the head. Score: test split."
    yield from retention.notes([name for name in retention.MEASURES if name in frame])
    yield from _search_notes(frame)
    yield from statistics_notes(experiment.cells.assign(verdict=None, best_dev=None, majority=None))
    yield from record_notes(experiment)


def _search_notes(frame: pd.DataFrame) -> Iterator[str]:
    ran = frame[frame["rate"].notna()]
    grids = ran["rates"].dropna().unique()
    if len(grids):
        each = "; ".join(f"{', '.join(grid.split())}{_whose(ran, grid) if len(grids) > 1 else ''}" for grid in grids)
        yield f"Tried: learning rates × seeds of the search on validation data, whose best mean was picked: {each}."
    marks = {mark(row) for row in ran.itertuples()}
    if "†" in marks:
        yield "†: the picked rate is an end of the grid; a better one may lie outside."
    if "‡" in marks:
        yield "‡: not the best rate on validation data."
    without = ran[ran["rates"].isna()]
    if len(without):
        yield f"No search is among these records: {_named(without)}."


def _whose(rows: pd.DataFrame, grid: str) -> str:
    return f" ({_named(rows[rows['rates'] == grid])})"


def _named(rows: pd.DataFrame) -> str:
    return ", ".join(
        dict.fromkeys(f"{model} {label}" for model, label in zip(rows["model"], rows["label"], strict=True))
    )


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    return {name: partial(_page, loaded, each) for name, each in experiments(loaded).items() if each.compares}


def _page(loaded: Loaded, experiment: Experiment) -> Page:
    frame = numbers(loaded, experiment.name)
    said = [*notes(experiment, frame), *left_out_notes(left_out_searches(loaded, experiment))]
    losses = [column["metric"] for column in experiment.manifest["columns"] if column.get("better") == "lower"]
    return Table(frame, text(frame, losses), said, experiment.manifest["title"])


def left_out_searches(loaded: Loaded, experiment: Experiment) -> list[str]:
    """What a search may lack: runs of its methods that are not counted, but those of the rows themselves."""
    found = loaded.left_out_at(places(experiment.manifest))
    return [sentence for sentence in found if sentence not in experiment.left_out]
