"""What each experiment consists of, for analysis/: every printed row and column, and the identity of the run behind it.

    python -m papers.manifests [NAME ...]    writes runs/experiments/<name>.json (all experiments where none is named)

Tables and figures are made from records and from these files alone: a record belongs to a cell if its configuration
gives the cell's `identity` (harness/store/identity.py), whatever its seed and wherever its files were.
runs/experiments/patterns.json has the patterns of Figure 3.
"""

import argparse
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from errors import SettingError
from harness.console.progress import bar
from harness.models import bases
from harness.plan import config, experiments
from harness.plan.counting import trained_and_memory
from harness.settings.choices import no_choice
from harness.settings.typed import forced
from harness.store import identity
from harness.store.disk import tells_disk_errors
from harness.store.files import write_json
from svft import patterns
from svft.decomposition.streams import stream_of

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("runs", "experiments")
PRESETS = {  # whose settings stand below a table, by the recipe of its runs; the errata compare the first two
    "recipe=paper": ("paper", "authors_code"),
    "recipe=spectral_adapter": ("spectral_adapter",),
}
FACTS = ("title", "table", "figure", "twin_of", "seeds")
GIVEN = (  # of some experiments alone
    "paper",
    "reference",
    "notes",  # another paper that prints it, the file of its values, notes
    "evidence",
    "curves",  # do its runs judge claims; what a line of its figure joins
)
ROW = ("panel", "model", "method", "variant", "config", "targets")
SETTINGS = ("lr", "weight_decay", "batch_size", "epochs", "max_length", "schedule", "warmup_ratio")
DRAWN, DRAWN_D = 16, 2  # size of the M that Figure 3 draws, and d


@cache
def composed(overrides: tuple[str, ...]) -> DictConfig:
    cfg = compose("config", overrides=list(map(forced, overrides)))
    bases.complete(cfg)
    return cfg


def manifest(name: str) -> dict[str, Any]:
    """Experiment `name` as analysis/ reads it; needs neither data nor weights."""
    experiment = experiments.read(name)
    rows: dict[int, dict[str, Any]] = {}
    runs: dict[str, tuple[str, ...]] = {}
    for cell in experiments.cells(experiment):
        cfg = composed(cell.overrides)
        entry = rows.setdefault(id(cell.row), _row(cell.row, cfg))
        own = config.cell(cfg)
        _refuse_same_but_for_places(runs.setdefault(own, cell.overrides), cell.overrides)
        entry["cells"][cell.column["metric"]] = {
            "identity": own,
            "overrides": " ".join(cell.overrides),
            "settings": settings(cell.overrides),
        }
    facts = {key: experiment.get(key) for key in FACTS}
    facts |= {key: experiment[key] for key in GIVEN if key in experiment}
    columns = [
        {key: value for key, value in column.items() if key not in ("run", "only")} for column in experiment["columns"]
    ]
    return {"name": name, **facts, "columns": columns, "rows": list(rows.values())}


def _refuse_same_but_for_places(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Raise SettingError where runs of one cell name different files: a record does not say which of them it is of."""
    if one == other:
        return
    there, here = (identity.places(config.resolve(composed(overrides))) for overrides in (one, other))
    for place in there:
        if there[place] != here.get(place):
            raise SettingError(
                f"{' '.join(one)} and {' '.join(other)} differ in {place} alone, which says where files lie and not "
                f"what the run is called; give each a name: {place.partition('.')[0]}.name=NAME"
            )


def _row(row: dict[str, Any], cfg: DictConfig) -> dict[str, Any]:
    trained, _ = trained_and_memory(cfg)
    return {**{key: row.get(key, "") for key in ROW}, "id": cfg.method.name, "params": trained, "cells": {}}


def settings(overrides: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """How each preset trains a run of a paper; empty for a micro twin, which none of them knows."""
    found = {}
    recipe = next((item for item in overrides if item in PRESETS), None)
    for preset in PRESETS.get(recipe, ()):
        resolved = config.resolve(composed(tuple(o.replace(recipe, f"recipe={preset}") for o in overrides)))
        said = {"targets": resolved["method"].get("targets")} | {key: resolved["train"][key] for key in SETTINGS}
        if resolved["model"]["head"]:
            said["head_lr"] = resolved["train"]["head_lr"]
        found[preset] = {key: value for key, value in said.items() if value is not None}
    return found


def drawn_patterns() -> dict[str, dict[str, Any]]:
    """Positions of each pattern in a small M; random singular vectors stand behind top-k."""
    K, N = DRAWN, patterns.num_coefficients(DRAWN, DRAWN_D)
    U, _, Vh = torch.linalg.svd(torch.randn(K, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    positions = {
        "plain": patterns.banded(K, 0),
        "banded": patterns.banded(K, DRAWN_D),
        "random": patterns.random(K, N, stream_of(0, "figure"), replacement=False),
        "topk": patterns.topk(patterns.alignment(U, Vh), N),
    }
    return {
        name: {"shape": [K, K], "entries": [[int(p) // K, int(p) % K] for p in flat]}
        for name, flat in positions.items()
    }


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    parser = argparse.ArgumentParser(prog="python -m papers.manifests", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments (default: all)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder (default: {OUT})")
    options = parser.parse_args(arguments)
    config.register_resolvers()
    tables = [name for name in experiments.names() if "columns" in experiments.read(name)]
    for name in options.names:
        if name not in tables:
            parser.error(no_choice("table or figure", name, tables))
    names = options.names or tables
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"), bar(len(names), "composing") as progress:
        for name in names:
            write_json(options.out / f"{name}.json", manifest(name))
            progress.update()
    write_json(options.out / "patterns.json", drawn_patterns())
    print(f"{options.out}: {len(names)} experiments")


if __name__ == "__main__":
    main()
