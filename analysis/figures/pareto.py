"""Score against trained parameters, for each table of results: the figures `pareto_<table>`.

One panel a benchmark (test split, first scorer of the record). A method that conf/method draws as a line (full
fine-tuning, head only) is a horizontal line, since its trained parameters are off the axis. Bars and bands are those of
the tables. Methods of equally many parameters stand side by side, a hair apart.
"""

import math
from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis.figures import labels
from analysis.figures.style import LINES, SIZE, SIZES, Drawing, blank, settle
from analysis.load.methods import shown_as
from analysis.load.records import Loaded
from analysis.pages.results import Results, results
from analysis.writing.numbers import short

PANELS = 4  # in a row


def points(result: Results, benchmark: str) -> pd.DataFrame:
    """One row a method: label, method, params, score, low and high in per cent, scorer, and its look (methods.LOOK)."""
    cells = result.cells[result.cells["benchmark"] == benchmark]
    cells = cells[cells["scorer"] == cells["scorer"].iloc[0]]
    frame = result.rows[["key", "label", "method", "adapter_params"]].merge(cells, on="key")
    frame = frame[shown_as(frame["method"])["drawn"] != "nowhere"]
    mean, error = frame["mean"], frame["standard_error"].astype(float)
    return pd.DataFrame({
        "label": frame["label"], "method": frame["method"], "params": frame["adapter_params"],
        "score": 100 * mean, "low": 100 * frame["low"].astype(float).fillna(mean - error),
        "high": 100 * frame["high"].astype(float).fillna(mean + error), "scorer": frame["scorer"],
        **shown_as(frame["method"]),
    })  # fmt: skip


def pareto(result: Results) -> Figure:
    """The figure of one (task, model)."""
    benchmarks = list(dict.fromkeys(result.cells["benchmark"]))
    rows = math.ceil(len(benchmarks) / PANELS)
    columns = math.ceil(len(benchmarks) / rows)
    wide = len(benchmarks) == 1
    figure = blank(figsize=(6.4, 4.2) if wide else (3.5 * columns, 3.1 * rows + 0.4), dpi=200)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    frames = {benchmark: points(result, benchmark) for benchmark in benchmarks}
    for benchmark, ax in zip(benchmarks, axes, strict=False):
        panel(ax, frames[benchmark], labelled=wide)
        ax.set_title(result.title if wide else benchmark, loc="left", fontweight="bold")
    for ax in axes[len(benchmarks) :]:
        ax.set_axis_off()
    scorer = frames[benchmarks[0]]["scorer"].iloc[0]
    figure.supxlabel("Trained parameters (head apart)", fontsize=9)
    figure.supylabel(f"Score, {scorer} (%)", fontsize=9)
    if wide:
        settle(figure)
        frame = frames[benchmarks[0]]
        labels.place(axes[0], dots(frame), frame[frame["drawn"] == "line"]["score"].tolist())
    else:
        figure.suptitle(result.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.legend(*_handles(frames), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def panel(ax: Axes, frame: pd.DataFrame, labelled: bool) -> None:
    """Points, lines, bars and bands of a frame as of `points`; labelled: the lines named, room left for the others.

    Columns `near` and `far`, where there are such, are the ends of bars along x.
    """
    ax.set_xscale("log")
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)
    lines = frame[frame["drawn"] == "line"]
    close = 0.05 * (frame["high"].max() - frame["low"].min())
    for row in lines.itertuples():
        _line(ax, row)
        if labelled:
            _name(ax, row, below=lines["score"].between(row.score, row.score + close, inclusive="right").any())
    shown = dots(frame)
    for _, path in shown.groupby("method", sort=False):
        colour, marker = path["colour"].iloc[0], path["marker"].iloc[0]
        ax.plot(path["x"], path["score"], color=colour, linewidth=1, alpha=0.45, zorder=2)
        for row in path.itertuples():
            ax.plot([row.x, row.x], [row.low, row.high], color=colour, linewidth=1.1, zorder=2.5)
            if "near" in path and not pd.isna(row.near):
                ax.plot([row.near, row.far], [row.score, row.score], color=colour, linewidth=1.1, zorder=2.5)
        ax.plot(path["x"], path["score"], marker=marker, linestyle="", color=colour, markersize=SIZES.get(marker, SIZE),
                markeredgecolor="white", markeredgewidth=0.8, zorder=3)  # fmt: skip
    set_axes(ax, shown["params"], frame)


def dots(frame: pd.DataFrame) -> pd.DataFrame:
    """The methods drawn as points, with `x`: their parameters, equal ones spread by 1.2 % of the axis.

    `method` becomes what a line joins: the points of a method that differ by a number, "LoRA (r=1)" and "LoRA (r=8)".
    """
    shown = frame[(frame["drawn"] == "point") & (frame["params"] > 0)].sort_values("params", kind="stable")
    shown = shown.assign(method=shown["method"].where(shown["label"].str.contains("="), shown["label"]))
    if shown.empty:
        return shown.assign(x=shown["params"])
    twins = shown.groupby("params")["params"]
    places = twins.cumcount() - (twins.transform("size") - 1) / 2
    decades = max(math.log10(shown["params"].max() / shown["params"].min()), 0.5)
    return shown.assign(x=shown["params"] * 10 ** (0.012 * decades * places))


def _line(ax: Axes, row) -> None:
    ax.axhline(row.score, color=row.colour, linewidth=1, linestyle=LINES[row.line], zorder=1)
    if not pd.isna(row.low):
        ax.axhspan(row.low, row.high, color=row.colour, alpha=0.07, linewidth=0, zorder=0.5)


def _name(ax: Axes, row, below: bool) -> None:
    """What a line is, above it; below it where another line is just above."""
    said = f"{row.label} ({short(row.params)})" if row.params else row.label
    offset, side = (-2.5, "top") if below else (2.5, "bottom")
    ax.annotate(said, (0.008, row.score), xycoords=("axes fraction", "data"), xytext=(0, offset), fontsize=8,
                textcoords="offset points", ha="left", va=side, color=row.colour)  # fmt: skip


def set_axes(ax: Axes, params: pd.Series, frame: pd.DataFrame) -> None:
    if len(params):
        ends = pd.concat([params, *(frame[name].dropna() for name in ("near", "far") if name in frame)])
        ends = ends[ends > 0]
        low, high = math.log10(ends.min()), math.log10(ends.max())
        margin = max(0.12 * (high - low), 0.25)
        ax.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    steps = (1.0,) if len(params) and params.max() / params.min() > 30 else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    bottom, top = frame[["score", "low"]].min().min(), frame[["score", "high"]].max().max()
    room = max(0.08 * (top - bottom), 0.5)
    ax.set_ylim(bottom - room, top + room)


def _handles(frames: dict[str, pd.DataFrame]) -> tuple[list, list[str]]:
    """Legend of the panels: one entry a family, in the order of the tables."""
    families = pd.concat(frames.values()).drop_duplicates(["family", "drawn"])
    handles = []
    for row in families.itertuples():
        drawn = {"linestyle": LINES[row.line]} if row.drawn == "line" else {"marker": row.marker, "linestyle": ""}
        handles.append(Line2D([], [], color=row.colour, markersize=SIZES.get(row.marker, SIZE), **drawn))
    return handles, families["family"].tolist()


def _drawable(result: Results) -> bool:
    """Has any method that plots show a score?"""
    scored = result.rows[result.rows["key"].isin(result.cells["key"])]
    return (shown_as(scored["method"])["drawn"] != "nowhere").any()


def makers(loaded: Loaded) -> dict[str, Callable[[], Drawing]]:
    drawn = [each for each in results(loaded) if _drawable(each)]
    return {f"pareto_{each.name}": partial(Drawing, partial(pareto, each), each.broken) for each in drawn}
