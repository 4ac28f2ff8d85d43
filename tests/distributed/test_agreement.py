"""What ranks tell each other, and which share of the examples each has."""

import errno
import gc
import os
from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from torch import distributed as dist
from transformers import AutoConfig, AutoModelForCausalLM

from errors import Damaged, SettingError
from harness.ranks import distributed, sharding
from harness.ranks.shares import Order, Shares
from harness.store import disk
from svft import SvftConfig
from svft.basis.layer import BasisLayer
from tests import processes
from tests.distributed.ranks import environment, reserved_port
from tests.test_method_contract import GEMMA


def _joined(function, place: dict[str, str], output: Path) -> None:
    gc.freeze()  # as in tests/conftest.py
    os.environ.update(place)
    distributed.join(torch.device("cpu"))
    (output / place["RANK"]).write_text(repr(function()))
    distributed.leave()


def on_two_ranks(function, output: Path) -> list:
    with reserved_port() as port:
        started = [
            processes.forked.Process(target=_joined, args=(function, environment(2, rank, port), output))
            for rank in (0, 1)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(timeout=600)
            assert process.exitcode == 0
    return [eval((output / str(rank)).read_text()) for rank in (0, 1)]


class Particular(Exception):
    def __init__(self, number: int):
        super().__init__(f"number {number}")


def _raise_on_rank_1() -> None:
    if distributed.rank() == 1:
        raise Particular(7)


def _heard(kind: type[Exception], function, asked=distributed.call_together) -> tuple[Exception, bool] | object:
    try:
        return asked(function)
    except kind as error:
        return error, distributed.is_of_all_ranks(error)


def _messages() -> list:
    asked = (distributed.call_together, distributed.broadcast_from_main)
    heard = [_heard(Particular, _raise_on_rank_1, a) for a in asked]
    return [
        str(heard[0]),
        heard[1],
        distributed.broadcast_from_main(distributed.rank),
        distributed.gather(distributed.rank()),
        distributed.total([1, distributed.rank()], torch.device("cpu")),
        distributed.first(distributed.rank() or None),
    ]


def _raise(error: Exception) -> None:
    if distributed.rank() == 1:
        raise error


def _errors() -> list:
    """Of rank 1, as both have them."""

    class Local(Exception):
        pass

    full, _ = _heard(OSError, lambda: _raise(OSError(errno.ENOSPC, "No space left on device", "/place")))
    damaged, _ = _heard(Damaged, lambda: _raise(Damaged(Path("/x"), "it is a folder")))
    decoding, _ = _heard(UnicodeDecodeError, lambda: _raise(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")))
    local, _ = _heard(Exception, lambda: _raise(Local("unknown elsewhere")))
    return [disk.refuses(full), str(full), full.filename, str(damaged), damaged.reason, str(decoding), str(local)]


def _differing() -> list:
    same = _heard(SettingError, lambda: None, lambda _: distributed.refuse_differing({"data": "a", "model": "b"}))
    other, agreed = _heard(
        SettingError,
        None,
        lambda _: distributed.refuse_differing({"data": "a", "model": "bc"[distributed.rank()]}),
    )
    return [same, str(other), agreed]


def _failures() -> list:
    """What each rank hears that tells of its failure at the same time as the other; and how long a rank is waited for.

    Also what is heard once the store is gone.
    """
    heard = distributed.tell_failure(f"of {distributed.rank()}"), distributed.told_failure()
    distributed.barrier()
    waits = dist.distributed_c10d._get_default_group()._get_backend(torch.device("cpu")).options._timeout

    class Gone:
        def check(self, *_) -> None:
            raise dist.DistNetworkError("it was rank 0's")

        compare_set = get = set = check

    distributed._store, store = Gone(), distributed._store
    gone = distributed.tell_failure("x"), distributed.told_failure(), distributed.tells_last()
    distributed._store = store
    return [heard, waits.total_seconds(), gone, distributed.tells_last()]


def _all() -> dict[str, list]:
    return {"messages": _messages(), "errors": _errors(), "differing": _differing(), "failures": _failures()}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict[str, list]]:
    """What each of two ranks has heard."""
    return on_two_ranks(_all, tmp_path_factory.mktemp("ranks"))


def test_an_error_of_one_rank_is_that_of_all_and_rank_0_answers_for_all(ranks):
    for rank in ranks:
        assert rank["messages"] == ["(Particular('number 7'), True)", None, 0, [0, 1], [2.0, 1.0], 1]


def test_an_error_arrives_with_its_number_its_file_and_its_attributes(ranks):
    full = "[Errno 28] No space left on device: '/place'"
    decoding = "'utf-8' codec can't decode byte 0xff in position 0: invalid"
    expected = [True, full, "/place", "/x is damaged: it is a folder", "it is a folder", decoding]
    first, second = (rank["errors"] for rank in ranks)
    assert first == [*expected, "Local: unknown elsewhere"]
    assert second == [*expected, "unknown elsewhere"]


def test_ranks_with_other_data_are_told_what_differs(ranks):
    for rank in ranks:
        same, sentence, agreed = rank["differing"]
        assert same is None and agreed
        assert "model is b for process 0 and c for process 1" in sentence


def test_of_two_failures_at_once_one_is_told(ranks):
    (first, first_later), (second, second_later) = (rank["failures"][0] for rank in ranks)
    assert (first is None) != (second is None)
    assert {first, second} == {None, first_later} and first_later == second_later


def test_nothing_is_told_where_the_store_is_gone_and_rank_1_speaks_in_the_place_of_rank_0(ranks):
    assert [rank["failures"][2:] for rank in ranks] == [[(None, None, True), True], [(None, None, True), False]]


def test_ranks_wait_for_hours_for_what_one_of_them_does_alone(ranks):
    assert [rank["failures"][1] for rank in ranks] == [7200, 7200]


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
    assert distributed.interleaved(parts) == list(range(count))


@pytest.mark.parametrize("examples", [1, 12, 13, 25])
def test_ranks_have_equally_many_micro_batches_and_every_example_once(examples, monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 3)
    ranks = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        sampler = Shares(Order(examples, seed=5, step=12), batch_size=4)
        sampler.set_epoch(2)
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler)
    in_order = [batch for together in zip(*ranks, strict=True) for batch in together]
    assert sorted(i for batch in in_order for i in batch) == list(range(examples))
    sampler.set_epoch(2)
    assert [i for batch in in_order for i in batch] == list(sampler.order)
