"""Score against trained parameters of an experiment that compares with a reference: the figures `pareto_<experiment>`.

One panel a model and task, drawn as those of figures/pareto.py, with the interval over seeds of each method or the
standard error of one run.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import labels, pareto
from analysis.figures.style import Drawing, blank, settle
from analysis.load.methods import shown_as
from analysis.load.records import Loaded
from analysis.pages.comparison import left_out_searches, numbers
from analysis.statistics.experiments import Experiment, experiments


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


def figure(rows: pd.DataFrame) -> Figure:
    panels = {name: points(own) for name, own in rows.groupby("panel", sort=False) if own["seeds"].any()}
    whole = blank(figsize=(7.2, 4.6 * len(panels)), dpi=200)
    axes = whole.subplots(len(panels), 1, squeeze=False)[:, 0]
    for ax, (name, frame) in zip(axes, panels.items(), strict=True):
        pareto.panel(ax, frame, labelled=True)
        ax.set_title(name, loc="left", fontweight="bold")
        ax.set_ylabel("Score (%)")
    axes[-1].set_xlabel("Trained parameters (head apart)")
    settle(whole)
    for ax, frame in zip(axes, panels.values(), strict=True):
        labels.place(ax, pareto.dots(frame), frame[frame["drawn"] == "line"]["score"].tolist())
    return whole


def makers(loaded: Loaded) -> dict[str, Callable[[], Drawing]]:
    """Of the experiments of which a run is finished, but those that are drawn as curves (figures/studies.py)."""
    drawn = [each for each in experiments(loaded).values() if each.compares and "curves" not in each.manifest]
    found = [each for each in drawn if each.cells["seeds"].any()]
    return {f"pareto_{each.name}": partial(_drawing, loaded, each) for each in found}


def _drawing(loaded: Loaded, experiment: Experiment) -> Drawing:
    left_out = [*experiment.left_out, *left_out_searches(loaded, experiment)]
    return Drawing(lambda: figure(numbers(loaded, experiment.name)), left_out)
