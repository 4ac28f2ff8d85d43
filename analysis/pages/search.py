"""A learning-rate search: what every method scored on validation data at every rate of one grid, and the rate it picks.

How a rate is picked: statistics/rates.py. `default` among the picks, for variants that were not searched, is the lowest
rate that was picked for the method when it was first searched.
"""

from collections.abc import Sequence

import pandas as pd

from analysis.load.frames import ordered
from analysis.pages.footnotes import left_out_notes
from analysis.statistics.rates import pick
from analysis.writing.page import Table

HEADER = """\
# Learning rates that scored best on validation data, {family} with {model}: task, method, then variant.
# Written by `python -m analysis search --family {family} --model {model} --task {tasks}`.
"""


def table(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers, and the same as text with the picked rate in bold; one row a variant, one column a rate.

    Of a rate that was tried with several numbers of steps the score of most steps is shown.
    """
    rows = ordered(frame.drop_duplicates(["method", "variant"]))[["method", "variant", "label"]]
    last = frame.sort_values("steps", kind="stable").drop_duplicates(["method", "variant", "rate"], keep="last")
    most = frame.groupby(["method", "variant"])["steps"].transform("max").reindex(last.index)
    last = last.assign(shown=[f"{s:.1%}".rstrip("%") for s in last["score"]], short=last["steps"] < most)
    last["shown"] = [f"({cell})" if short else cell for cell, short in zip(last["shown"], last["short"], strict=True)]
    order = [tuple(row) for row in rows.itertuples(index=False)]
    numbers, shown = (
        last.pivot(index=["method", "variant", "label"], columns="rate", values=values).reindex(order)
        for values in ("score", "shown")
    )
    shown = shown.fillna("")
    picked = {variant: pick(group) for variant, group in frame.groupby(["method", "variant", "label"])}
    for rate in shown.columns:
        shown[rate] = [f"**{cell}**" if picked[row] == rate else cell for row, cell in shown[rate].items()]
    shown.columns = [f"{rate:g}" for rate in shown.columns]
    shown = shown.reset_index().rename(columns={"label": "Method", "variant": "Variant"})
    return numbers.reset_index(), shown[["Method", "Variant", *shown.columns[3:]]]


def yaml(picks: dict[str, dict[str, dict[str, float]]], family: str, model: str) -> str:
    lines = [HEADER.format(family=family, model=model, tasks=" ".join(picks))]
    for task, methods in picks.items():
        lines.append(f"{task}:\n")
        for method, rates in methods.items():
            lines += [f"  {method}:\n", *(f"    {variant}: {rate:g}\n" for variant, rate in rates.items())]
    return "".join(lines)


def seeds_note(frame: pd.DataFrame) -> str:
    seeds = " or ".join(str(n) for n in sorted(frame["seeds"].unique()))
    short = " In brackets: of a rate that was only ranked, with fewer steps." if frame["steps"].nunique() > 1 else ""
    return f"Validation score in per cent by learning rate (seeds: {seeds}). Bold: the rate picked.{short}"


def page(frame: pd.DataFrame, narrow: Sequence[str], left_out: Sequence[str]) -> Table:
    """frame, narrow: of rates.grid and rates.narrow; left_out: sentences on what is not counted."""
    few = f"Not searched, as run at less than half the rates of the widest search here: {', '.join(narrow)}."
    return Table(*table(frame), [seeds_note(frame), *([few] if narrow else []), *left_out_notes(left_out)])
