"""Figures 1, 4 and 5 of the paper with printed and reproduced points together: `<experiment>.svg` and `.png`.

    python -m analysis.paper_figures [--runs runs] [--out analysis/output/figures]

One for each experiment below runs/experiments that reproduces a figure or is a micro twin of one. Hollow: printed,
where a table of the paper gives the value; a point that is plotted there without a printed value is a tick on the x
axis. Solid, with the interval over seeds or the standard error of one run: reproduced.
"""

import sys
from collections.abc import Sequence
from itertools import product

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from analysis import command, labels, plots
from analysis.frames import methods
from analysis.paper import Experiment, experiments
from errors import RecordError
from harness.store import record
from harness.store.disk import tells_disk_errors

TYPES = ("QV", "QKV", "UD", "QKVUD", "QKVUDOG")  # the order of Figure 4's legend
TYPE_COLOURS = dict(zip(TYPES, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"), strict=True))
D_MARKERS = {"": "o", "d=2": "s", "d=4": "^", "d=8": "D", "d=16": "P"}
REPRODUCED, PRINTED, UNVALUED = "reproduced", "printed in a table", "plotted, value not printed"


def points(experiment: Experiment) -> pd.DataFrame:
    """One row a printed, reproduced or unvalued point, in per cent, with its colour and marker."""
    rows = []
    for cell in experiment.cells.itertuples():
        if cell.metric != plotted(experiment, cell.panel):
            continue
        shared = {
            "panel": cell.panel, "label": cell.label, "method": cell.method, "targets": cell.targets,
            "metric": cell.metric, "params": cell.params, "drawn": methods()["drawn"].get(cell.method, "point"),
            **_look(experiment, cell),
        }  # fmt: skip
        if cell.seeds:
            error = cell.error if pd.isna(cell.low) else None
            low, high = (cell.low, cell.high) if error is None else (cell.reproduced - error, cell.reproduced + error)
            values = {"score": 100 * cell.reproduced, "low": _percent(low), "high": _percent(high)}
            rows.append({**shared, "kind": REPRODUCED, **values})
        if not pd.isna(cell.printed):
            rows.append({**shared, "kind": PRINTED, "score": float(cell.printed)})
        elif not experiment.twin:
            rows.append({**shared, "kind": UNVALUED})
    columns = ["panel", "label", "method", "targets", "metric", "params", "drawn", "colour", "marker", "kind", "score"]
    frame = pd.DataFrame(rows, columns=[*columns, "low", "high"])
    return frame.astype(dict.fromkeys(("params", "score", "low", "high"), float))


def plotted(experiment: Experiment, panel: str) -> str:
    """The metric of a panel: its mean of several benchmarks where it has one, else its only column."""
    columns = [column for column in experiment.manifest["columns"] if column.get("panel") in (None, "", panel)]
    means = [column for column in columns if "mean_of" in column]
    return (means or columns)[0]["metric"]


def _percent(rate: float | None) -> float | None:
    return None if pd.isna(rate) else 100 * rate


def _look(experiment: Experiment, cell) -> dict[str, str]:
    """By method; in Figure 4, whose points are all SVFT's, colour by adapted layers and marker by d."""
    if experiment.figure == "F4":
        config = cell.label.partition("(")[2].rstrip(")")
        return {"colour": TYPE_COLOURS.get(cell.targets, plots.GREY), "marker": D_MARKERS.get(config, "*")}
    family = methods()["family"].get(cell.method, "other")
    colour, marker = plots.LOOKS.get(family, plots.OTHER)
    return {"colour": colour, "marker": marker}


def figure(experiment: Experiment) -> Figure:
    frame = points(experiment)
    panels = list(dict.fromkeys(frame["panel"]))
    whole = Figure(
        figsize=(6.6 * len(panels), 5.4 if experiment.figure == "F4" else 4.9), layout="constrained", dpi=150
    )
    parts = whole.subfigures(1, len(panels), squeeze=False)[0]
    axes = [_panel(part, frame[frame["panel"] == panel], experiment) for part, panel in zip(parts, panels, strict=True)]
    # The labels measure the axes, which therefore must be fixed.
    whole.draw_without_rendering()
    whole.set_layout_engine("none")
    if experiment.figure != "F4":
        for ax, panel in zip(axes, panels, strict=True):
            _label(ax, frame[frame["panel"] == panel])
    return whole


def _panel(part: SubFigure, frame: pd.DataFrame, experiment: Experiment) -> Axes:
    ax = part.subplots()
    ax.set_xscale("log")
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)
    dots = frame[frame["drawn"] == "point"]
    for line in _lines(frame).itertuples():
        _line(ax, line)
    _join(ax, dots, experiment)
    for dot in dots[dots["score"].notna()].itertuples():
        _dot(ax, dot)
    for tick in dots[dots["kind"] == UNVALUED].itertuples():
        ax.plot([tick.params], [0], "|", color=tick.colour, markersize=9, markeredgewidth=1.4, clip_on=False,
                transform=ax.get_xaxis_transform(), zorder=3)  # fmt: skip
    model = experiment.cells[experiment.cells["panel"] == frame["panel"].iloc[0]]["model"].iloc[0]
    ax.set_title(f"{model}, {frame['metric'].iloc[0]}", loc="left", fontweight="bold")
    _limits(ax, dots, frame)
    ax.set_xlabel("Trained parameters (head apart)")
    ax.set_ylabel("Accuracy (%)")
    handles = _handles(frame, by_layers=experiment.figure == "F4")
    place = {"loc": "outside lower center", "frameon": False, "fontsize": 8}
    part.legend(handles=handles, ncols=3, **place)
    return ax


def _join(ax: Axes, dots: pd.DataFrame, experiment: Experiment) -> None:
    """A thin line through what grows by one setting: in Figure 4 the points of one set of layers."""
    if experiment.figure != "F4":
        return
    for _, path in dots[dots["kind"] == REPRODUCED].groupby("targets", sort=False):
        path = path.sort_values("params")
        ax.plot(path["params"], path["score"], color=path["colour"].iloc[0], linewidth=1, alpha=0.45, zorder=2)


def _dot(ax: Axes, dot) -> None:
    hollow = dot.kind == PRINTED
    if not pd.isna(dot.low):
        ax.plot([dot.params, dot.params], [dot.low, dot.high], color=dot.colour, linewidth=1.1, zorder=2.5)
    face, edge = ("white", dot.colour) if hollow else (dot.colour, "white")
    size = 5.4 if dot.marker == "D" else 6.5  # a diamond is a square on its corner, and so as wide as the others
    ax.plot([dot.params], [dot.score], dot.marker, color=dot.colour, markersize=size, markerfacecolor=face,
            markeredgecolor=edge, markeredgewidth=1.2 if hollow else 0.8, zorder=2.8 if hollow else 3)  # fmt: skip


def _lines(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["drawn"] == "line") & frame["score"].notna()]


def _line(ax: Axes, line) -> None:
    """Full fine-tuning, whose parameters are off the axis."""
    style = (0, (2, 3)) if line.kind == PRINTED else (0, (6, 3))
    ax.axhline(line.score, color=line.colour, linewidth=1, linestyle=style, zorder=1)
    if not pd.isna(line.low):
        ax.axhspan(line.low, line.high, color=line.colour, alpha=0.07, linewidth=0, zorder=0.5)


def _line_label(ax: Axes, line, taken: list[Bbox]) -> None:
    """At the first of six places along the line where no point, other line's label or other line is."""
    count = "" if pd.isna(line.params) else f" ({plots.short(line.params)})"
    text = ax.annotate(f"{line.label}{count}, {line.kind.split()[0]}", (0.008, line.score), fontsize=8, xytext=(0, 0),
                       xycoords=("axes fraction", "data"), textcoords="offset points", color=line.colour)  # fmt: skip
    for vertical, (x, side) in product(("bottom", "top"), ((0.008, "left"), (0.992, "right"), (0.5, "center"))):
        text.xy = (x, line.score)
        text.set(position=(0, 2.5 if vertical == "bottom" else -3), ha=side, va=vertical)
        box = text.get_window_extent()
        if not box.count_overlaps(taken):
            break
    taken.append(box)


def _limits(ax: Axes, dots: pd.DataFrame, frame: pd.DataFrame) -> None:
    scored = frame[frame["score"].notna()]
    plots._axes(ax, dots["params"].dropna(), scored.fillna({"low": scored["score"], "high": scored["score"]}))
    if scored.empty:
        ax.set_ylim(0, 100)


def _label(ax: Axes, frame: pd.DataFrame) -> None:
    """One label a method and configuration: beside the reproduced point or, where there is none, the printed one."""
    dots = frame[(frame["drawn"] == "point") & frame["score"].notna()].rename(columns={"params": "x"})
    order = dots["kind"].map({REPRODUCED: 0, PRINTED: 1})
    named = dots.assign(order=order).sort_values("order", kind="stable").drop_duplicates(["label", "targets"])
    lines = _lines(frame)
    taken = [_around(ax, dot.x, dot.score) for dot in dots.itertuples()]
    frame_box = ax.get_window_extent()
    for line in lines.itertuples():
        levels = [ax.transData.transform((1, other))[1] for other in lines["score"] if other != line.score]
        bars = [Bbox.from_extents(frame_box.x0, y - 1, frame_box.x1, y + 1) for y in levels]
        _line_label(ax, line, taken := [*taken, *bars])
    # A letter that is taken away again keeps the place of each hollow point whose label stands at its solid twin.
    held = [ax.text(twin.x, twin.score, "o", ha="center", va="center") for twin in dots.drop(named.index).itertuples()]
    # Each point is a path of its own: no line joins them.
    labels.place(ax, named.assign(method=named["label"]), lines["score"].tolist())
    for letter in held:
        letter.remove()


def _around(ax: Axes, x: float, y: float) -> Bbox:
    """The box of a marker, in pixels."""
    radius = 5 * ax.figure.dpi / 72
    x, y = ax.transData.transform((x, y))
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _handles(frame: pd.DataFrame, by_layers: bool) -> list[Line2D]:
    kinds = [kind for kind in (REPRODUCED, PRINTED, UNVALUED) if (frame["kind"] == kind).any()]
    looks = {
        REPRODUCED: {"marker": "o"}, PRINTED: {"marker": "o", "markerfacecolor": "white", "markeredgewidth": 1.2},
        UNVALUED: {"marker": "|", "markersize": 9, "markeredgewidth": 1.4},
    }  # fmt: skip
    shown = [Line2D([], [], color=plots.GREY, linestyle="", label=kind, **looks[kind]) for kind in kinds]
    if not by_layers:
        return shown
    shown += [Line2D([], [], linestyle="", label="")] * (len(TYPES) - len(shown))  # a column of the legend each
    layers = [kind for kind in TYPE_COLOURS if (frame["targets"] == kind).any()]
    shown += [Line2D([], [], color=TYPE_COLOURS[kind], marker="o", linestyle="", label=kind) for kind in layers]
    configs = frame.drop_duplicates("marker")[["label", "marker"]]
    return shown + [
        Line2D([], [], color=plots.INK, marker=row.marker, linestyle="", markerfacecolor="none", label=row.label)
        for row in configs.itertuples()
    ]


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.paper_figures", __doc__, plots.OUT, "figures")
    options = command.parsed(parser, arguments)
    try:
        found = [each for each in experiments(options.runs, record.find(options.runs)[0]) if each.figure]
    except RecordError as error:
        sys.exit(str(error))
    drawn = [each for each in found if each.cells["seeds"].any() or not each.twin]
    if not drawn:
        print(f"no experiment of a figure below {options.runs}/experiments", file=sys.stderr)
    with matplotlib.rc_context(plots.STYLE):
        for each in drawn:
            plots.save(figure(each), options.out, each.name)
            print(f"{options.out}/{each.name}.{{svg,png}}")


if __name__ == "__main__":
    main()
