"""Two ranks, with whole models or with shares of them, train as one process that takes each batch at once."""

from functools import partial
from pathlib import Path

import pytest
import torch

from tests import small_training as small
from tests.distributed.test_agreement import on_two_ranks

# None: DistributedDataParallel.
WAYS = [(family, sharding) for family in small.FAMILIES for sharding in (None, "fsdp2")]
FOLDER = "trainings"


def _train_all(folder: Path) -> list:
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
    first, second = on_two_ranks(partial(_train_all, folder / FOLDER), folder)
    return dict(zip(WAYS, zip(first, second, strict=True), strict=True))


@pytest.fixture(scope="module", params=small.FAMILIES)
def whole(request, tmp_path_factory):
    return request.param, small.exactly(request.param, tmp_path_factory.mktemp("whole"), epochs=1)


@pytest.mark.parametrize("sharding", [None, "fsdp2"])
def test_loss_gradient_norm_and_weights_are_those_of_one_process_with_whole_batches(whole, sharding, ranks):
    family, (losses, norms, weights) = whole
    first, second = ranks[family, sharding]
    exact = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(torch.tensor([first[0], second[0]], dtype=torch.float64).mean(0), losses, **exact)
    for rank in (first, second):
        torch.testing.assert_close(torch.tensor(rank[1], dtype=torch.float64), norms, **exact)
        for name, expected in weights.items():
            torch.testing.assert_close(torch.tensor(rank[2][name], dtype=torch.float64), expected, **exact)
