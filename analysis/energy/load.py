"""Files of runs/energy to frames: what each support of M would have caught of a full fine-tuning's update.

frame   task, model, panel, layer, role, depth, seed, K, inside, support, d, entries, chance, share: one row a layer,
        seed, support and budget. share: of ||C||^2, C = U^T (W - W0) V; NaN where a support is not defined.
        chance: entries / K^2, what entries drawn at random catch on average. inside: ||C||^2 / ||W - W0||^2.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.load.records import Loaded
from analysis.statistics import stats
from analysis.writing.markup import plain
from errors import Damaged, RecordError
from harness.store.files import read_sealed

FOLDER = "energy"  # below runs/
SCHEMA = 1
CHANCE = "chance"
LABELS = {
    "banded": "Band", "random": "Random", "topk": "Best aligned", "block": "Leading block",
    "gradient": "Gradients at the start", "oracle": "Largest entries",
}  # fmt: skip


@lru_cache(maxsize=1)
def energies(loaded: Loaded) -> pd.DataFrame:
    """Of all files, in the order of their names; empty where there is none. Raises RecordError."""
    frames = [frame(_read(path), path) for path in sorted((loaded.runs / FOLDER).glob("*.json"))]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_sealed(path)
    except (Damaged, OSError) as error:
        raise RecordError(f"{path} is not a readable file of energies: {error}") from error
    if values.get("energy") != SCHEMA:
        raise RecordError(f"{path} is no file of energies of schema {SCHEMA}; `python -m bench.energy` makes one")
    return values


def frame(values: dict[str, Any], path: Path) -> pd.DataFrame:
    """Of one file. Raises RecordError where it is not complete."""
    try:
        return pd.DataFrame(list(_rows(values))).assign(
            task=values["task"], model=values["model"],
            panel=plain(f"{values['task_label']}, {values['model_label']}"),
        )  # fmt: skip
    except KeyError as error:
        raise RecordError(f"{path} is not complete: {error} is missing") from error


def _rows(values: dict[str, Any]):
    for layer in values["layers"]:
        K = min(layer["shape"])
        known = {"layer": layer["name"], "role": layer["role"], "depth": layer["depth"], "K": K}
        for support in values["supports"]:
            for d, entries, shares in zip(values["budgets"], layer["entries"], layer["shares"][support], strict=True):
                for seed, inside, share in zip(values["seeds"], layer["inside"], shares, strict=True):
                    yield known | {
                        "seed": seed, "inside": inside, "support": support, "d": d, "entries": entries,
                        "chance": entries / K**2, "share": share,
                    }  # fmt: skip


def means(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Columns `by`, then share, low, high, chance, layers: over layers first, then over seeds, with their interval.

    Layers of which a support is not defined are not in its mean; `layers` says how many are.
    """
    known = rows[rows["share"].notna()]
    by_seed = known.groupby([*by, "seed"], sort=False, as_index=False).agg(
        share=("share", "mean"), chance=("chance", "mean"), layers=("layer", "nunique")
    )
    found = []
    for names, own in by_seed.groupby(by, sort=False):
        share, low, high = stats.mean_interval(own["share"].tolist())
        found.append({
            **dict(zip(by, names, strict=True)), "share": share, "low": low, "high": high,
            "chance": own["chance"].mean(), "layers": own["layers"].max(), "seeds": len(own),
        })  # fmt: skip
    return pd.DataFrame(found)
