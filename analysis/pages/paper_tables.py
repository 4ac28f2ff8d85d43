"""The paper's tables with printed and reproduced values side by side.

One page for each manifest that reproduces a table or is a micro twin of one.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pandas as pd

from analysis.load.paper import SVFT
from analysis.load.records import Loaded
from analysis.pages.paper_notes import notes
from analysis.statistics.experiments import Experiment, experiments
from analysis.writing.numbers import count, estimate, percent
from analysis.writing.page import Page, Table

MARKS = {"inside noise": "=", "higher": ">", "lower": "<"}


def text(experiment: Experiment) -> pd.DataFrame:
    """The table as strings, in the order of the manifest; a line with the model's name begins its rows."""
    cells, twin = experiment.cells, experiment.twin
    metrics = [column["metric"] for column in experiment.manifest["columns"]]
    models = list(dict.fromkeys(cells["model"]))
    rows: dict[str, dict[tuple[str, str], list]] = {}
    for cell in cells.itertuples():
        rows.setdefault(cell.model, {}).setdefault((cell.label, cell.targets), []).append(cell)
    lines = []
    for model, own in rows.items():
        if len(models) > 1:
            lines.append({"Method": f"**{model}**"})
        lines += [_line(row, metrics, twin) for row in own.values()]
    if cells["majority"].notna().any():
        lines.append({"Method": "Majority class", **_majority(cells)})
    frame = pd.DataFrame(lines, columns=_columns(metrics, twin)).fillna("")
    return frame.rename(columns={"Method": models[0]}) if len(models) == 1 else frame


def _columns(metrics: Sequence[str], twin: bool) -> list[str]:
    head = ["Method", *([] if twin else ["Params printed"]), "Params counted", "Seeds"]
    return [*head, *[name for metric in metrics for name in ([metric] if twin else [metric, f"{metric} printed"])]]


def _line(row: Sequence[Any], metrics: Sequence[str], twin: bool) -> dict[str, str]:
    """row: its cells."""
    first, by_metric = row[0], {cell.metric: cell for cell in row}
    line = {
        "Method": first.label, "Params printed": _string(first.params_printed),
        "Params counted": count(first.params), "Seeds": seeds_said(cell.seeds for cell in row),
    }  # fmt: skip
    for metric in metrics:
        cell = by_metric.get(metric)
        line[metric] = "" if cell is None else reproduced(cell)
        line[f"{metric} printed"] = "" if cell is None else _string(cell.printed)
    return line if not twin else {name: value for name, value in line.items() if "printed" not in name}


def reproduced(cell) -> str:
    """`47.8 [46.9, 48.6] (-1.2, =)`: mean, its interval or standard error, difference in points and verdict."""
    if cell.seeds == 0:
        return ""
    said = estimate(cell)
    if not pd.isna(cell.best_dev):
        said += f"; best {percent(cell.best_dev)}"
    if pd.isna(cell.difference):
        return said
    difference = f"{cell.difference:+.1f}".replace("-0.0", "+0.0")
    return f"{said} ({difference}{'' if pd.isna(cell.verdict) else f', {MARKS[cell.verdict]}'})"


def _string(value: str | None) -> str:
    return "" if pd.isna(value) else value


def seeds_said(seeds: Iterable[int]) -> str:
    """`3`, or `1 to 5` where cells of a row have different numbers of seeds; those without any apart."""
    ran = [number for number in seeds if number > 0]
    if not ran:
        return ""
    return str(max(ran)) if min(ran) == max(ran) else f"{min(ran)} to {max(ran)}"


def _majority(cells: pd.DataFrame) -> dict[str, str]:
    known = cells.dropna(subset="majority").groupby("metric", sort=False)["majority"].first()
    return {metric: percent(share) for metric, share in known.items()}


def caption(experiment: Experiment) -> str:
    whose = "" if experiment.paper == SVFT else f" of {experiment.paper}"
    number = "" if experiment.twin else f"Table {experiment.table}{whose}. "
    return f"{number}{experiment.manifest['title'].rstrip('.')}."


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    return {name: partial(_page, each) for name, each in experiments(loaded).items() if each.table}


def _page(experiment: Experiment) -> Page:
    numbers = experiment.cells.astype({"items": "Int64", "params": "Int64", "table": "Int64"})
    return Table(numbers, text(experiment), list(notes(experiment)), caption(experiment), headed=True)
