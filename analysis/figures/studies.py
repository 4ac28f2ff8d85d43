"""Experiments that compare with a reference: score against parameters, along one setting, along the learning rate.

`pareto_<experiment>`: score against trained parameters, a panel a model and task, drawn as those of figures/pareto.py,
with the interval over seeds of each method or the standard error of one run.
`kept_<experiment>`: the same against how far the outputs moved from the base's, where records say it.
`curves_<experiment>`, instead: of each experiment whose manifest has `curves`, which names what a line joins:
`variant`, runs of one pattern or method whose budget grows; or `targets`, runs of SVFT that adapt the same layers.
`rates_<experiment>`: what every row of an experiment scored at each rate of its search, on validation data.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.figures import bench, pareto
from analysis.figures import labels as names_beside
from analysis.figures.style import GREY, INK, Drawing, blank, settle
from analysis.load import retention
from analysis.load.methods import shown_as
from analysis.load.records import Loaded
from analysis.pages.comparison import left_out_searches, numbers
from analysis.statistics import rates
from analysis.statistics.experiments import Experiment, experiments, identified

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255")
MARKERS = ("o", "s", "^", "D", "P", "v", "X", "<")
KEPT = "outputs_moved"  # of retention.MEASURES: the one that every model has
MOVED = "How far the outputs moved from the base's, E‖ΔWh‖² / E‖W0h‖² (%)"
COLUMNS = 4  # panels in a row of `rates_<experiment>`


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """As pareto.points, of the rows of pages/comparison.numbers that were run."""
    ran = frame[frame["seeds"] > 0]
    mean, error = ran["reproduced"].astype(float), ran["error"].astype(float)
    return pd.DataFrame({
        "label": ran["label"], "method": ran["method"], "params": ran["params"], "score": 100 * mean,
        "low": 100 * ran["low"].astype(float).fillna(mean - error),
        "high": 100 * ran["high"].astype(float).fillna(mean + error),
        **shown_as(ran["method"]),
    })  # fmt: skip


def kept_points(frame: pd.DataFrame) -> pd.DataFrame:
    """As `points`, with how far the outputs moved, in per cent, in the place of `params`, and its ends near and far.

    Rows whose records do not say it are left out. What did not move at all has no place on an axis of logarithms and is
    a line; all others are points.
    """
    frame = frame[frame[KEPT].notna()]
    shown = points(frame)
    names = {"params": KEPT, "near": f"{KEPT}_low", "far": f"{KEPT}_high"}
    moved = {name: 100 * frame.loc[shown.index, column].astype(float) for name, column in names.items()}
    family = shown["family"].map(bench.MARKERS).fillna("p")
    marker = shown["marker"].where(shown["marker"].astype(bool), family)
    at_base = (moved["params"] == 0) & (shown["drawn"] != "nowhere")
    drawn = shown["drawn"].replace("line", "point").mask(at_base, "line")
    return shown.assign(**moved, marker=marker, drawn=drawn)


def pareto_figure(
    rows: pd.DataFrame, of: Callable[[pd.DataFrame], pd.DataFrame] = points, x: str = "Trained parameters (head apart)"
) -> Figure:
    """rows: as of comparison.numbers. A panel of which one row alone was run is left out, unless there is no other."""
    begun = {name: of(own) for name, own in rows.groupby("panel", sort=False) if own["seeds"].any()}
    begun = {name: frame for name, frame in begun.items() if len(frame)}
    panels = {name: frame for name, frame in begun.items() if len(frame) > 1} or begun
    whole = blank(figsize=(7.2, 4.6 * len(panels)), dpi=200)
    axes = whole.subplots(len(panels), 1, squeeze=False)[:, 0]
    for ax, (name, frame) in zip(axes, panels.items(), strict=True):
        pareto.panel(ax, frame, labelled=True)
        ax.set_title(name, loc="left", fontweight="bold")
        ax.set_ylabel("Score (%)")
    axes[-1].set_xlabel(x)
    settle(whole)
    for ax, frame in zip(axes, panels.values(), strict=True):
        names_beside.place(ax, pareto.dots(frame), frame[frame["drawn"] == "line"]["score"].tolist())
    return whole


# --- one setting -----------------------------------------------------------------------------------------------------


def curves(experiment: Experiment, rows: pd.DataFrame) -> pd.DataFrame:
    """One line a run that was made: panel, series, params; score, low and high in per cent.

    rows: as of comparison.numbers.
    """
    ran = rows[rows["seeds"] > 0]
    mean, error = ran["reproduced"].astype(float), ran["error"].astype(float)
    by_targets = ran["targets"].where(ran["label"].str.startswith("SVFT"), ran["label"])
    name = ran["label"].str.partition(" (")[0] if experiment.manifest["curves"] == "variant" else by_targets
    return pd.DataFrame({
        "panel": ran["panel"], "series": name, "label": ran["label"], "params": ran["params"], "score": 100 * mean,
        "low": 100 * ran["low"].astype(float).fillna(mean - error),
        "high": 100 * ran["high"].astype(float).fillna(mean + error),
    })  # fmt: skip


def curves_figure(frame: pd.DataFrame) -> Figure:
    panels = list(dict.fromkeys(frame["panel"]))
    looks = _looks(frame["series"])
    figure = blank(figsize=(4.6 * len(panels), 3.9), dpi=150)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        own = frame[frame["panel"] == panel]
        _axes(ax, panel)
        for series, line in own.groupby("series", sort=False):
            _line(ax, line.sort_values("params"), series, *looks[series])
        pareto.set_axes(ax, own["params"], own)
        ax.set_xlabel("Trained parameters (head apart)")
    axes[0].set_ylabel("Score (%)")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 6), frameon=False, fontsize=8)
    return figure


def _looks(series: pd.Series) -> dict[str, tuple[str, str]]:
    names = dict.fromkeys(series)
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def _axes(ax: Axes, title: str) -> None:
    ax.set_xscale("log")
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.set_title(title, loc="left", fontweight="bold")


def _line(ax: Axes, line: pd.DataFrame, name: str, colour: str, marker: str) -> None:
    ax.vlines(line["params"], line["low"], line["high"], color=colour, linewidth=1.1, zorder=2.5)
    ax.plot(line["params"], line["score"], color=colour, marker=marker, markersize=6, linewidth=1.2, label=name,
            markeredgecolor="white", markeredgewidth=0.7, zorder=3)  # fmt: skip


# --- learning rates ---


def tried(loaded: Loaded, experiment: Experiment) -> pd.DataFrame:
    """One line a row, task and rate: label, task, rate, score in per cent, steps, picked. Empty without a search."""
    searches = rates.searches(loaded.records)
    by_identity = identified(experiment.records)
    found = []
    for cell in experiment.cells.drop_duplicates("identity").itertuples():
        done = [run for run in by_identity.get(cell.identity, {}).values() if run.status == "done"]
        frame = rates.searched(done[0], searches) if done else pd.DataFrame()
        if len(frame):
            ranked = frame[frame["steps"] == frame["steps"].min()].sort_values("rate")
            said = {"label": cell.label, "task": done[0].run["task_label"], "picked": done[0].config["train"]["lr"]}
            found.append(ranked[["rate", "score", "steps"]].assign(**said))
    whole = pd.concat(found) if found else pd.DataFrame(columns=["rate", "score", "steps", "label", "task", "picked"])
    return whole.assign(score=100 * whole["score"])


def rates_figure(frame: pd.DataFrame) -> Figure:
    """A panel a row of the experiment, a line a task; the picked rate is ringed."""
    labels, looks = list(dict.fromkeys(frame["label"])), _looks(frame["task"])
    lines = -(-len(labels) // COLUMNS)
    figure = blank(figsize=(2.7 * COLUMNS, 2.0 * lines + 0.5), dpi=150)
    axes = figure.subplots(lines, COLUMNS, squeeze=False, sharex=True, sharey=True).flatten()
    for ax, label in zip(axes, labels, strict=False):
        _axes(ax, label)
        for task, line in frame[frame["label"] == label].groupby("task", sort=False):
            colour, marker = looks[task]
            line = line.sort_values("rate")
            ax.plot(line["rate"], line["score"], color=colour, marker=marker, markersize=4, linewidth=1.2, label=task)
            picked = line[line["rate"] == line["picked"]]
            ax.plot(picked["rate"], picked["score"], "o", markersize=10, markerfacecolor="none", color=INK)
        ax.xaxis.set_major_locator(LogLocator(numticks=12))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.tick_params(axis="x", labelrotation=45)
    for ax in axes[len(labels) :]:
        ax.set_axis_off()
    figure.supxlabel("Learning rate", fontsize=9)
    steps = sorted(set(frame["steps"]))
    figure.supylabel(f"Validation score after {' or '.join(map(str, steps))} steps (%)", fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    ring = axes[0].plot([], [], "o", markersize=9, markerfacecolor="none", color=GREY)
    figure.legend([*handles, *ring], [*names, "picked after all steps"], loc="outside upper right", ncols=4,
                  frameon=False, fontsize=8)  # fmt: skip
    return figure


def _drawings(loaded: Loaded, experiment: Experiment) -> Iterator[tuple[str, Drawing]]:
    left_out = [*experiment.left_out, *left_out_searches(loaded, experiment)]
    rows = partial(_of_rates, loaded, experiment)
    if experiment.cells["seeds"].any() and "curves" in experiment.manifest:
        yield f"curves_{experiment.name}", Drawing(lambda: curves_figure(curves(experiment, rows())), left_out)
    elif experiment.cells["seeds"].any():
        yield f"pareto_{experiment.name}", Drawing(lambda: pareto_figure(rows()), left_out)
    if any(retention.measured(record) for record in experiment.records):
        yield f"kept_{experiment.name}", Drawing(lambda: pareto_figure(rows(), kept_points, MOVED), left_out)
    if experiment.manifest.get("evidence") and len(tried(loaded, experiment)):
        yield f"rates_{experiment.name}", Drawing(lambda: rates_figure(tried(loaded, experiment)), left_out)


def _of_rates(loaded: Loaded, experiment: Experiment) -> pd.DataFrame:
    """comparison.numbers without the panels of losses, whose axis would be another."""
    losses = [column["metric"] for column in experiment.manifest["columns"] if column.get("better") == "lower"]
    frame = numbers(loaded, experiment.name)
    return frame[~frame["metric"].isin(losses)]


def makers(loaded: Loaded) -> dict[str, Callable[[], Drawing]]:
    found = (each for each in experiments(loaded).values() if each.compares)
    return {name: partial(lambda made: made, drawing) for each in found for name, drawing in _drawings(loaded, each)}
