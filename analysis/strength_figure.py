"""VectorFit's training strength: `vectorfit_strength.svg` and `.png`, and the paper's, `vectorfit_strength_printed`.

    python -m analysis.strength_figure [--runs runs] [--out analysis/output/figures]

Above: a heat map a run, kind of vector by layer (from 1), at the last step, the mean over seeds, on one scale of
colours; below it the mean, the largest and the spread of a seed's vectors, each as a mean over seeds. Lines, over the
steps: the largest strength, and the spread σ/μ over the vectors; thin a seed, thick their mean. The second figure has
the values read off the paper's own heat maps (Hegde et al. 2025, arXiv:2503.19530), 12 layers deep; its two panels are
untitled there, so which of them was trained with adaptive freezing is not known.
"""

import sys
from collections.abc import Mapping, Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from analysis import command, paper, plots
from analysis.training_strength import LETTERS, NAME, last, read, spreads, strengths
from errors import RecordError
from harness.store.disk import tells_disk_errors

PRINTED = "vectorfit_training_strength.csv"  # in analysis/reference
KINDS = [
    f"{symbol} {letter}" for symbol in ("σ", "b") for letter in LETTERS.values()
]  # the order of the paper's figure
COLOURS = "viridis"  # its lightness grows evenly, so that it can be read in grey
LOOKS = ((plots.INK, "-"), ("#D55E00", (0, (4, 1.5))), ("#0072B2", (0, (1, 1.2))), ("#009E73", (0, (4, 1, 1, 1))))
MEASURES = {"max": "Largest training strength", "spread": "Spread over the vectors, σ/μ"}
UNTITLED = (
    "Read off the heat maps of Hegde et al. 2025 (arXiv:2503.19530). Their panels are untitled: "
    "which of them was trained with adaptive freezing is not known."
)


def grid(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean strength, kinds in the order of KINDS by layers; frame: columns kind, layer, strength."""
    means = frame.astype({"strength": float}).pivot_table(index="kind", columns="layer", values="strength")
    return means.reindex([kind for kind in KINDS if kind in means.index])


def heat_maps(whole: Figure | SubFigure, maps: Mapping[str, pd.DataFrame], measured: pd.DataFrame) -> None:
    """Side by side on one scale from 0. measured: below each what training_strength.spreads says, index as of maps."""
    axes = whole.subplots(1, len(maps), squeeze=False, sharey=True)[0]
    top = max(values.max(axis=None) for values in maps.values())
    for ax, (name, values) in zip(axes, maps.items(), strict=True):
        image = ax.imshow(values, cmap=COLOURS, vmin=0, vmax=top, aspect="auto")
        ax.set_title(name, loc="left", fontweight="bold")
        ax.set_xticks(range(values.shape[1]), values.columns)
        ax.set_yticks(range(len(values)), [_symbol(kind) for kind in values.index])
        of = measured.loc[name]
        said = f"mean {of['mean']:.2g}, largest {of['max']:.2g}, σ/μ {of['spread']:.2g}"
        ax.set_xlabel(f"Layer\n{said}")
        ax.tick_params(length=0)
        for side in ax.spines.values():
            side.set_visible(False)
    bar = whole.colorbar(image, ax=list(axes), label="Training strength", fraction=0.03, pad=0.01)
    bar.outline.set_visible(False)


def _symbol(kind: str) -> str:
    symbol, _, letter = kind.partition(" ")
    return rf"${'Σ' if symbol == 'σ' else 'b'}_{{{letter}}}$"


def figure(frame: pd.DataFrame) -> Figure:
    """frame: of training_strength.strengths, with at least one run."""
    runs = list(dict.fromkeys(frame["run"]))
    whole = Figure(figsize=(max(7.2, 2.9 * len(runs)), 6.4), layout="constrained", dpi=200)
    above, below = whole.subfigures(2, 1, height_ratios=(1.25, 1))
    at_end, courses = last(frame), spreads(frame)
    maps = {run: grid(at_end[at_end["run"] == run]) for run in runs}
    heat_maps(above, maps, last(courses).groupby("run")[["mean", *MEASURES]].mean())
    for ax, (measure, name) in zip(below.subplots(1, 2), MEASURES.items(), strict=True):
        _lines(ax, courses, measure, runs)
        ax.set_title(name, loc="left", fontweight="bold")
    handles, names = ax.get_legend_handles_labels()
    below.legend(handles, names, loc="outside lower center", ncols=len(runs), frameon=False, fontsize=8)
    return whole


def _lines(ax: Axes, courses: pd.DataFrame, measure: str, runs: Sequence[str]) -> None:
    for place, run in enumerate(runs):
        colour, style = LOOKS[place % len(LOOKS)]
        own = courses[courses["run"] == run].astype({measure: float, "step": float})
        for _, seed in own.groupby("seed"):
            ax.plot(seed["step"], seed[measure], color=colour, linewidth=0.6, alpha=0.4)
        mean = own.groupby("step")[measure].mean()
        ax.plot(mean.index, mean, color=colour, linestyle=style, linewidth=1.6, label=run)
    ax.set_xlabel("Step")
    ax.set_ylim(bottom=0)
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)


def printed_figure(values: pd.DataFrame) -> Figure:
    """Of the paper's two panels; values: columns panel, vector ("Sigma_q", "b_f1"), layer, value."""
    kinds = values["vector"].str.replace("Sigma_", "σ ").str.replace("b_", "b ")
    frame = pd.DataFrame({
        "run": values["panel"].str.capitalize() + " panel", "seed": 0, "step": 0, "kind": kinds,
        "layer": values["layer"].astype(int), "strength": values["value"].astype(float),
    })  # fmt: skip
    maps = {name: grid(part) for name, part in frame.groupby("run", sort=False)}
    whole = Figure(figsize=(8.4, 3.9), layout="constrained", dpi=200)
    heat_maps(whole, maps, spreads(frame).set_index("run"))
    whole.supxlabel(UNTITLED, fontsize=7, color=plots.GREY)
    return whole


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.strength_figure", __doc__, plots.OUT, "figures")
    options = command.parsed(parser, arguments)
    try:
        experiment = read(options.runs)
        frame = pd.DataFrame() if experiment is None else strengths(experiment)
    except RecordError as error:
        sys.exit(str(error))
    if frame.empty:
        print(f"no finished run of {NAME} below {options.runs}", file=sys.stderr)
    with matplotlib.rc_context(plots.STYLE | {"text.parse_math": True}):
        figures = {f"{NAME}_printed": printed_figure(paper.reference(PRINTED))}
        if len(frame):
            figures[NAME] = figure(frame)
        for name, drawn in figures.items():
            plots.save(drawn, options.out, name)
            print(f"{options.out}/{name}.{{svg,png}}")


if __name__ == "__main__":
    main()
