"""The order of training data, and its shares: a rank has every size-th micro-batch that one process goes through."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader

from harness.ranks import distributed

# Marks a batch that adds nothing to the loss. Its rank has no example left, and others wait for its backward pass.
FILLER = "filler"


Length = Callable[[int], int]  # of the row of that number


class Order:
    """Rows in the order of HF Trainer's sampler in one process, drawn anew for each epoch.

    length: with it the rows of each optimiser step, `step` of them, stand in order of their length. A step has the same
    rows, and micro-batches that are cut from it hold rows of like length, which leaves little to pad.
    """

    def __init__(self, examples: int, seed: int, step: int, length: Length | None = None):
        self.drawn = SeedableRandomSampler(range(examples), data_seed=seed)
        self.step, self.length = step, length

    def set_epoch(self, epoch: int) -> None:
        self.drawn.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.drawn)

    def __iter__(self) -> Iterator[int]:
        order = list(self.drawn)
        if self.length is None:
            yield from order
            return
        for start in range(0, len(order), self.step):
            yield from sorted(order[start : start + self.step], key=self.length)


class Shares:
    """Indices of this rank's micro-batches.

    All ranks have equally many. Where an epoch's micro-batches do not divide, the last ones are empty.
    """

    def __init__(self, order: Order, batch_size: int):
        self.order, self.examples, self.batch_size = order, len(order), batch_size

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


def loader(rows: Sequence[Any], collate: Callable[[Sequence[Any]], dict], batch_size: int, order: Order) -> DataLoader:
    def collated(indices: list[int]) -> dict[str, Any]:
        batch = collate([rows[i] for i in indices or [0]])
        return batch if indices else {**batch, FILLER: True}

    return SharedLoader(range(len(rows)), batch_sampler=Shares(order, batch_size), collate_fn=collated)
