"""What the tests of several ranks run, and what they compare: everything of a record that is no clock."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from harness.store import record
from tests import one_block
from tests.conftest import without_clocks
from tests.distributed.ranks import Ranks

COMMON = ("train.max_steps=6", "train.batch_size=16", "train.micro_batch_size=4", "train.log_every=1",
          "train.checkpoint_every=2", "evaluate.splits=[validation]", "wandb.mode=disabled", "threads=1")  # fmt: skip
# 11 micro-batches in an epoch, the last of 2 examples: neither they nor the examples divide by 2 ranks.
GSM = (*COMMON, *one_block.GEMMA, "task.source.train_size=42", "task.source.validation_size=9",
       "task.source.test_size=5", "evaluate.benchmarks=[micro_gsm]")  # fmt: skip
STSB = (*COMMON, "task=micro_stsb", "model=micro_deberta", "method=lora", "task.source.train_size=42",
        "task.source.dev_size=18")  # fmt: skip
DIGITS = (*COMMON, "task=digits", "model=micro_vit", "method=head")
BANDED = (*GSM, "method=svft_banded", "method.adapter.d=2")


def one_process(runs: Path, *settings: str, before: Callable[[], None] = str) -> record.Record:
    with Ranks(*settings, f"runs_dir={runs}", size=1, before=before) as ranks:
        assert ranks.wait() == [0], ranks.said("stderr", 0)
    return read(runs)


def two_ranks(runs: Path, *settings: str, before: Callable[[], None] = str) -> record.Record:
    with Ranks(*settings, f"runs_dir={runs}", before=before) as ranks:
        assert ranks.wait() == [0, 0], ranks.said("stderr", 0) + ranks.said("stderr", 1)
        assert ranks.said("stdout", 0).count("seed 0: ") == 1
        second = ranks.said("stdout", 1) + ranks.said("stderr", 1)
        assert not second, f"rank 1 says {second!r}"
    return read(runs)


def read(runs: Path) -> record.Record:
    (path,) = runs.rglob("record.json")
    return record.read(path)


def losses(value: record.Record) -> torch.Tensor:
    return torch.tensor([loss for _, loss in value.train["loss"]], dtype=torch.float64)


def comparable(value: record.Record) -> dict:
    """Without clocks, the number of devices, and losses and weights, which are equal up to rounding."""
    values = without_clocks(value)
    values.pop("files")  # of weights that are equal up to rounding
    values["provenance"]["device"].pop("count", None)
    for section in ("loss", "validation"):
        values["train"].pop(section)
    return values


def predictions(runs: Path) -> list:
    return [json.loads(path.read_text())["rows"] for path in sorted(runs.rglob("predictions/*.json"))]


def trained(runs: Path) -> dict[str, torch.Tensor]:
    (path,) = runs.rglob("adapter/*.safetensors")
    return load_file(str(path))
