"""Two ranks, with whole models or with shares of them, train as one process that takes each batch at once."""

from functools import partial
from pathlib import Path

import pytest
import torch

from tests import small_training as small
from tests.distributed.test_agreement import on_two_ranks

# None: DistributedDataParallel.
WAYS = [(family, sharding) for family in small.FAMILIES for sharding in (None, "fsdp2")]


def _train_all(folder: Path) -> dict:
    return {"ways": _in_all_ways(folder), "with dropout": _with_dropout(folder)}


def _with_dropout(folder: Path) -> bool:
    """Whether validations, checkpoints and an interruption leave the weights as they are without, to the bit."""
    training = {"family": "classification", "dropout": 0.1, "micro_batch_size": 2, "epochs": 1}
    alone = small.last_weights(folder=folder / "alone", **training)
    beside = {"select_best": {"by": "loss", "every": 1}, "folder": folder / "beside", **training}
    try:
        small.last_weights(callbacks=[small.Interrupt(2)], **beside)
    except small.Interrupted:
        resumed = small.last_weights(**beside)
    return small.same(resumed, alone)


def _in_all_ways(folder: Path) -> list:
    """Losses, norms and weights; micro-batches of 2, so that in the last step one rank has a micro-batch of filler."""
    found = []
    for number, (family, sharding) in enumerate(WAYS):
        more = {} if sharding is None else {"sharding": sharding}
        losses, norms, weights = small.exactly(family, folder / str(number), micro_batch_size=2, epochs=1, **more)
        found.append([losses.tolist(), norms.tolist(), {name: w.tolist() for name, w in weights.items()}])
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    return on_two_ranks(partial(_train_all, folder / "trainings"), folder)


@pytest.fixture(scope="module", params=small.FAMILIES)
def whole(request, tmp_path_factory):
    return request.param, small.exactly(request.param, tmp_path_factory.mktemp("whole"), epochs=1)


@pytest.mark.parametrize("sharding", [None, "fsdp2"])
def test_loss_gradient_norm_and_weights_are_those_of_one_process_with_whole_batches(whole, sharding, ranks):
    family, (losses, norms, weights) = whole
    first, second = (rank["ways"][WAYS.index((family, sharding))] for rank in ranks)
    exact = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(torch.tensor([first[0], second[0]], dtype=torch.float64).mean(0), losses, **exact)
    for rank in (first, second):
        torch.testing.assert_close(torch.tensor(rank[1], dtype=torch.float64), norms, **exact)
        for name, expected in weights.items():
            torch.testing.assert_close(torch.tensor(rank[2][name], dtype=torch.float64), expected, **exact)


def test_with_dropout_neither_a_validation_nor_an_interruption_changes_the_training(ranks):
    assert [rank["with dropout"] for rank in ranks] == [True, True]
