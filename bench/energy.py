"""Which entries of M a full fine-tuning uses: what each pattern of SVFT would have caught of its update. No training.

    python -m bench.energy runs/digits/micro_vit/full/all-c8aeb163/seed=* [--out runs/energy]

RUN is the folder of a finished full fine-tuning with its adapter/, several for the seeds of one row. Of every layer
that it changed, C = U^T (W - W0) V, and the share of ||C||^2 within the band, a random support, the best aligned pairs,
the leading block, the entries that gradients at the start select, and the largest entries themselves (which no method
can know), at equal numbers of entries. A file <task>-<model>.json, for `python -m analysis tables energy`.

Gradients: of the loss at W0 and the head as it was drawn, in evaluation, over the first BATCHES batches of the
training data in an order of their own; their mean square by entry of M.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import set_seed

from bench import arguments
from bench.supports import BUDGETS, SUPPORTS, Layer, basis_of, budget, shares, within
from errors import SettingError
from harness.finished import finished_run
from harness.finished.finished_run import Finished
from harness.layers import linear
from harness.retention import layers
from harness.run import command_line
from harness.store import files, record

SCHEMA = 1  # of the file's content; `schema` is that of sealed files
BATCHES = 16
DIGITS = 5  # significant ones of a share

Seeds = dict[str, dict[str, Any]]  # what was measured, by layer


def measure(run: Finished) -> Seeds:
    """Of one run, by the name of the layer: {role, shape, inside: ||C||^2 / ||W - W0||^2, shares}."""
    base = run.load_base()
    changes = list(layers.changes(base, run.model, run.cfg.model.roles, run.cfg.model.name, run.head))
    if not changes:
        raise SettingError(f"{run.path} changed no layer that has a role letter, so there is no update to look at")
    bases = {each.name: basis_of(each.before) for each in changes}
    squares = _gradients(run, bases)
    found: Seeds = {}
    for each in changes:
        C = within(bases[each.name], each.update)
        layer = Layer(each.name, run.cfg.seed, bases[each.name], C.square(), squares[each.name])
        found[each.name] = {
            "role": each.role, "shape": list(each.before.shape),
            "inside": (C.square().sum() / each.update.square().sum()).item(), "shares": shares(layer),
        }  # fmt: skip
    return found


def _gradients(run: Finished, bases: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Mean over batches of (U^T G V)^2, (K, K), G = dL/dW of a batch at the start of that training."""
    set_seed(run.cfg.seed)  # the head is drawn as it was for the training
    start = run.modality.load_model().float().eval().requires_grad_(False)
    weights = {name: start.get_submodule(name).weight.requires_grad_() for name in bases}
    squares = {name: torch.zeros(len(basis.s), len(basis.s), dtype=torch.float64) for name, basis in bases.items()}
    for batch in tqdm(list(_batches(run)), desc=f"gradients, seed {run.cfg.seed}", leave=False):
        found = torch.autograd.grad(start(**batch).loss, list(weights.values()))
        for (name, basis), gradient in zip(bases.items(), found, strict=True):
            wide = linear.as_matrix(gradient, start.get_submodule(name))  # (O, I)
            squares[name] += within(basis, wide).square() / BATCHES
    return squares


def _batches(run: Finished) -> Iterator[dict[str, torch.Tensor]]:
    """BATCHES of the size of the training; small data come round again."""
    examples, size = run.task.examples("train"), run.cfg.train.batch_size
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(run.cfg.seed)).tolist()
    needed = [order[place % len(order)] for place in range(BATCHES * size)]
    for first in range(0, len(needed), size):
        yield run.modality.collate(run.modality.rows([examples[place] for place in needed[first : first + size]]))


def document(paths: Sequence[Path]) -> dict[str, Any]:
    """The content of the file. Raises SettingError where the runs are not seeds of one row of full fine-tuning."""
    _require_one_row(paths)
    runs, measured = [], []
    for path in paths:
        run = finished_run.opened(path, torch.device("cpu"))
        runs.append(run.record)
        measured.append(measure(run))
    first = runs[0].run
    return {
        "energy": SCHEMA, **{name: first[name] for name in ("task", "model", "method")},
        **{name: first.get(name, first[name.removesuffix("_label")]) for name in ("task_label", "model_label")},
        "key": runs[0].key, "seeds": [each.run["seed"] for each in runs], "budgets": list(BUDGETS),
        "supports": list(SUPPORTS), "batches": BATCHES, "batch_size": runs[0].config["train"]["batch_size"],
        "layers": [_joined(name, [each[name] for each in measured]) for name in measured[0]],
    }  # fmt: skip


def _require_one_row(paths: Sequence[Path]) -> None:
    keys = {path: record.read(path / record.FILE).key for path in paths}
    for path, key in keys.items():
        if key != keys[paths[0]]:
            raise SettingError(f"{path} and {paths[0]} are no seeds of one row; give those of one alone")


def _joined(name: str, seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One layer; its shares by support and budget are lists over seeds."""
    first = seeds[0]
    K = min(first["shape"])
    by_support = {
        support: [[_rounded(seed["shares"][support][place]) for seed in seeds] for place in range(len(BUDGETS))]
        for support in SUPPORTS
    }
    return {
        "name": name, "role": first["role"], "depth": next(map(int, re.findall(r"\.(\d+)\.", name)), None),
        "shape": first["shape"], "entries": [budget(K, d) for d in BUDGETS],
        "inside": [_rounded(seed["inside"]) for seed in seeds], "shares": by_support,
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS - 1}e}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    p = arguments.parser("bench.energy", __doc__)
    p.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of finished runs, the seeds of one row")
    p.add_argument("--out", type=Path, default=Path("runs", "energy"), help="folder of the file")
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    chosen = parse(argv)
    return command_line.exit_code(lambda: _run(chosen.runs, chosen.out))


def _run(runs: Sequence[Path], out: Path) -> None:
    command_line.quiet()
    found = document(runs)
    path = out / f"{found['task']}-{found['model']}.json"
    files.write_sealed(path, found)
    print(f"{path}: {len(found['layers'])} layers, seeds {', '.join(map(str, found['seeds']))}")


if __name__ == "__main__":
    sys.exit(main())
