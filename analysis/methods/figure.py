"""What each method costs and keeps, a line a method: the figures `methods_<model>_<device>`.

Panels side by side share the lines, so that a method is read across: step time and bytes for backward against the
reference, what stays in memory against the base, the file against four times the trained numbers, the first step, and
errors in 16 bits. Axes are logarithmic; nothing is cut off, and of 0, which they have no place for, nothing is drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from analysis.figures.style import GREY, Drawing, blank, settle
from analysis.load.bench import Bench
from analysis.load.methods import shown_as
from analysis.load.records import Loaded
from analysis.methods.page import found, name

WIDE = 4.0  # from this ratio of the largest to the smallest value on, ticks are farther apart
FINE, COARSE = (0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4), (1, 2, 5)
ERRORS = {  # in the last panel
    "start_bf16": ("at the start", "|", GREY), "merge_bf16": ("merged", "x", "#0072B2"),
    "load_bf16": ("trained in fp32", "o", "#D55E00"),
}  # fmt: skip
LINE = 0.19  # inches a method


@dataclass(frozen=True)
class Panel:
    column: str
    title: str
    unit: str
    width: float = 1.0
    reference: float | None = 1.0  # where a line is drawn


PANELS = (
    Panel("ratio", "Step time", "ratio to {reference}", 1.25),
    Panel("saved", "Kept for backward", "ratio to {reference}", 1.1),
    Panel("resident", "Resident", "ratio to the base", 0.9),
    Panel("file", "File", "ratio to 4 x trained", 0.9),
    Panel("first_step", "First step", "of the weights' norm", 1.0, None),
)


def figure(one: Bench) -> Figure:
    rows = one.rows[one.rows["failed"] == ""].reset_index(drop=True)
    whole = blank(figsize=(12.5, 1.9 + LINE * len(rows)), dpi=160)
    axes = whole.subplots(1, len(PANELS) + 1, sharey=True, width_ratios=[*(each.width for each in PANELS), 1.2])
    colours = shown_as(rows["method"])["colour"]
    for ax, panel in zip(axes, PANELS, strict=False):
        _dots(ax, rows, panel, colours, one.values["reference"])
    _errors(axes[-1], rows, one.values["base"]["bf16"])
    for ax in axes:
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", color="#eeeeee", linewidth=0.7)
        ax.set_axisbelow(True)
    axes[0].set_yticks(range(len(rows)), [_label(row) for row in rows.itertuples()], fontsize=7.5)
    device = one.values["device"]["name"]
    said = f"{one.values['model']}, {device}" + (", measured under load (†)" if rows["loaded"].any() else "")
    whole.suptitle(f"What each method costs and keeps: {said}", x=0.01, ha="left", fontsize=11, fontweight="bold")
    handles, names = axes[-1].get_legend_handles_labels()
    whole.legend(handles, names, loc="outside lower right", ncols=len(names), frameon=False, fontsize=8,
                 title="Errors in bf16", title_fontsize=8)  # fmt: skip
    settle(whole)
    for ax in whole.axes:  # the last digits that the solver finds differ from run to run
        ax.set_position([round(number, 4) for number in ax.get_position().bounds])
    return whole


def _label(row) -> str:
    return f"{row.label} †" if row.loaded else row.label


def _dots(ax: Axes, rows: pd.DataFrame, panel: Panel, colours: Sequence[str], reference: str) -> None:
    values = rows[panel.column].where(rows[panel.column] > 0)
    ax.scatter(values, range(len(rows)), s=20, c=list(colours), zorder=3)
    if f"{panel.column}_low" in rows:
        bounds = (rows[f"{panel.column}_low"], rows[f"{panel.column}_high"])
        ax.hlines(range(len(rows)), *bounds, colors=list(colours), linewidth=1.6, zorder=2)
    if panel.reference:
        ax.axvline(panel.reference, color=GREY, linewidth=0.9, zorder=1)
    ax.set_xscale("log")
    ax.set_title(panel.title, loc="left", fontweight="bold")
    ax.set_xlabel(panel.unit.format(reference=reference))
    _range(ax, pd.concat([values.dropna(), pd.Series([panel.reference or values.median()])]), panel)


def _range(ax: Axes, values: pd.Series, panel: Panel) -> None:
    low, high = values.min(), values.max()
    room = (high / low) ** 0.06 * 1.04
    ax.set_xlim(low / room, high * room)
    if panel.reference and high / low < WIDE:
        ax.set_xticks([tick for tick in FINE if low / room <= tick <= high * room])
    else:
        ax.xaxis.set_major_locator(LogLocator(subs=COARSE if panel.reference and high / low < 50 else (1.0,)))
    ax.xaxis.set_major_formatter(FuncFormatter(_number))
    ax.xaxis.set_minor_locator(NullLocator())


def _number(value: float, _: int) -> str:
    return f"{value:g}" if value >= 1e-3 else f"{value:.0e}"


def _errors(ax: Axes, rows: pd.DataFrame, base: float) -> None:
    for column, (title, marker, colour) in ERRORS.items():
        values = rows[column].where(rows[column] > 0)
        face = {"facecolors": "none", "edgecolors": colour} if marker == "o" else {"c": colour}
        ax.scatter(values, range(len(rows)), s=22, marker=marker, label=title, linewidths=1.1, zorder=3, **face)
    for place, (why, start) in enumerate(zip(rows["why"], rows["load_bf16"], strict=True)):
        if "half" in why and pd.isna(start):
            ax.annotate("refused", (0.02, place), xycoords=("axes fraction", "data"), ha="left", va="center",
                        fontsize=6.5, color=ERRORS["load_bf16"][2])  # fmt: skip
    ax.axvline(base, color=GREY, linewidth=0.9, zorder=1)
    ax.set_xscale("log")
    ax.set_title("Errors on a base in bf16", loc="left", fontweight="bold")
    ax.set_xlabel("of the logits; line: the base's own")
    ax.xaxis.set_major_locator(LogLocator(numticks=6))
    ax.xaxis.set_major_formatter(FuncFormatter(_number))
    ax.xaxis.set_minor_locator(NullLocator())


def makers(loaded: Loaded) -> Mapping[str, Callable[[], Drawing]]:
    return {
        name(one): partial(Drawing, partial(figure, one))
        for benches in found(loaded).values()
        for one in benches
        if (one.rows["failed"] == "").any()
    }
