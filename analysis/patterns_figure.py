"""Figure 3 of the paper: h = U (Σ + M) Vᵀ x and the four sparsity patterns of M, as the code draws them.

    python -m analysis.patterns_figure [--runs runs] [--out analysis/output/figures]

Reads runs/experiments/patterns.json: {name: {"shape": [rows, columns], "entries": [[i, j], ...]}}. Orange is trained,
blue is frozen, grey is zero.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis import command, plots
from harness.store.disk import tells_disk_errors

PATTERNS = Path("experiments", "patterns.json")  # below runs/
NAME = "patterns"
TITLES = {"plain": "Plain", "banded": "Banded", "random": "Random", "topk": "Top-k"}
ZERO, FROZEN, TRAINED = 0, 1, 2
COLOURS = ListedColormap(["#e3e3e3", "#8FB3CF", plots.LOOKS["SVFT"][0]])


def mask(pattern: Mapping[str, Any]) -> np.ndarray:
    """(rows, columns): TRAINED at the pattern's entries, else ZERO. Raises ValueError where one is outside."""
    grid = np.full(pattern["shape"], ZERO)
    for i, j in pattern["entries"]:
        if not (0 <= i < grid.shape[0] and 0 <= j < grid.shape[1]):
            raise ValueError(f"the entry ({i}, {j}) is outside the shape {tuple(pattern['shape'])}; make the file anew")
        grid[i, j] = TRAINED
    return grid


def figure(patterns: Mapping[str, Mapping[str, Any]]) -> Figure:
    whole = Figure(figsize=(7.2, 4.7), layout="constrained", dpi=150)
    rows = whole.subfigures(2, 1, height_ratios=[1, 1.02])
    masks = {name: mask(pattern) for name, pattern in patterns.items()}
    size = next(iter(masks.values())).shape
    full, values = np.full(size, FROZEN), np.where(np.eye(*size, dtype=bool), FROZEN, ZERO)
    product = rows[0].subplots(1, 4)
    shown = next(iter(masks.values()))
    parts = {"$U$": full, r"$\Sigma$": values, "$M$": shown, "$V^{\\top}$": full}
    for ax, (name, grid), before in zip(product, parts.items(), ("", "(", "+", ")"), strict=True):
        _grid(ax, grid, name)
        ax.text(-0.09, 0.5, before, transform=ax.transAxes, fontsize=22, ha="center", va="center")
    below = rows[1].subplots(1, len(masks))
    for ax, (name, grid), letter in zip(below, masks.items(), "abcd", strict=False):
        _grid(ax, grid, f"({letter}) {TITLES.get(name, name)}")
        ax.set_xlabel(f"{int((grid == TRAINED).sum())} of {grid.size}", fontsize=8, labelpad=3)
    colours = {"trained": TRAINED, "frozen": FROZEN, "zero": ZERO}
    handles = [Patch(facecolor=COLOURS(value), label=name) for name, value in colours.items()]
    rows[1].legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return whole


def _grid(ax: Axes, grid: np.ndarray, title: str) -> None:
    ax.pcolormesh(grid, cmap=COLOURS, vmin=ZERO, vmax=TRAINED, edgecolors="white", linewidth=0.35)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=10)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.parser("analysis.patterns_figure", __doc__, plots.OUT, "figure")
    options = command.parsed(parser, arguments)
    path = options.runs / PATTERNS
    if not path.exists():
        sys.exit(f"no {path}, from which the patterns are drawn")
    with matplotlib.rc_context(plots.STYLE | {"text.parse_math": True}):
        plots.save(figure(json.loads(path.read_text(encoding="utf-8"))), options.out, NAME)
    print(f"{options.out}/{NAME}.{{svg,png}}")


if __name__ == "__main__":
    main()
