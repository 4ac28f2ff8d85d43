"""Splits of a small task, drawn at random from one training file.

A pretrained model that is fine-tuned on a few hundred rows leaves most of a published training file unused. Those rows
are labelled, and the official test sets of GLUE are not: here they choose, and report.
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Protocol

from errors import DataError
from tasks import fingerprints
from tasks.base import Benchmark, ClassExample, CorpusScorer, DataFile, Scorer, SplitName

Scorers = Mapping[str, Scorer | CorpusScorer]

UNUSED = "_unused"  # ends the name of the benchmark whose test rows are drawn from the training file


class Part(Protocol):
    """One file of a task: where it is from, and its rows as examples."""

    source: object

    notes: Sequence[str]

    @property
    def examples(self) -> list[ClassExample]: ...

    def fingerprint(self) -> str: ...

    def files(self) -> Sequence[DataFile]: ...

    def fetch(self) -> None: ...


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

    def benchmarks(self, whole: Mapping[str, Part], scorers: Scorers) -> dict[str, Benchmark]:
        """By name: all rows of each file of `whole`, and the test rows that are drawn, if any."""
        found: dict[str, Benchmark] = {name: WholeFile(name, part, scorers, self) for name, part in whole.items()}
        if "test" in self.sizes:
            name = next(iter(whole)) + UNUSED
            found[name] = UnusedRows(name, self.part, scorers, self)
        return found

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


class OfPart(Benchmark):
    """A benchmark whose test rows are those of one file, all or some."""

    def __init__(self, name: str, part: Part, scorers: Scorers, drawn: DrawnRows) -> None:
        self.name, self.scorers, self._part, self._drawn = name, scorers, part, drawn
        self.metric = next(iter(scorers))

    def files(self) -> Sequence[DataFile]:
        return self._part.files()

    def fetch(self) -> None:
        self._part.fetch()

    @property
    def notes(self) -> Sequence[str]:
        return self._part.notes


class WholeFile(OfPart):
    """All rows of a file to test on, and the drawn ones to choose by."""

    splits: ClassVar[Sequence[SplitName]] = ("validation", "test")

    def fingerprint(self) -> str:
        return fingerprints.of(self._part.fingerprint(), self._drawn.fingerprint(), self._drawn.limit)

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._part.examples[: self._drawn.limit] if split == "test" else self._drawn.examples(split)


class UnusedRows(OfPart):
    """Rows of the training file that are neither trained on nor chosen by."""

    splits: ClassVar[Sequence[SplitName]] = ("test",)

    def fingerprint(self) -> str:
        return self._drawn.fingerprint()

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._drawn.examples(split)
