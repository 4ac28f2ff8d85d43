"""Two ranks train and evaluate as one process does: the same examples, losses, numbers and predictions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.distributed import run as elastic

from harness.models import bases
from harness.store.record import Record
from tests.conftest import ROOT
from tests.distributed.runs import (
    BANDED,
    DIGITS,
    GSM,
    STSB,
    comparable,
    losses,
    one_process,
    predictions,
    read,
    trained,
    two_ranks,
)
from tests.processes import Forked, ended
from tests.test_method_contract import METHODS, TRAINS_NOTHING

EVERY = sorted(set(METHODS) - {*TRAINS_NOTHING, "head"})
# PEFT initialises PiSSA and PSOFT in float32 or less only, and computes two transforms in float32.
IN_FLOAT64 = sorted({*EVERY} - {"pissa", "psoft", "c3a", "fourierft"})
FREEZING = (*GSM, "method=vectorfit", "method.callbacks.freezing.every=2", "method.callbacks.freezing.log_every=1")


def in_float64() -> None:
    """transformers takes logits to float32 for the loss; here they stay as they are. All else is as ever."""
    bases.DTYPES, single = (*bases.DTYPES, "float64"), torch.Tensor.float
    torch.Tensor.float = lambda tensor: tensor if tensor.dtype == torch.float64 and tensor.ndim == 3 else single(tensor)


def assert_same(runs: Path, *settings: str, tolerance: float, before: Callable = str) -> tuple[Record, Record]:
    one = one_process(runs / "one", *settings, before=before)
    two = two_ranks(runs / "two", *settings, before=before)
    torch.testing.assert_close(losses(two), losses(one), rtol=0, atol=tolerance)
    assert two.provenance["device"]["count"] == 2 and "count" not in one.provenance["device"]
    assert two.key == one.key and two.train["size"] == one.train["size"] > 0
    return one, two


def test_a_record_of_two_ranks_is_that_of_one_process(tmp_path):
    one, two = assert_same(tmp_path, *BANDED, tolerance=1e-6)
    assert comparable(two) == comparable(one)
    assert predictions(tmp_path / "two") == predictions(tmp_path / "one")
    expected = trained(tmp_path / "one")
    for name, tensor in trained(tmp_path / "two").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_ranks_train_what_layers_share(tmp_path):
    one, two = assert_same(tmp_path, *BANDED, "method.adapter.share=role", tolerance=1e-6)
    assert comparable(two) == comparable(one)
    expected = trained(tmp_path / "one")
    assert expected
    for name, tensor in trained(tmp_path / "two").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_ranks_freeze_the_same_vectors(tmp_path):
    one, two = assert_same(tmp_path, *FREEZING, tolerance=1e-5)
    strengths, expected = (r.train["method"]["training_strength"] for r in (two, one))
    assert strengths["frozen"] == expected["frozen"] and any(expected["frozen"])


def test_a_classifier_and_the_choice_of_its_best_epoch_are_those_of_one_process(tmp_path):
    """Epochs end with a short and an empty micro-batch."""
    one, two = assert_same(tmp_path, *STSB, "train.select_best=true", tolerance=1e-5)
    assert two.train["best_step"] == one.train["best_step"] > 0
    for check, expected in zip(two.train["validation"], one.train["validation"], strict=True):
        assert check == pytest.approx(expected, abs=1e-5)


def torchrun(*arguments: str) -> None:
    elastic.main(["--standalone", "--nproc-per-node=2", str(ROOT / "run.py"), *arguments])


def test_torchrun_starts_a_run_on_two_ranks(tmp_path):
    done = ended(Forked(partial(torchrun, *BANDED, f"runs_dir={tmp_path}", "train.max_steps=1")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("seed 0: ") == 1
    assert read(tmp_path).provenance["device"]["count"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", EVERY)
def test_fifty_losses_of_two_ranks_are_those_of_one_process(method, tmp_path):
    """Over the end of an epoch that does not divide."""
    settings = (*GSM, f"method={method}", "train.max_steps=50", "task.source.train_size=386", "train.batch_size=8")
    assert_same(tmp_path, *settings, tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", IN_FLOAT64)
def test_over_several_micro_batches_a_rank_losses_differ_by_the_order_of_summation_only(method, tmp_path):
    """By up to 5e-5 in float32; in float64 by no more than the losses' own rounding in the log, which is float32."""
    settings = (*GSM, f"method={method}", "train.max_steps=50", "task.source.train_size=386", "model.dtype=float64")
    assert_same(tmp_path, *settings, tolerance=5e-7, before=in_float64)


@pytest.mark.slow
def test_fifty_losses_of_a_head_on_two_ranks_are_those_of_one_process(tmp_path):
    assert_same(tmp_path, *DIGITS, "train.max_steps=50", tolerance=1e-5)
