"""Splits of a small task, drawn at random from one training file.

A pretrained model that is fine-tuned on a few hundred rows leaves most of a published training file unused. Those rows
are labelled, and the official test sets of GLUE are not: here they choose, and report.
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from errors import DataError
from tasks import fingerprints
from tasks.base import Benchmark, ClassExample, CorpusScorer, DataFile, Scorer, SplitName

UNUSED = "_unused"  # ends the name of the benchmark whose test rows are drawn from the training file


class Part(Protocol):
    """One file of a task: where it is from, and its rows as examples."""

    source: object

    @property
    def examples(self) -> list[ClassExample]: ...

    def fingerprint(self) -> str: ...

    def files(self) -> Sequence[DataFile]: ...

    def fetch(self) -> None: ...


class UnusedRows(Benchmark):
    """Rows of the training file that are neither trained on nor chosen by."""

    splits: Sequence[SplitName] = ("test",)

    def __init__(self, name: str, scorers: Mapping[str, Scorer | CorpusScorer], drawn: "DrawnRows") -> None:
        self.name, self.scorers, self._drawn = name, scorers, drawn
        self.metric = next(iter(scorers))

    def fingerprint(self) -> str:
        return self._drawn.fingerprint()

    def files(self) -> Sequence[DataFile]:
        return self._drawn.part.files()

    def fetch(self) -> None:
        self._drawn.part.fetch()

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._drawn.examples(split)


class DrawnRows:
    """Splits drawn at random from one file, none of which shares a text, or pair of texts, with another.

    Of rows with the same text the first alone is drawn from. sizes: rows by split; train and validation are needed.
    """

    def __init__(self, part: Part, sizes: dict[SplitName, int], data_seed: int, limit: int | None) -> None:
        if not {"train", "validation"} <= set(sizes) <= {"train", "validation", "test"}:
            raise ValueError(f"drawn says how many rows are for train, validation and, if wanted, test, not {sizes}")
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes.values()):
            raise ValueError(f"drawn has whole numbers, 1 or more, not {sizes}")
        self.part, self.sizes, self.data_seed, self.limit = part, sizes, data_seed, limit

    def fingerprint(self) -> str:
        return fingerprints.of(self.part.fingerprint(), sorted(self.sizes.items()), self.data_seed, self.limit)

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._splits[split][: self.limit]

    @cached_property
    def _splits(self) -> dict[SplitName, list[ClassExample]]:
        once = list({(example.text, example.pair): example for example in reversed(self.part.examples)}.values())[::-1]
        wanted = sum(self.sizes.values())
        if wanted > len(once):
            raise DataError(
                f"{self.part.source} has {len(once)} different texts, and task.source.drawn={self.sizes} asks for "
                f"{wanted}; lower it"
            )
        order = iter(random.Random(f"glue rows {self.data_seed}").sample(range(len(once)), wanted))
        return {
            split: [once[row] for row in sorted(next(order) for _ in range(self.sizes[split]))]
            for split in ("train", "validation", "test")
            if split in self.sizes
        }
