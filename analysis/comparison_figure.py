"""Score against trained parameters of an experiment that compares with a reference: `pareto_<experiment>.svg`, `.png`.

    python -m analysis.comparison_figure [--runs runs] [--out analysis/output/figures]

One panel a model and task, drawn as those of analysis/plots.py, with the interval over seeds of each method or the
standard error of one run.
"""

import sys
from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from analysis import command, comparison, labels, plots
from analysis.frames import methods
from errors import RecordError
from harness.store import record
from harness.store.disk import tells_disk_errors


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """As plots.points, of the rows of comparison.numbers that were run."""
    ran = frame[frame["seeds"] > 0]
    looks, error = methods().reindex(ran["method"]), ran["error"].astype(float)
    return pd.DataFrame({
        "label": ran["label"], "method": ran["method"], "params": ran["params"],
        "family": looks["family"].fillna("other").to_numpy(), "drawn": looks["drawn"].fillna("point").to_numpy(),
        "score": 100 * ran["reproduced"].astype(float),
        "low": 100 * ran["low"].astype(float).fillna(ran["reproduced"] - error),
        "high": 100 * ran["high"].astype(float).fillna(ran["reproduced"] + error),
    })  # fmt: skip


def figure(numbers: pd.DataFrame) -> Figure:
    panels = {name: points(rows) for name, rows in numbers.groupby("panel", sort=False) if rows["seeds"].any()}
    whole = Figure(figsize=(7.2, 4.6 * len(panels)), layout="constrained", dpi=200)
    axes = whole.subplots(len(panels), 1, squeeze=False)[:, 0]
    for ax, (name, frame) in zip(axes, panels.items(), strict=True):
        plots.panel(ax, frame, labelled=True)
        ax.set_title(name, loc="left", fontweight="bold")
        ax.set_ylabel("Score (%)")
    axes[-1].set_xlabel("Trained parameters (head apart)")
    whole.draw_without_rendering()  # fixes the axes, so that labels can be measured
    whole.set_layout_engine("none")
    for ax, frame in zip(axes, panels.values(), strict=True):
        labels.place(ax, plots.dots(frame), frame[frame["drawn"] == "line"]["score"].tolist())
    return whole


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.comparison_figure", __doc__, plots.OUT, "figures")
    options = command.parsed(parser, arguments)
    records, _ = record.find(options.runs)
    try:
        found = {each.name: comparison.numbers(each, records) for each in comparison.comparisons(options.runs, records)}
    except RecordError as error:
        sys.exit(str(error))
    drawn = {name: frame for name, frame in found.items() if frame["seeds"].any()}
    if not drawn:
        print(f"no finished run of an experiment with a reference below {options.runs}", file=sys.stderr)
    with matplotlib.rc_context(plots.STYLE):
        for name, frame in drawn.items():
            plots.save(figure(frame), options.out, f"pareto_{name}")
            print(f"{options.out}/pareto_{name}.{{svg,png}}")


if __name__ == "__main__":
    main()
