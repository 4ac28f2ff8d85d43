"""What dropping W0 costs in precision: a language model at the start of training, with W0 kept and dropped.

    python -m bench.precision [--models micro_gemma,micro_pythia] [--train 3] [--out runs/bench]

Logits and loss of the adapted model at step 0, in 16 bits, against those of the plain model in the same 16 bits. The
yardstick is the plain model in fp32: what storing its weights and activations in 16 bits had changed before. Besides,
the distance of one matrix of Gemma-2B's sizes (Gaussian entries) to its product of rounded factors. `--train n` also
trains each of the two with n seeds, through run.py, for the loss curve and the validation score (minutes a seed).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.table import Table
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from tqdm import tqdm

from bench import arguments, report
from bench.methods import ROOT, configuration, own_decompositions
from bench.tables import wide_console
from harness.adapters import adapt
from harness.modality import modalities
from harness.plan import config
from harness.store.disk import tells_disk_errors
from svft.decomposition import decompose

MODELS, TASK, METHOD = ("micro_gemma", "micro_pythia"), "micro_gsm", "svft_random"
ORIGINS = {"W0 kept": True, "W0 dropped": False}
MATRICES = ((2048, 2048), (256, 2048), (2048, 16384))  # of Gemma-2B: Q and O, K and V, and the MLP's (one transposed)
BATCH = 32


def parse(argv: list[str] | None) -> argparse.Namespace:
    p = arguments.parser("bench.precision", __doc__)
    p.add_argument(
        "--models", type=arguments.names(MODELS, "model"), default=",".join(MODELS), help="with commas between"
    )
    p.add_argument("--examples", type=arguments.positive, default=200, help="of the validation split; 200")
    p.add_argument("--train", type=arguments.count, default=0, metavar="SEEDS", help="train with so many seeds too; 0")
    p.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16"))
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    p.add_argument("--threads", type=arguments.threads, default=2, help="of the CPU; 2")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file")
    return p.parse_args(argv)


def composed(model: str, dtype: str, *others: str) -> DictConfig:
    return configuration(f"model={model}", f"task={TASK}", f"method={METHOD}", f"model.dtype={dtype}", *others)


def logits(model: str, dtype: str, keep_weight: bool | None, examples: int, device: torch.device) -> Iterator[Any]:
    """Of the answer's tokens, (tokens, vocabulary) in fp32, and the labels, batch by batch; None: no adapter."""
    cfg = composed(model, dtype)
    task = config.instantiate(cfg.task.source)
    modality = modalities.choose(cfg, task)
    base = modality.load_model()
    if keep_weight is not None:
        cfg = composed(model, dtype, f"++method.adapter.keep_weight={keep_weight}")
        base = adapt.adapt(base, config.instantiate(cfg.method.adapter), []).model
    base.to(device).eval()
    rows = modality.rows(task.examples("validation")[:examples])
    for start in range(0, len(rows), BATCH):
        batch = {name: tensor.to(device) for name, tensor in modality.collate(rows[start : start + BATCH]).items()}
        labels = batch.pop("labels")[:, 1:]
        with torch.no_grad():
            scores = base(**batch).logits[:, :-1].float()
        yield scores[labels >= 0], labels[labels >= 0]


def drift(reference: list[tuple[torch.Tensor, torch.Tensor]], other: Iterator[Any]) -> dict[str, float]:
    """Of `other` from `reference`: rms and largest difference of logits relative to their rms, loss, KL, agreement."""
    square = size = total = losses = plain = divergence = agree = count = 0.0
    largest = 0.0
    for (expected, labels), (found, _) in zip(reference, other, strict=True):
        square += (found - expected).square().sum().item()
        size += expected.square().sum().item()
        total += expected.numel()
        largest = max(largest, (found - expected).abs().max().item())
        losses += cross_entropy(found, labels, reduction="sum").item()
        plain += cross_entropy(expected, labels, reduction="sum").item()
        p, q = log_softmax(expected, -1), log_softmax(found, -1)
        divergence += kl_div(q, p, log_target=True, reduction="sum").item()
        agree += (expected.argmax(-1) == found.argmax(-1)).sum().item()
        count += len(labels)
    rms = (size / total) ** 0.5
    return {
        "logits_rms": (square / total) ** 0.5 / rms,
        "logits_largest": largest / rms,
        "loss": losses / count,
        "loss_difference": (losses - plain) / count,
        "divergence": divergence / count,
        "agreement": agree / count,
        "tokens": int(count),
    }


def starts(models: list[str], dtype: str, examples: int, device: torch.device) -> Iterator[dict[str, Any]]:
    for model in models:
        plain = list(logits(model, dtype, None, examples, device))
        cases = {f"plain, {dtype}": (dtype, None), "plain, float32": ("float32", None)}
        cases |= {name: (dtype, kept) for name, kept in ORIGINS.items()}
        for name, (of, kept) in cases.items():
            yield {"model": model, "case": name, **drift(plain, logits(model, of, kept, examples, device))}


def matrix(out: int, inp: int, dtype: str, device: torch.device) -> dict[str, Any]:
    """Relative Frobenius distances: of the stored matrix to the one before rounding, and of U diag(s) V^T to it."""
    exact = torch.randn(out, inp, generator=torch.Generator().manual_seed(0)).to(device)
    stored = exact.to(getattr(torch, dtype))
    U, s, Vh = (tensor.float() for tensor in decompose(stored))
    norm = stored.float().norm()
    return {
        "shape": [out, inp],
        "storing": ((stored.float() - exact).norm() / norm).item(),
        "dropping": (((U * s) @ Vh - stored.float()).norm() / norm).item(),
    }


def training(dtype: str, seeds: int, threads: int) -> Iterator[dict[str, Any]]:
    """The loss curve and the validation score of each origin and seed, from the records of run.py."""
    for name, kept in tqdm(ORIGINS.items(), desc="training"):
        with tempfile.TemporaryDirectory(prefix="svft-precision-") as folder:
            subprocess.run(
                [
                    sys.executable, "run.py", "-m", f"model={MODELS[0]}", f"task={TASK}", f"method={METHOD}",
                    f"model.dtype={dtype}", f"++method.adapter.keep_weight={kept}", f"threads={threads}",
                    f"seed={','.join(map(str, range(seeds)))}", "evaluate.splits=[validation]", "wandb.mode=disabled",
                    f"runs_dir={folder}",
                ],
                cwd=ROOT, check=True,
            )  # fmt: skip
            for path in sorted(Path(folder).rglob("record.json")):
                record = json.loads(path.read_text())
                (scores,) = record["scores"].values()
                score = scores["validation"]["scorers"]["strict"]["mean"]
                loss = record["train"]["loss"]
                yield {"case": name, "seed": record["run"]["seed"], "loss": loss, "score": score}


def show(result: dict[str, Any]) -> None:
    console = wide_console()
    table = Table(title=f"At the start, against the plain model in {result['dtype']}")
    for column in ("model", "case", "logits, rms", "largest", "loss", "difference", "KL", "same argmax"):
        table.add_column(column, justify="left" if column in ("model", "case") else "right")
    for row in result["starts"]:
        table.add_row(
            row["model"], row["case"], f"{row['logits_rms']:.2e}", f"{row['logits_largest']:.2e}", f"{row['loss']:.5f}",
            f"{row['loss_difference']:+.1e}", f"{row['divergence']:.1e}", f"{100 * row['agreement']:.2f} %",
        )  # fmt: skip
    console.print(table)
    table = Table(title="Relative distance of one Gaussian matrix")
    for column in ("matrix", f"stored in {result['dtype']}, to fp32", "product of rounded factors, to the stored"):
        table.add_column(column, justify="right")
    for row in result["matrices"]:
        table.add_row("x".join(map(str, row["shape"])), f"{row['storing']:.2e}", f"{row['dropping']:.2e}")
    console.print(table)
    for row in result["training"]:
        last = [loss for _, loss in row["loss"][-5:]]
        console.print(f"{row['case']}, seed {row['seed']}: loss {sum(last) / len(last):.4f}, score {row['score']:.3f}")


@tells_disk_errors()
def main(argv: list[str] | None = None) -> None:
    a = parse(argv)
    with arguments.exits_on_user_errors(), own_decompositions():
        device = arguments.set_up(a)
        result = {
            **report.header("precision", device, a.dtype),
            "task": TASK,
            "method": METHOD,
            "starts": list(starts(a.models, a.dtype, a.examples, device)),
            "matrices": [matrix(*shape, a.dtype, device) for shape in MATRICES],
            "training": list(training(a.dtype, a.train, a.threads)) if a.train else [],
        }
        show(result)
        print(f"wrote {report.write(a.out, 'precision', result)}")


if __name__ == "__main__":
    main()
