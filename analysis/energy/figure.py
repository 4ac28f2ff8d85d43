"""Which entries of M full fine-tuning uses: the figure `energy`, a row of panels a task and model.

Left: the share of the update's energy within a support against the share of entries that it has; the line of chance is
that of entries drawn at random. Middle and right: by role letter and by depth, at one budget, as multiples of chance,
which is not the same for all layers.
"""

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.energy.load import LABELS, energies, means
from analysis.energy.page import BY_LETTER, NAME
from analysis.figures.style import GREY, INK, Drawing, blank
from analysis.load.records import Loaded

LOOKS = {  # colour and marker, in the order of the legend
    "oracle": (INK, "D"), "gradient": ("#CC79A7", "P"), "block": ("#0072B2", "s"), "banded": ("#D55E00", "o"),
    "topk": ("#E69F00", "^"), "random": ("#009E73", "v"),
}  # fmt: skip
CHANCE = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1}
ASIDE = {"topk": -0.09, "random": 0.09}  # which lie on each other otherwise
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def figure(rows: pd.DataFrame) -> Figure:
    panels = rows["panel"].unique()
    whole = blank(figsize=(10.5, 2.9 * len(panels) + 0.6), dpi=160)
    grid = whole.subplots(len(panels), 3, squeeze=False, width_ratios=(1.25, 1, 1))
    for axes, panel in zip(grid, panels, strict=True):
        own = rows[rows["panel"] == panel]
        curves(axes[0], means(own, ["support", "d"]))
        axes[0].set_title(panel, loc="left", fontweight="bold")
        at = own[own["d"] == BY_LETTER]
        dots(axes[1], means(at, ["support", "role"]), "role")
        dots(axes[2], means(at[at["depth"].notna()], ["support", "depth"]), "depth")
        for ax, by in zip(axes[1:], ("role letter", "block"), strict=True):
            ax.set_title(f"By {by}, d = {BY_LETTER}", loc="left")
        axes[0].set_ylabel("Energy caught (%)")
        axes[1].set_ylabel("Energy caught, against chance")
    grid[-1][0].set_xlabel("Entries of M (%)")
    grid[-1][1].set_xlabel("Role letter")
    grid[-1][2].set_xlabel("Block, from the input")
    whole.legend(handles=handles(rows), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return whole


def curves(ax: Axes, frame: pd.DataFrame) -> None:
    """Logarithmic on both axes, so that chance is a straight line."""
    ends = [100 * frame["chance"].min(), 100 * frame["chance"].max()]
    ax.plot(ends, ends, zorder=1, **CHANCE)
    for support, own in _in_order(frame):
        colour, marker = LOOKS[support]
        x = 100 * own["chance"]
        ax.fill_between(x, 100 * own["low"].astype(float), 100 * own["high"].astype(float), color=colour, alpha=0.15,
                        linewidth=0)  # fmt: skip
        ax.plot(x, 100 * own["share"], color=colour, marker=marker, markersize=4.5, linewidth=1.3,
                markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    _ticks(ax.xaxis, "{:g}")
    _ticks(ax.yaxis, "{:g}")
    ax.set_ylim(top=112)
    _grid(ax)


def dots(ax: Axes, frame: pd.DataFrame, by: str) -> None:
    """A point a support above each letter or block."""
    places = {name: place for place, name in enumerate(frame[by].unique())}
    ax.axhline(1, zorder=1, **CHANCE)
    for support, own in _in_order(frame):
        colour, marker = LOOKS[support]
        x = own[by].map(places) + ASIDE.get(support, 0)
        share, low, high = (own[name].astype(float) / own["chance"] for name in ("share", "low", "high"))
        ax.vlines(x, low, high, color=colour, linewidth=1)
        ax.plot(x, share, color=colour, marker=marker, markersize=5, linewidth=0.8 if by == "depth" else 0,
                markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
    ax.set_xticks(range(len(places)), [f"{name:g}" if by == "depth" else name for name in places])
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.set_yscale("log")
    _ticks(ax.yaxis, "{:g} ×")
    _grid(ax)


def _ticks(axis: Axis, form: str) -> None:
    axis.set_major_locator(FixedLocator(TICKS))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))


def _grid(ax: Axes) -> None:
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    ax.set_axisbelow(True)


def _in_order(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The best on top of the others."""
    return [(name, frame[frame["support"] == name]) for name in reversed(LOOKS) if name in set(frame["support"])]


def handles(rows: pd.DataFrame) -> list[Line2D]:
    there = set(rows["support"])
    made = [
        Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.3, label=LABELS[name])
        for name, (colour, marker) in LOOKS.items()
        if name in there
    ]
    return [*made, Line2D([], [], label="N / K², by chance", **CHANCE)]


def makers(loaded: Loaded) -> dict[str, Callable[[], Drawing]]:
    """None where there is no file."""
    rows = energies(loaded)
    return {} if rows.empty else {NAME: lambda: Drawing(lambda: figure(rows))}
