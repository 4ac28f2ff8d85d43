"""Recount the trained parameters of every row of the paper's Tables 1-6 and 8-10: same yamls as a run, no weights.

    python -m papers.recount    writes runs/params/counts.json, for analysis/checks/params.py to compare

A row of analysis/reference/param_rows.csv becomes a model and a method as in conf/experiment/table<n>.yaml. The method
is attached on the meta device, and the tensors it trains are counted; a classification head never is. Where the paper's
count needs a reading, analysis/reference/param_readings.csv states it: `count` (settings that only the count needs),
`butterfly_extension` (is PEFT's CUDA extension there?), `counted` (what is) and `reading` (in words).
"""

import argparse
import csv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from harness.adapters.adapt import Adapted
from harness.plan import experiments
from harness.plan.config import register_resolvers
from harness.plan.counting import adapted_without_weights
from harness.store.disk import tells_disk_errors
from harness.store.files import write_json

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "analysis" / "reference"
COUNTS = Path("runs", "params", "counts.json")
KEY = ("table", "model", "method", "variant", "config")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def composed(overrides: str) -> DictConfig:
    """conf/model and conf/method as `run.py` composes them; nothing else decides the count."""
    choices = [f"+{item}" if item.split("=")[0] in ("model", "method") else item for item in overrides.split()]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(overrides=[*choices, "+seed=0"])


def parameters(adapted: Adapted) -> int:
    return adapted.parameters["adapter"]


def degrees_of_freedom(adapted: Adapted) -> int:
    """BOFT's orthogonal blocks are Cayley transforms of skew-symmetric ones: b(b-1)/2 of b x b numbers are free."""
    blocks = [p for name, p in adapted.model.named_parameters() if ".boft_R." in name]  # each (m, n/b, b, b)
    dependent = sum(p.numel() * (p.shape[-1] + 1) // (2 * p.shape[-1]) for p in blocks)
    return parameters(adapted) - dependent


COUNTED: dict[str, Callable[[Adapted], int]] = {"parameters": parameters, "degrees of freedom": degrees_of_freedom}


@cache
def count(overrides: str, extension: str, counted: str) -> int:
    return COUNTED[counted](adapted_without_weights(composed(overrides), extension))


def overrides() -> dict[tuple[str, ...], str]:
    """How each printed row is run, by KEY."""
    tables = [experiments.read(name) for name in experiments.names()]
    return {
        (str(table["table"]), *(row.get(k, "") for k in KEY[1:])): row["run"]
        for table in tables
        if "table" in table
        for row in table["rows"]
    }


def rows() -> list[dict[str, str]]:
    """The paper's rows in their order, each with its overrides and readings."""
    readings = {tuple(row[k] for k in KEY): row for row in read_csv(REFERENCE / "param_readings.csv")}
    runs = overrides()
    keys = [tuple(row[k] for k in KEY) for row in read_csv(REFERENCE / "param_rows.csv")]
    return [readings[key] | {"overrides": f"{runs[key]} {readings[key]['count']}".strip()} for key in keys]


def recount(row: dict[str, str]) -> dict[str, Any]:
    value = count(row["overrides"], row["butterfly_extension"], row["counted"])
    entry = {name: row[name] for name in (*KEY, "target_modules", "overrides", "reading")}
    return {**entry, "table": int(row["table"]), "params_computed": value}


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(prog="python -m papers.recount", description=__doc__.split("\n")[0]).parse_args(arguments)
    register_resolvers()
    write_json(COUNTS, [recount(row) for row in rows()])
    print(f"{COUNTS}: {len(rows())} rows")


if __name__ == "__main__":
    main()
