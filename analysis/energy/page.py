"""Which entries of M full fine-tuning uses: the page `energy`, of the files of `python -m bench.energy`."""

from collections.abc import Callable, Iterator

import pandas as pd

from analysis.energy.load import LABELS, energies, means
from analysis.load.records import Loaded
from analysis.writing.numbers import percent
from analysis.writing.page import Page, Table

NAME = "energy"
BY_LETTER = 4  # the budget d at which letters are told apart


def text(rows: pd.DataFrame) -> pd.DataFrame:
    """A line a support, below a line with the task and the model; a column a budget, then a column a letter.

    Below a support that is not defined in all layers, what chance gives in those of its own.
    """
    lines = []
    for panel, own in rows.groupby("panel", sort=False):
        lines.append({"Support": f"**{panel}**"})
        found = means(own, ["support", "d"])
        letters = means(own[own["d"] == BY_LETTER], ["support", "role"])
        for support in own["support"].unique():
            cells, roles = found[found["support"] == support], letters[letters["support"] == support]
            lines.append({
                "Support": LABELS.get(support, support), **{_budget(row.d): _share(row) for row in cells.itertuples()},
                **{row.role: f"{row.share / row.chance:.1f} ×" for row in roles.itertuples()},
            })  # fmt: skip
            if len(cells) and cells["layers"].max() < own["layer"].nunique():
                lines.append(_chance(cells, f"N / K², in its {cells['layers'].max()} layers"))
        lines.append(_chance(own.groupby("d", sort=False, as_index=False)["chance"].mean(), "N / K²"))
    budgets = [_budget(d) for d in rows["d"].unique()]
    return pd.DataFrame(lines, columns=["Support", *budgets, *rows["role"].unique()]).fillna("")


def _chance(cells: pd.DataFrame, name: str) -> dict[str, str]:
    return {"Support": name, **{_budget(row.d): percent(row.chance) for row in cells.itertuples()}}


def _budget(d: int) -> str:
    return f"d = {d}"


def _share(row) -> str:
    shown = percent(row.share)
    return shown if pd.isna(row.low) else f"{shown} [{percent(row.low)}, {percent(row.high)}]"


def notes(rows: pd.DataFrame) -> Iterator[str]:
    yield (
        "Per cent of the energy ||C||², C = Uᵀ (W − W0) V, of what full fine-tuning changed, that lies within "
        "N = K (2d+1) − d (d+1) entries: what they can make of that very update. Mean over layers, then seeds, "
        f"with a 95 % interval over seeds. Letters: at d = {BY_LETTER}, how many times N / K². Nothing is "
        "trained for it."
    )
    yield (
        "Random entries catch N / K² on average. Best aligned: the largest |u_i · v_j|, of square weights alone. "
        "Gradients at the start: the largest mean squares of Uᵀ G V over batches at W0. Largest entries: of C itself, "
        "which no method knows beforehand; nothing catches more."
    )
    outside = rows.drop_duplicates(["panel", "layer", "seed"])
    for panel, own in outside.groupby("panel", sort=False):
        inside = own.groupby("role", sort=False)["inside"].mean()
        said = ", ".join(f"{role} {percent(share)}" for role, share in inside.items() if share < 0.999)
        seeds = own["seed"].nunique()
        part = f"; of the update itself, C has {said} % (weights that are not square)" if said else ""
        yield f"{panel}: {own['layer'].nunique()} layers, {seeds} seeds{part}."


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    """None where there is no file."""
    rows = energies(loaded)
    return {} if rows.empty else {NAME: lambda: page(rows)}


def page(rows: pd.DataFrame) -> Table:
    numbers = means(rows, ["task", "model", "support", "d", "role"])
    return Table(numbers, text(rows), list(notes(rows)), "Which entries of M full fine-tuning uses")
