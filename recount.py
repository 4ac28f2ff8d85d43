"""Recount the trained parameters of every row of the paper's Tables 1-6 and 8-10: same yamls as a run, no weights.

    python recount.py        writes runs/params/counts.json, which analysis/params.py sets beside the printed counts

A row of analysis/reference/param_rows.csv becomes a model and a method by its overrides in param_overrides.csv. The
method is attached on the meta device, and the tensors it trains are counted; a classification head never is. Where the
paper's count needs a reading, that file states it: `butterfly_extension` (is PEFT's CUDA extension there?), `counted`
(what is) and `reading` (in words).
"""

import csv
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from peft.tuners.boft import layer as boft_layer

from harness import models
from harness.adapt import Adapted, adapt
from harness.config import register_resolvers
from harness.files import write_json

ROOT = Path(__file__).resolve().parent
REFERENCE = ROOT / "analysis" / "reference"
COUNTS = Path("runs", "params", "counts.json")
KEY = ("table", "model", "method", "variant", "config", "target_modules")
NUM_LABELS = 2  # any number: the head is not counted


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def composed(overrides: str) -> DictConfig:
    """conf/model and conf/method as `run.py` composes them; nothing else decides the count."""
    choices = [f"+{item}" if item.split("=")[0] in ("model", "method") else item for item in overrides.split()]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(overrides=[*choices, "+seed=0"])


@contextmanager
def butterfly_extension(state: str) -> Iterator[None]:
    """Pretend that PEFT's CUDA extension is "present" or "absent"; "" leaves PEFT alone.

    Where it is absent PEFT builds one butterfly factor, whatever is asked for. Where it is present PEFT builds the
    requested ones; only their forward pass runs the extension. The frozen permutations (dense n x n, filled entry by
    entry) stay empty, on the meta device.
    """
    if not state:
        yield
        return
    layer = boft_layer.BOFTLayer
    kept = boft_layer.get_fbd_cuda, layer.block_butterfly_perm, layer.perm2mat
    boft_layer.get_fbd_cuda = lambda: state == "present"
    layer.block_butterfly_perm = lambda self, *sizes: None
    layer.perm2mat = lambda self, indices: 0.0
    try:
        with torch.device("meta"):
            yield
    finally:
        boft_layer.get_fbd_cuda, layer.block_butterfly_perm, layer.perm2mat = kept


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
    cfg = composed(overrides)
    model = models.build(cfg.model, num_labels=NUM_LABELS if cfg.model.head else None)
    with butterfly_extension(extension), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing on the meta device is initialised
        adapted = adapt(model, instantiate(cfg.method.adapter), cfg.model.head)
    return COUNTED[counted](adapted)


def rows() -> list[dict[str, str]]:
    """The paper's rows in their order, each with its overrides and readings."""
    mapping = {tuple(row[k] for k in KEY): row for row in read_csv(REFERENCE / "param_overrides.csv")}
    return [mapping[tuple(row[k] for k in KEY)] for row in read_csv(REFERENCE / "param_rows.csv")]


def recount(row: dict[str, str]) -> dict[str, Any]:
    value = count(row["overrides"], row["butterfly_extension"], row["counted"])
    entry = {name: row[name] for name in (*KEY, "overrides", "reading")}
    return {**entry, "table": int(row["table"]), "params_computed": value}


def main() -> None:
    register_resolvers()
    write_json(COUNTS, [recount(row) for row in rows()])
    print(f"{COUNTS}: {len(rows())} rows")


if __name__ == "__main__":
    main()
