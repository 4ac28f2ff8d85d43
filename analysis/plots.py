"""Score against trained parameters, from records alone: `pareto_<table>.svg` and `.png`, tables as of `tables`.

    python -m analysis.plots [--runs runs] [--out analysis/output/figures]

One panel a benchmark (test split, first scorer of the record). A method that methods.csv draws as a line (full
fine-tuning, head only) is a horizontal line, since its trained parameters are off the axis. Bars and bands are those of
the tables. Methods of equally many parameters stand side by side, a hair apart.
"""

import math
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from analysis import command, labels
from analysis.frames import methods
from analysis.tables import Results, results
from errors import RecordError
from harness.store.disk import tells_disk_errors
from harness.store.files import write_bytes

OUT = Path("analysis", "output", "figures")
PANELS = 4  # in a row
INK, GREY = "#222222", "#6b6b6b"
# Colours of Okabe and Ito (2008) first, told apart with any common colour vision; no two families share a marker.
LOOKS = {
    "SVFT": ("#D55E00", "o"), "LoRA": ("#0072B2", "s"), "DoRA": ("#56B4E9", "D"), "VeRA": ("#009E73", "^"),
    "BOFT": ("#CC79A7", "v"), "OFT": ("#882255", "<"), "PiSSA": ("#332288", "P"), "AdaLoRA": ("#117733", "X"),
    "VectorFit": ("#E69F00", "*"), "SVF": ("#B8A400", ">"), "Spectral-A": ("#A50026", (4, 1, 0)),
    "Spectral-R": ("#8C510A", (6, 1, 0)), "Full-FT": (INK, ""), "Head": (GREY, ""), "Pre-trained": ("#999999", ""),
}  # fmt: skip
OTHER = (GREY, "p")
SIZE, DASHES = 6.5, (0, (5, 3))
SIZES = {"*": 9.5, (4, 1, 0): 9.5, (6, 1, 0): 9.0, "P": 8.0, "X": 8.0}  # those that have less ink than a square
DOTTED = {"Pre-trained": (0, (1, 2))}
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY,
    "xtick.color": GREY, "ytick.color": GREY, "axes.spines.top": False, "axes.spines.right": False,
    "svg.hashsalt": "svft-bench", "svg.fonttype": "path",
    "text.parse_math": False,  # labels are the user's
}  # fmt: skip


def points(result: Results, benchmark: str) -> pd.DataFrame:
    """One row a method: label, method, family, drawn, params, and score, low and high in per cent."""
    cells = result.cells[result.cells["benchmark"] == benchmark]
    cells = cells[cells["scorer"] == cells["scorer"].iloc[0]]
    frame = result.rows[["key", "label", "method", "adapter_params"]].merge(cells, on="key")
    frame = frame[frame["method"].map(methods()["drawn"]) != "nowhere"]
    looks = methods().reindex(frame["method"])
    error = frame["standard_error"].astype(float)
    mean = frame["mean"]
    return pd.DataFrame({
        "label": frame["label"], "method": frame["method"], "params": frame["adapter_params"],
        "family": looks["family"].fillna("other").to_numpy(), "drawn": looks["drawn"].fillna("point").to_numpy(),
        "score": 100 * mean, "low": 100 * frame["low"].astype(float).fillna(mean - error),
        "high": 100 * frame["high"].astype(float).fillna(mean + error), "scorer": frame["scorer"],
    })  # fmt: skip


def pareto(result: Results) -> Figure:
    """The figure of one (task, model)."""
    benchmarks = list(dict.fromkeys(result.cells["benchmark"]))
    rows = math.ceil(len(benchmarks) / PANELS)
    columns = math.ceil(len(benchmarks) / rows)
    wide = len(benchmarks) == 1
    figure = Figure(figsize=(6.4, 4.2) if wide else (3.5 * columns, 3.1 * rows + 0.4), layout="constrained", dpi=200)
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
        figure.draw_without_rendering()  # fixes the axes, so that labels can be measured
        figure.set_layout_engine("none")
        frame = frames[benchmarks[0]]
        labels.place(axes[0], dots(frame), frame[frame["drawn"] == "line"]["score"].tolist())
    else:
        figure.suptitle(result.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.legend(*_handles(frames), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def panel(ax: Axes, frame: pd.DataFrame, labelled: bool) -> None:
    """Points, lines, bars and bands of a frame as of `points`; labelled: the lines named, room left for the others."""
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
        colour, marker = _look(path["family"].iloc[0])
        ax.plot(path["x"], path["score"], color=colour, linewidth=1, alpha=0.45, zorder=2)
        for row in path.itertuples():
            ax.plot([row.x, row.x], [row.low, row.high], color=colour, linewidth=1.1, zorder=2.5)
        ax.plot(path["x"], path["score"], marker=marker, linestyle="", color=colour, markersize=SIZES.get(marker, SIZE),
                markeredgecolor="white", markeredgewidth=0.8, zorder=3)  # fmt: skip
    _axes(ax, shown["params"], frame)


def dots(frame: pd.DataFrame) -> pd.DataFrame:
    """The methods drawn as points, their colour, and `x`: their parameters, equal ones spread by 1.2 % of the axis.

    `method` becomes what a line joins: the points of a method that differ by a number, "LoRA (r=1)" and "LoRA (r=8)".
    """
    shown = frame[(frame["drawn"] == "point") & (frame["params"] > 0)].sort_values("params", kind="stable")
    shown = shown.assign(method=shown["method"].where(shown["label"].str.contains("="), shown["label"]))
    shown = shown.assign(colour=[_look(family)[0] for family in shown["family"]])
    if shown.empty:
        return shown.assign(x=shown["params"])
    twins = shown.groupby("params")["params"]
    places = twins.cumcount() - (twins.transform("size") - 1) / 2
    decades = max(math.log10(shown["params"].max() / shown["params"].min()), 0.5)
    return shown.assign(x=shown["params"] * 10 ** (0.012 * decades * places))


def _line(ax: Axes, row) -> None:
    colour, _ = _look(row.family)
    ax.axhline(row.score, color=colour, linewidth=1, linestyle=DOTTED.get(row.family, DASHES), zorder=1)
    if not pd.isna(row.low):
        ax.axhspan(row.low, row.high, color=colour, alpha=0.07, linewidth=0, zorder=0.5)


def _name(ax: Axes, row, below: bool) -> None:
    """What a line is, above it; below it where another line is just above."""
    said = f"{row.label} ({short(row.params)})" if row.params else row.label
    offset, side = (-2.5, "top") if below else (2.5, "bottom")
    ax.annotate(said, (0.008, row.score), xycoords=("axes fraction", "data"), xytext=(0, offset), fontsize=8,
                textcoords="offset points", ha="left", va=side, color=_look(row.family)[0])  # fmt: skip


def _axes(ax: Axes, params: pd.Series, frame: pd.DataFrame) -> None:
    if len(params):
        low, high = math.log10(params.min()), math.log10(params.max())
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


def short(number: float) -> str:
    """1550 -> 1.55K, 26247168 -> 26.2M."""
    power = max(0, min((len(str(int(number))) - 1) // 3, 3))
    return f"{number / 1000**power:.3g}{('', 'K', 'M', 'B')[power]}"


def _look(family: str) -> tuple[str, str]:
    return LOOKS.get(family, OTHER)


def _handles(frames: dict[str, pd.DataFrame]) -> tuple[list, list[str]]:
    """Legend of the panels: one entry a family, in the order of the tables."""
    families = pd.concat(frames.values())[["family", "drawn"]].drop_duplicates()
    handles = []
    for row in families.itertuples():
        colour, marker = _look(row.family)
        line, size = DOTTED.get(row.family, DASHES), SIZES.get(marker, SIZE)
        drawn = {"linestyle": line} if row.drawn == "line" else {"marker": marker, "linestyle": ""}
        handles.append(Line2D([], [], color=colour, markersize=size, **drawn))
    return handles, families["family"].tolist()


def _drawable(result: Results) -> bool:
    """Has any method that plots show a score?"""
    scored = result.rows[result.rows["key"].isin(result.cells["key"])]
    return (scored["method"].map(methods()["drawn"]) != "nowhere").any()


def save(figure: Figure, folder: Path, name: str) -> None:
    """SVG and PNG, without a date: the same records give the same bytes."""
    for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        drawn = BytesIO()
        figure.savefig(drawn, format=ending, metadata=metadata)
        write_bytes(folder / f"{name}.{ending}", drawn.getvalue())


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.plots", __doc__, OUT, "figures")
    options = command.parsed(parser, arguments)
    try:
        there = results(options.runs)
    except RecordError as error:
        sys.exit(str(error))
    for sentence in (sentence for result in there for sentence in result.broken):
        print(f"not drawn: {sentence}", file=sys.stderr)
    found = [result for result in there if _drawable(result)]
    if not found:
        print(f"no finished run below {options.runs}; `python run.py` makes one", file=sys.stderr)
    with matplotlib.rc_context(STYLE):
        for result in found:
            save(pareto(result), options.out, f"pareto_{result.name}")
            print(f"{options.out}/pareto_{result.name}.{{svg,png}}")


if __name__ == "__main__":
    main()
