"""FSDP2: shares of weights on two ranks train as whole ones do, and what was trained is written whole."""

import signal

import pytest
import torch
from torch import nn

from errors import SettingError
from harness.ranks.sharding import _block_names, check
from harness.store.record import Record
from run import run
from tests.distributed.ranks import Ranks, on_rank
from tests.distributed.runs import DIGITS, GSM, STSB, losses, one_process, predictions, read, trained, two_ranks
from tests.processes import killed_once_there_is

SHARDED = "+train.sharding=fsdp2"
METHODS = {
    "svft_banded": ("method=svft_banded", "method.adapter.d=2"),
    "lora": ("method=lora",),
    "full": ("method=full",),
}
EVERY = {**METHODS, "svft_plain": ("method=svft_plain",), "svft_random": ("method=svft_random",),
         "svft_topk": ("method=svft_topk",)}  # fmt: skip


def assert_same(runs, *settings: str, tolerance: float) -> Record:
    one, two = one_process(runs / "one", *settings), two_ranks(runs / "two", *settings, SHARDED)
    torch.testing.assert_close(losses(two), losses(one), rtol=0, atol=tolerance)
    assert two.train["size"] == one.train["size"]
    assert two.key != one.key
    expected = trained(runs / "one")
    assert trained(runs / "two").keys() == expected.keys()
    for name, tensor in trained(runs / "two").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=10 * tolerance)
    assert two.train["best_step"] == one.train["best_step"]
    for check_of_two, expected in zip(two.train["validation"], one.train["validation"], strict=True):
        assert check_of_two == pytest.approx(expected, abs=tolerance)
    return two


def assert_same_predictions(runs) -> None:
    assert predictions(runs / "two") == predictions(runs / "one")


def test_sharded_weights_train_as_whole_ones_and_are_evaluated_on_any_number_of_devices(tmp_path, composed, capsys):
    settings = (*GSM, *METHODS["svft_banded"])
    assert_same(tmp_path, *settings, tolerance=1e-5)
    assert_same_predictions(tmp_path)
    run(composed(*settings, SHARDED, f"runs_dir={tmp_path / 'two'}"))
    assert "done before: " in capsys.readouterr().out
    more = "evaluate.splits=[validation,test]"
    run(composed(*settings, SHARDED, f"runs_dir={tmp_path / 'two'}", more))
    assert read(tmp_path / "two").scores["micro_gsm"].keys() == {"validation", "test"}


# Digits: trained tensors in the unit of the rest, which is whole after an evaluation.
BEST = {"digits": (*DIGITS, "method=svft_plain", "train.lr=0.1", "train.head_lr=0.1", "train.select_best={every: 2}"),
        "gsm": (*GSM, "method=full", "train.select_best={every: 2}"),
        "stsb": (*STSB, "train.select_best={every: 2}")}  # fmt: skip


@pytest.mark.parametrize("task", ["digits", *(pytest.param(t, marks=pytest.mark.slow) for t in ("gsm", "stsb"))])
def test_the_best_of_sharded_weights_is_that_of_whole_ones(task, tmp_path):
    best = assert_same(tmp_path, *BEST[task], tolerance=1e-4).train["best_step"]
    if task == "digits":
        assert best < 6, "the last step is the best: nothing is loaded that was not there"


def test_blocks_are_those_that_the_model_names_or_else_what_its_longest_list_holds():
    class Block(nn.Module):
        pass

    class Named(nn.Module):
        _no_split_modules = ("Layer",)

    model = nn.Module()
    model.short, model.long = nn.ModuleList([nn.Linear(1, 1)]), nn.ModuleList([Block(), Block()])
    assert _block_names(model) == {"Block"}
    model.named = Named()
    assert _block_names(model) == {"Layer"}
    with pytest.raises(SettingError, match="Linear does not say which modules are its blocks"):
        _block_names(nn.Linear(1, 1))


@pytest.mark.slow
def test_fp32_adapters_train_in_a_sharded_bf16_base(tmp_path):
    settings = (*GSM, *METHODS["lora"], "model.dtype=bfloat16", "train.max_steps=3")
    one, two = one_process(tmp_path / "one", *settings), two_ranks(tmp_path / "two", *settings, SHARDED)
    torch.testing.assert_close(losses(two), losses(one), rtol=0, atol=1e-2)
    assert {tensor.dtype for tensor in trained(tmp_path / "two").values()} == {torch.float32}


@pytest.mark.slow
def test_a_sharded_run_that_was_killed_ends_as_if_left_alone(tmp_path):
    """Its checkpoint is resumed with whole optimiser state."""
    settings = (*GSM, *METHODS["lora"], SHARDED)
    before = on_rank(0, killed_once_there_is("checkpoint-4/complete"))
    with Ranks(*settings, f"runs_dir={tmp_path / 'killed'}", "train.checkpoint_every=4", before=before) as ranks:
        assert ranks.wait() == [-signal.SIGKILL, 1], ranks.said("stderr", 0)
    assert read(tmp_path / "killed").status == "running"
    killed = two_ranks(tmp_path / "killed", *settings, "train.checkpoint_every=4")
    alone = two_ranks(tmp_path / "alone", *settings, "train.checkpoint_every=4")
    torch.testing.assert_close(losses(killed), losses(alone), rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", EVERY)
def test_fifty_losses_of_sharded_weights_are_those_of_one_process(method, tmp_path):
    settings = (*GSM, *EVERY[method], "train.max_steps=50", "task.source.train_size=386", "train.batch_size=8")
    assert_same(tmp_path, *settings, tolerance=1e-4)
    assert_same_predictions(tmp_path)


def test_what_cannot_be_sharded_is_refused_in_a_sentence(composed, tmp_path):
    with pytest.raises(SettingError, match="train.sharding=zero3 is unknown"):
        check(composed("method=lora", "+train.sharding=zero3"), adapter=None)
    with pytest.raises(SettingError, match="train.sharding=fsdp2 needs several devices"):
        run(composed(*GSM, "method=lora", SHARDED, f"runs_dir={tmp_path / 'runs'}"))
    assert not (tmp_path / "runs").exists()
