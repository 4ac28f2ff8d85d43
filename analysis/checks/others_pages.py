"""SVFT in other papers: the pages `printed_by_others`, `printed_by_others_standing` and `printed_by_others_costs`."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd

from analysis.checks import others, params
from analysis.checks.findings import listed
from analysis.load.paper import reference
from analysis.load.records import Loaded
from analysis.writing.numbers import count
from analysis.writing.page import Page, Table

NAME = "printed_by_others"
KINDS = {
    "rerun": "run by the source",
    "copied": "taken from the SVFT paper",
    "claimed": "stated without a table",
}
ABOUT = f"between {1 / others.ABOUT} and {others.ABOUT} times as many"
NUMBERS = [
    "source", "place", "kind", "role", "model", "training", "task", "label", "target_modules", "assumed_modules",
    "params_printed", "count", "match", "metric", "unit", "better", "value", "hardware", "seeds", "caveats",
]  # fmt: skip
POOLS = {
    "full": "To full fine-tuning", "at_most": "To the best, at most as many", "about": "To the best, about as many",
    "best": "To the best of all",
}  # fmt: skip


# --- footnotes -------------------------------------------------------------------------------------------------------


def numbered(caveats: Sequence[str]) -> dict[str, int]:
    """Caveats by their ids, numbered in the order in which the lines of a page first have them."""
    ids = dict.fromkeys(each for line in caveats for each in line.split())
    return {each: number for number, each in enumerate(ids, 1)}


def caveat_notes(numbers: dict[str, int]) -> Iterator[str]:
    """Raises KeyError where an id has no text."""
    texts = reference(others.CAVEATS).set_index("caveat")["text"]
    yield from (f"Note {number}: {texts[each]}" for each, number in numbers.items())


def _marks(caveats: str, numbers: dict[str, int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers[each] for each in caveats.split()))


def _kind_note(frame: pd.DataFrame) -> str:
    kinds = [kind for kind in dict.fromkeys(frame["kind"]) if kind]
    return f"Kind of SVFT's value: {', '.join(f'{kind} ({KINDS[kind]})' for kind in kinds)}."


# --- every value -----------------------------------------------------------------------------------------------------


def values(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One line a printed score below one that says of what; frame: of others.scores."""
    numbers = numbered(frame["caveats"])
    lines = []
    for name, group in frame.groupby(others.GROUP, sort=False):
        lines.append({"Row": _heading(dict(zip(others.GROUP, name, strict=True)))})
        lines += [_value(line, numbers) for line in group.to_dict("records")]
    return pd.DataFrame(lines).fillna(""), [*_value_notes(frame), *caveat_notes(numbers)]


def _heading(group: dict[str, str]) -> str:
    trained = f", trained on {group['training']}" if group["training"] else ""
    return f"**{group['source']}, {group['place']}: {group['model']}{trained}; {_metric(group)}**"


def _metric(line: dict[str, str]) -> str:
    unit = f", {line['unit']}" if line["unit"] else ""
    return f"{line['metric']}{unit}{' (lower is better)' if line['better'] == 'lower' else ''}"


def _value(line: dict[str, Any], numbers: dict[str, int]) -> dict[str, str]:
    assumed = f"{line['assumed_modules']} assumed" if line["assumed_modules"] else ""
    return {
        "Row": line["label"], "Kind": line["kind"], "Task": line["task"],
        "Layers": line["target_modules"] or assumed, "Trained, printed": line["params_printed"],
        "Counted": count(line["count"]), "Match": line["match"] or "", "Printed": line["value"],
        "In the SVFT paper": ", ".join(filter(None, [line["authors"], line["copy"]])), "Here": line["here"],
        "Seeds": line["seeds"], "Notes": _marks(line["caveats"], numbers),
    }  # fmt: skip


def _value_notes(frame: pd.DataFrame) -> Iterator[str]:
    yield _kind_note(frame)
    checked = frame[frame["match"].notna()].drop_duplicates([*others.GROUP, "label", "params_printed"])
    right = int((checked["match"] != "no").sum())
    wrong = list(dict.fromkeys(others.misprints(checked)))
    yield (
        f"Counted: by closed form from the layers' shapes. {right} of {len(checked)} printed counts of rows whose "
        f"layers are known are reproduced{'' if right == len(checked) else f'. Not: {listed(wrong)}'}."
    )
    copies = frame[frame["copy"] != ""]
    yield (
        f"{(copies['copy'] == 'equal').sum()} of {len(copies)} copied values have the digits of the SVFT paper, "
        "value and count."
    )
    means = others.averages(frame)
    yield f"{sum(means)} of {len(means)} printed averages with their tasks beside them are the mean of the tasks."
    here = int((frame["here"] != "").sum())
    yield (
        "In the SVFT paper: the same model, task and row; empty where it has none. "
        f"Here: finished runs here of the same; {here or 'none'} of {len(frame)} values has one."
    )
    yield "Seeds: as stated, empty where they are not. Nothing is smoothed, and no interval is at hand."


# --- where SVFT stands -----------------------------------------------------------------------------------------------


def standing(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One line a score of SVFT; frame: of others.standing."""
    numbers = numbered(frame["caveats"])
    lines = []
    for _, cell in frame.groupby(others.CELL, sort=False):
        own = cell.to_dict("records")
        lines.append({"Row": f"**{own[0]['source']}: {own[0]['model']}, {own[0]['task']}; {_metric(own[0])}**"})
        lines += [_stands(line, numbers) for line in own]
    return pd.DataFrame(lines).fillna(""), [*_standing_notes(frame), *caveat_notes(numbers)]


def _stands(line: dict[str, Any], numbers: dict[str, int]) -> dict[str, str]:
    differences = {title: _difference(line[pool], line[f"{pool}_by"]) for pool, title in POOLS.items()}
    differences[POOLS["full"]] = differences[POOLS["full"]].partition(" ")[0]  # its name is the title
    return {
        "Row": line["label"], "Trained": count(line["count"]) or line["params_printed"], "Printed": line["value"],
        **differences, "Notes": _marks(line["caveats"], numbers),
    }  # fmt: skip


def _difference(label: str, by: Decimal | None) -> str:
    return "" if pd.isna(by) else f"{signed(by)} {label}"


def signed(difference: Decimal) -> str:
    """With its sign and all its decimals; zero has no sign."""
    return f"{difference:+}" if difference else f"{abs(difference)}"


def _standing_notes(frame: pd.DataFrame) -> Iterator[str]:
    yield "SVFT was run by the source in all of these rows. Printed and differences are in the unit of the heading."
    yield (
        "Differences: SVFT's printed value less the other's, positive where SVFT is better. They are not "
        "tested: no interval is at hand."
    )
    yield (
        f"At most as many: the best comparator that trains no more parameters; about as many: {ABOUT}; of all: "
        "whatever it trains, or where its count is not known. Full fine-tuning is in none of them. "
        "Empty: there is none whose count is known."
    )
    yield "Trained: counted, or as printed where the layers' shapes are not at hand."


# --- costs -----------------------------------------------------------------------------------------------------------


def costs(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """One line a row of a source and model, its measures beside it; frame: of others.costs."""
    numbers = numbered(frame["caveats"])
    lines = []
    group = ["source", "place", "model", "metric", "unit"]
    for (source, place, model, metric, unit), own in frame.groupby(group, sort=False):
        svft = own.loc[own["role"] == others.ROLE, "value"].map(Decimal)
        said = ", ".join(filter(None, [f"{source}, {place}: {model}".removesuffix(": "), own["hardware"].iloc[0]]))
        lines.append({"Row": f"**{said}; {metric}, {unit}**"})
        lines += [_cost(line, svft.iloc[0], numbers) for line in own.to_dict("records")]
    notes = [
        _kind_note(frame),
        "SVFT / row: how many times as much SVFT takes as the row, of the printed values.",
    ]
    return pd.DataFrame(lines).fillna(""), [*notes, *caveat_notes(numbers)]


def _cost(line: dict[str, Any], svft: Decimal, numbers: dict[str, int]) -> dict[str, str]:
    compared = line["role"] != others.ROLE
    return {
        "Row": line["label"], "Kind": line["kind"], "Layers": line["target_modules"],
        "Trained": count(line["count"]), "Printed": line["value"],
        "SVFT / row": f"{svft / Decimal(line['value']):.2f}" if compared else "",
        "Notes": _marks(line["caveats"], numbers),
    }  # fmt: skip


# --- pages -----------------------------------------------------------------------------------------------------------


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    """None where the paper's own counts were not made anew: own runs alone ask for none of it."""
    if not (loaded.runs / params.COUNTS).exists():
        return {}
    return {
        NAME: lambda: _values(loaded), f"{NAME}_standing": lambda: _standing(loaded), f"{NAME}_costs": _costs
    }  # fmt: skip


def _values(loaded: Loaded) -> Page:
    frame = others.scores(loaded)
    return Table(frame[[*NUMBERS, "authors", "copy", "here"]], *values(frame), title="SVFT in other papers")


def _standing(loaded: Loaded) -> Page:
    frame = others.standing(others.scores(loaded))
    pools = [f"{pool}{part}" for pool in POOLS for part in others.PARTS]
    return Table(frame[[*NUMBERS, *pools]], *standing(frame), title="Where SVFT stands in other papers")


def _costs() -> Page:
    frame = others.costs()
    return Table(frame[NUMBERS], *costs(frame), title="Memory and time of SVFT in other papers")
