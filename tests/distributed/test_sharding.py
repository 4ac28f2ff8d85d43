"""FSDP2: shares of weights on two ranks train as whole ones do, and what was trained is written whole."""

import pytest
import torch

from harness.sharding import check
from tests.distributed.ranks import Ranks
from tests.distributed.runs import GSM, losses, one_process, predictions, read, trained, two_ranks

SHARDED = "+train.sharding=fsdp2"
METHODS = {
    "svft_banded": ("method=svft_banded", "method.adapter.d=2"),
    "lora": ("method=lora",),
    "full": ("method=full",),
}
EVERY = {**METHODS, "svft_plain": ("method=svft_plain",), "svft_random": ("method=svft_random",),
         "svft_topk": ("method=svft_topk",)}  # fmt: skip


def assert_same(runs, *settings: str, tolerance: float) -> None:
    one, two = one_process(runs / "one", *settings), two_ranks(runs / "two", *settings, SHARDED)
    torch.testing.assert_close(losses(two), losses(one), rtol=0, atol=tolerance)
    assert two.train["size"] == one.train["size"]
    assert two.key != one.key
    expected = trained(runs / "one")
    assert trained(runs / "two").keys() == expected.keys()
    for name, tensor in trained(runs / "two").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=10 * tolerance)
    assert predictions(runs / "two") == predictions(runs / "one")


def test_sharded_weights_train_as_whole_ones(tmp_path):
    assert_same(tmp_path, *GSM, *METHODS["svft_banded"], tolerance=1e-5)


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
    with Ranks(*settings, f"runs_dir={tmp_path / 'killed'}", "train.checkpoint_every=4") as ranks:
        while not list((tmp_path / "killed").rglob("checkpoint-4/complete")):
            assert ranks.running, ranks.said("stderr", 0)
    assert read(tmp_path / "killed").status == "running"
    killed = two_ranks(tmp_path / "killed", *settings, "train.checkpoint_every=4")
    alone = two_ranks(tmp_path / "alone", *settings, "train.checkpoint_every=4")
    torch.testing.assert_close(losses(killed), losses(alone), rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", EVERY)
def test_fifty_losses_of_sharded_weights_are_those_of_one_process(method, tmp_path):
    settings = (*GSM, *EVERY[method], "train.max_steps=50", "task.source.train_size=386", "train.batch_size=8")
    assert_same(tmp_path, *settings, tolerance=1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("method=lora", "+train.sharding=zero3"), "train.sharding=zero3 is unknown"),
        (("method=vera", SHARDED), "train.sharding=fsdp2 needs several devices"),
    ],
)
def test_what_cannot_be_sharded_is_refused_in_a_sentence(composed, settings, sentence):
    cfg = composed(*settings)
    with pytest.raises(ValueError, match=sentence):
        check(cfg, adapter=None)
