"""Rows of SVFT that other papers and notes print: counts made anew, the paper's own cell, ours, and what stands beside.

Reads analysis/reference/printed_by_others.csv, one line a printed value. Nothing is smoothed: differences are between
values as printed, in their unit, and positive where SVFT is better.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal

import pandas as pd

from analysis.checks.counts import counted
from analysis.checks.findings import agrees, listed, parameters, results
from analysis.checks.params import UNITS, verdict
from analysis.load import paper
from analysis.load.paper import SVFT, reference
from analysis.load.records import Loaded
from analysis.statistics.experiments import experiments
from analysis.writing.numbers import estimate

PRINTED, CAVEATS = "printed_by_others.csv", "printed_by_others_caveats.csv"  # in analysis/reference
COSTS = ("peak memory", "memory", "stored extra", "wall time per step")  # metrics; the others are scores
ROLE = "svft"  # of SVFT's rows; the others are comparators
GROUP = ["source", "place", "model", "training", "metric", "unit", "better"]  # what is printed in one table
CELL = [*GROUP, "task"]
AVERAGE = "Average"
FULL = "Full-FT"
PARTS = ("", "_by")
ABOUT = Decimal("1.25")  # times as many parameters, or as few, are about as many

Copy = Literal["equal", "differs", ""]


def printed() -> pd.DataFrame:
    """Every line of PRINTED, with `label`, `count` (made anew; None: it cannot be), `match` and `size`.

    size: the count, or the printed one where there is none; None where neither is known.
    """
    frame = reference(PRINTED)
    lines = frame.to_dict("records")
    counts = [recount(line) for line in lines]
    shown = frame["params_printed"].tolist()
    return frame.assign(
        label=[paper.label(line) for line in lines],
        count=pd.Series(counts, dtype="Int64"),
        match=[_match(text, number) for text, number in zip(shown, counts, strict=True)],
        size=pd.Series([_size(*pair) for pair in zip(shown, counts, strict=True)], dtype=object),
    )


def recount(line: dict[str, str]) -> int | None:
    """By closed form on the layers that are stated, or else assumed. None where shapes, layers or d are not known."""
    letters = line["target_modules"] or line["assumed_modules"]
    if not letters or not _configured(line):
        return None
    return counted(line["model"], line["method"], line["variant"], line["config"], letters)


def _configured(line: dict[str, str]) -> bool:
    """Is its configuration stated? SVFT-P has none."""
    return bool(line["config"]) or line["variant"] == "P"


def _match(text: str, number: int | None) -> str | None:
    """As params.verdict; a count that is printed to the last digit has no unit."""
    if number is None or not text:
        return None
    if text[-1] in UNITS:
        return verdict(text, number)
    return "exact" if number == int(text.replace(",", "")) else "no"


def _size(text: str, number: int | None) -> Decimal | None:
    if number is not None:
        return Decimal(number)
    return parameters(text) if text[-1:] in UNITS else None


# --- the paper's own and ours ----------------------------------------------------------------------------------------


def by_the_authors(line: dict[str, Any]) -> pd.DataFrame:
    """Cells of the SVFT paper for this model, task and row; of any configuration where the line states none."""
    cells = results()
    for own, name in (("model", "model"), ("task", "metric"), ("method", "method"), ("variant", "variant")):
        cells = cells[cells[name] == line[own]]
    return cells[cells["config"] == line["config"]] if _configured(line) else cells


def copy_of(line: dict[str, Any], cells: pd.DataFrame) -> Copy:
    """Does a line that is said to be copied have the digits of one of these cells, value and count? "" of another."""
    if line["kind"] != "copied":
        return ""
    same = (cells["value"] == line["value"]) & (cells["params_printed"] == line["params_printed"])
    return "equal" if same.any() else "differs"


def made_here(loaded: Loaded) -> dict[tuple[str, str, str], str]:
    """(model, label, task) -> score over seeds, of finished runs of the SVFT paper's own tables."""
    tables = [each for each in experiments(loaded).values() if each.table and not each.twin and each.paper == SVFT]
    cells = [cell for each in tables for cell in each.cells.itertuples() if cell.seeds]
    return {(cell.model, cell.label, cell.metric): estimate(cell) for cell in cells}


def scores(loaded: Loaded) -> pd.DataFrame:
    """The lines that are scores, with what the SVFT paper prints (`authors`), `copy`, and what runs here gave."""
    frame, ours = printed(), made_here(loaded)
    frame = frame[~frame["metric"].isin(COSTS)]
    lines = frame.to_dict("records")
    cells = [by_the_authors(line) for line in lines]
    return frame.assign(
        authors=[_said(own) for own in cells],
        copy=[copy_of(*pair) for pair in zip(lines, cells, strict=True)],
        here=[ours.get((line["model"], line["label"], line["task"]), "") for line in lines],
    )


def _said(cells: pd.DataFrame) -> str:
    """`40.34 (Tables 1, 5)`; values that differ apart."""
    tables = {value: listed(own["table"].map(str)) for value, own in cells.groupby("value", sort=False)}
    return "; ".join(f"{value} (Table{'s' * (',' in own)} {own})" for value, own in tables.items())


def costs() -> pd.DataFrame:
    frame = printed()
    return frame[frame["metric"].isin(COSTS)]


# --- where SVFT stands -----------------------------------------------------------------------------------------------


def standing(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a score of SVFT that has comparators, beside the best of each pool: `POOL` (its name), `POOL_by`.

    full: full fine-tuning; at_most: comparators of no more parameters; about: of up to ABOUT times as many or as few;
    best: all, also those whose count is not known. Full fine-tuning is in none of the last three. `_by`: how much
    better SVFT is.
    """
    lines = []
    for _, cell in frame.groupby(CELL, sort=False):
        others = _told_apart(cell[cell["role"] != ROLE].to_dict("records"))
        for line in cell[cell["role"] == ROLE].to_dict("records") if others else []:
            found = {name: _against(line, pool) for name, pool in _pools(line, others).items()}
            lines.append(line | {f"{name}{part}": each[part] for name, each in found.items() for part in PARTS})
    return pd.DataFrame(lines)


def _told_apart(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With `shown`, the label; of several rows of one label with the layers that each adapts."""
    many = Counter(line["label"] for line in lines)
    said = [line["target_modules"] if many[line["label"]] > 1 else "" for line in lines]
    return [line | {"shown": line["label"] + (f" on {on}" if on else "")} for line, on in zip(lines, said, strict=True)]


def _pools(line: dict[str, Any], others: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    rest = [other for other in others if other["method"] != FULL]
    sized = [other for other in rest if other["size"] is not None and line["size"] is not None]
    return {
        "full": [other for other in others if other["method"] == FULL],
        "at_most": [other for other in sized if other["size"] <= line["size"]],
        "about": [other for other in sized if 1 / ABOUT <= other["size"] / line["size"] <= ABOUT],
        "best": rest,
    }


def _against(line: dict[str, Any], pool: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The best of the pool, of several the first, by PARTS; "" and None where there is none."""
    if not pool:
        return {"": "", "_by": None}
    sign = 1 if line["better"] == "higher" else -1
    best = max(pool, key=lambda other: sign * Decimal(other["value"]))
    return {"": best["shown"], "_by": sign * (Decimal(line["value"]) - Decimal(best["value"]))}


# --- what the prints say of themselves -------------------------------------------------------------------------------


def averages(frame: pd.DataFrame) -> list[bool]:
    """Of each printed average whose tasks are printed beside it: is it their mean?"""
    found = []
    for _, row in frame.groupby([*GROUP, "label"], sort=False):
        whole = row.loc[row["task"] == AVERAGE, "value"]
        parts = [Decimal(value) for value in row.loc[row["task"] != AVERAGE, "value"]]
        found += [agrees(value, sum(parts) / len(parts)) for value in whole if parts]
    return found


def misprints(frame: pd.DataFrame) -> Iterator[str]:
    """Each count that its layers do not give, with other layers that the same source states for the method."""
    for line in frame[frame["match"] == "no"].to_dict("records"):
        letters = line["target_modules"] or line["assumed_modules"]
        said = (frame["source"] == line["source"]) & (frame["label"] == line["label"])
        others = {each: recount(line | {"target_modules": each}) for each in frame.loc[said, "target_modules"] if each}
        fits = [f"{each} gives {n:,}" for each, n in others.items() if n and _match(line["params_printed"], n) != "no"]
        where = f"{line['source']}, {line['model']}, {line['label']} on {letters}"
        counts = "; ".join([f"{line['count']:,} counted", *fits])
        yield f"{where}: {line['params_printed']} is printed, {counts}"
