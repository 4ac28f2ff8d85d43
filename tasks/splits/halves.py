"""Two halves of one file, drawn at random with labels distributed alike."""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from tasks import fingerprints
from tasks.base import ClassExample, SplitName
from tasks.splits.parts import OfPart, Part, Scorers


class Halved(OfPart):
    """One dev set: its two halves, and all of it.

    limit: keep the first so many examples of each half; dev is both halves all the same.
    """

    splits: ClassVar[Sequence[SplitName]] = ("validation", "test", "dev")

    def __init__(self, name: str, part: Part, scorers: Scorers, data_seed: int, limit: int | None) -> None:
        super().__init__(name, part, scorers)
        self.data_seed, self.limit = data_seed, limit

    def fingerprint(self) -> str:
        return fingerprints.of(self._part.fingerprint(), self.data_seed, self.limit)

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[SplitName, list[ClassExample]]:
        examples = self._part.examples
        drawn = halves([example.label for example in examples], random.Random(f"glue {self.data_seed}"))
        validation, test = (rows[: self.limit] for rows in drawn)
        kept = {"validation": validation, "test": test, "dev": sorted(validation + test)}
        return {split: [examples[row] for row in rows] for split, rows in kept.items()}


def halves(labels: Sequence[float], rng: random.Random) -> tuple[list[int], list[int]]:
    """Row numbers of two halves, each in ascending order. Rows are sorted by label and paired; each half gets one of a
    pair, by chance.

    Equal labels are in random order, so this is a stratified draw of classes, and of values a draw with like
    distributions. A last row without a partner goes to the first half.
    """
    order = list(range(len(labels)))
    rng.shuffle(order)
    order.sort(key=labels.__getitem__)
    first = {rng.choice(order[start : start + 2]) for start in range(0, len(order), 2)}
    return sorted(first), sorted(set(order) - first)
