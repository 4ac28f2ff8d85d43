"""Training data on several ranks: each has every size-th micro-batch of those that one process would go through."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader

from harness.ranks import distributed

# Marks a batch that adds nothing to the loss. Its rank has no example left, and others wait for its backward pass.
FILLER = "filler"


class Shares:
    """Indices of this rank's micro-batches, in the order of HF Trainer's sampler in one process.

    All ranks have equally many. Where an epoch's micro-batches do not divide, the last ones are empty.
    """

    def __init__(self, examples: int, batch_size: int, seed: int):
        self.order = SeedableRandomSampler(range(examples), data_seed=seed)
        self.examples, self.batch_size = examples, batch_size

    def set_epoch(self, epoch: int) -> None:
        self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-self.examples // (self.batch_size * distributed.size()))

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.order)
        together = self.batch_size * distributed.size()
        for start in range(0, len(order), together):
            first = start + self.batch_size * distributed.rank()
            yield order[first : first + self.batch_size]


class SharedLoader(DataLoader):
    """An empty batch becomes the first example, marked as a filler."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)


def loader(rows: Sequence[Any], collate: Callable[[Sequence[Any]], dict], batch_size: int, seed: int) -> DataLoader:
    def collated(indices: list[int]) -> dict[str, Any]:
        batch = collate([rows[i] for i in indices or [0]])
        return batch if indices else {**batch, FILLER: True}

    return SharedLoader(range(len(rows)), batch_sampler=Shares(len(rows), batch_size, seed), collate_fn=collated)
