"""What ranks tell each other, and which share of the examples each has."""

import os
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from harness import distributed, sharding
from harness.shares import Shares
from svft import SvftConfig
from svft.basis_layer import BasisLayer
from tests import processes
from tests.distributed.ranks import _free_port
from tests.test_method_contract import GEMMA


def _joined(function, rank: int, port: int, output: Path) -> None:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    os.environ.update(place, WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank))
    distributed.join(torch.device("cpu"))
    (output / str(rank)).write_text(repr(function()))
    distributed.leave()


def on_two_ranks(function, output: Path) -> list:
    port = _free_port()
    started = [processes.forked.Process(target=_joined, args=(function, rank, port, output)) for rank in (0, 1)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=60)
        assert process.exitcode == 0
    return [eval((output / str(rank)).read_text()) for rank in (0, 1)]


class Particular(Exception):
    def __init__(self, number: int):
        super().__init__(f"number {number}")


def _raise_on_rank_1() -> None:
    if distributed.rank() == 1:
        raise Particular(7)


def _messages() -> list:
    heard = []
    for asked in (distributed.agreed, distributed.from_main):
        try:
            heard.append(asked(_raise_on_rank_1))
        except Particular as error:
            heard.append((str(error), distributed.is_agreed(error)))
    return [*heard, distributed.from_main(distributed.rank), distributed.gather(distributed.rank()),
            distributed.total([1, distributed.rank()], torch.device("cpu")),
            distributed.first(distributed.rank() or None)]  # fmt: skip


def test_an_error_of_one_rank_is_that_of_all_and_rank_0_answers_for_all(tmp_path):
    expected = [("number 7", True), None, 0, [0, 1], [2.0, 1.0], 1]
    assert on_two_ranks(_messages, tmp_path) == [expected, expected]


def _bytes_here() -> tuple[int, int]:
    """Of weights and singular vectors: whole, and on this rank."""
    config = AutoConfig.for_model(**GEMMA)
    model = get_peft_model(
        AutoModelForCausalLM.from_config(config), SvftConfig(pattern="plain", target_modules=["q_proj", "up_proj"])
    )
    tensors = [
        *model.parameters(),
        *(b for name, b in model.named_buffers() if name.endswith(BasisLayer.large_buffers)),
    ]
    whole = sum(tensor.numel() for tensor in tensors)
    sharding.shard(model)
    assert not any(name.endswith(BasisLayer.large_buffers) for name, _ in model.named_buffers())
    return whole, sum(parameter.to_local().numel() for parameter in model.parameters())


def test_each_rank_holds_half_of_the_weights_and_of_the_singular_vectors(tmp_path):
    (whole, first), (_, second) = on_two_ranks(_bytes_here, tmp_path)
    assert first + second == whole
    assert first == pytest.approx(whole / 2, rel=0.01)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_shares_put_together_are_the_whole_in_its_order(count, monkeypatch):
    parts = []
    monkeypatch.setattr(distributed, "size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts.append(list(distributed.shares(range(count))))
    assert distributed.whole(parts) == list(range(count))


@pytest.mark.parametrize("examples", [1, 12, 13, 25])
def test_ranks_have_equally_many_micro_batches_and_every_example_once(examples, monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 3)
    ranks = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        sampler = Shares(examples, batch_size=4, seed=5)
        sampler.set_epoch(2)
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler)
    in_order = [batch for together in zip(*ranks, strict=True) for batch in together]
    assert sorted(i for batch in in_order for i in batch) == list(range(examples))
    sampler.set_epoch(2)
    assert [i for batch in in_order for i in batch] == list(sampler.order)
