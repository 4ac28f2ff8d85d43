"""Splits of a small task, drawn at random from one training file.

A pretrained model that is fine-tuned on a few hundred rows leaves most of a published training file unused. Those rows
are labelled, and the official test sets of GLUE are not: here they choose, and report.
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from errors import DataError
from tasks import fingerprints
from tasks.base import Benchmark, ClassExample, DataFile, SplitName
from tasks.reading.content import several
from tasks.splits.parts import OfPart, Part, Scorers

UNUSED = "_unused"  # ends the name of the benchmark whose test rows are drawn from the training file
APART = "apart"  # beside the sizes


class DrawnRows:
    """Splits drawn at random from one file, none of which shares a text, or pair of texts, with another.

    Of rows with the same text the first alone is drawn from.
    tested: files that are test sets whole, by the name of the benchmark.
    drawn: rows by split, of which train and validation are needed. And `apart`: true leaves out rows whose text, or
        pair of texts, stands in a file of `tested`; false draws from them too, and a run says how many it trains on.
    """

    def __init__(
        self, part: Part, tested: Mapping[str, Part], drawn: Mapping[str, Any], data_seed: int, limit: int | None
    ) -> None:
        sizes = {name: size for name, size in drawn.items() if name != APART}
        if not {"train", "validation"} <= set(sizes) <= {"train", "validation", "test"}:
            raise ValueError(f"drawn says how many rows are for train, validation and, if wanted, test, not {drawn}")
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes.values()):
            raise ValueError(f"drawn has whole numbers, 1 or more, not {drawn}")
        if not isinstance(apart := drawn.get(APART, False), bool):
            raise ValueError(f"drawn.{APART} is true or false, not {apart!r}")
        self.part, self.tested, self.sizes, self.data_seed, self.limit = part, tested, sizes, data_seed, limit
        self._apart_from = list(tested.values()) if apart else []
        self._left_out: list[str] = []

    def fingerprint(self) -> str:
        others = [part.fingerprint() for part in self._apart_from]
        own = (sorted(self.sizes.items()), self.data_seed, self.limit)
        return fingerprints.of(self.part.fingerprint(), *own, *others)

    def files(self) -> list[DataFile]:
        """The files that decide which rows are drawn."""
        return [file for part in (self.part, *self._apart_from) for file in part.files()]

    @property
    def notes(self) -> list[str]:
        """Of the training file, and once rows are drawn, which of its rows were left out."""
        return [*self.part.notes, *self._left_out]

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._splits[split][: self.limit]

    def benchmarks(self, scorers: Scorers) -> dict[str, Benchmark]:
        """By name: all rows of each file of `tested`, and the test rows that are drawn, if any."""
        found: dict[str, Benchmark] = {name: WholeFile(name, part, scorers, self) for name, part in self.tested.items()}
        if "test" in self.sizes:
            name = next(iter(self.tested)) + UNUSED
            found[name] = UnusedRows(name, self.part, scorers, self)
        return found

    @cached_property
    def _splits(self) -> dict[SplitName, list[ClassExample]]:
        once = [example for text, example in self._different.items() if text not in self._test_texts]
        self._left_out = self._told()
        wanted = sum(self.sizes.values())
        if wanted > len(once):
            apart = " that stand in no test set" if self._apart_from else ""
            raise DataError(
                f"{self.part.source} has {len(once)} different texts{apart}, and task.source.drawn={self.sizes} asks "
                f"for {wanted}; lower it"
            )
        order = iter(random.Random(f"glue rows {self.data_seed}").sample(range(len(once)), wanted))
        return {
            split: [once[row] for row in sorted(next(order) for _ in range(self.sizes[split]))]
            for split in ("train", "validation", "test")
            if split in self.sizes
        }

    @cached_property
    def _different(self) -> dict[tuple[str, str | None], ClassExample]:
        """By text and pair the first row that has them, in the order of the last one that does."""
        found = {(example.text, example.pair): example for example in reversed(self.part.examples)}
        return dict(reversed(found.items()))

    @cached_property
    def _test_texts(self) -> set[tuple[str, str | None]]:
        """Of the files that drawn rows keep apart from."""
        return {(example.text, example.pair) for part in self._apart_from for example in part.examples}

    def _told(self) -> list[str]:
        texts = ((example.text, example.pair) for example in self.part.examples)
        rows = [number for number, text in enumerate(texts, 1) if text in self._test_texts]
        return [f"{self.part.source}: rows with a text of a test set are not drawn: {several(rows)}"] if rows else []


class WholeFile(OfPart):
    """All rows of a file to test on, and the drawn ones to choose by."""

    splits: ClassVar[Sequence[SplitName]] = ("validation", "test")

    def __init__(self, name: str, part: Part, scorers: Scorers, drawn: DrawnRows) -> None:
        super().__init__(name, part, scorers)
        self._drawn = drawn

    def fingerprint(self) -> str:
        return fingerprints.of(self._part.fingerprint(), self._drawn.fingerprint(), self._drawn.limit)

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._part.examples[: self._drawn.limit] if split == "test" else self._drawn.examples(split)


class UnusedRows(OfPart):
    """Rows of the training file that are neither trained on nor chosen by."""

    splits: ClassVar[Sequence[SplitName]] = ("test",)

    def __init__(self, name: str, part: Part, scorers: Scorers, drawn: DrawnRows) -> None:
        super().__init__(name, part, scorers)
        self._drawn = drawn

    def fingerprint(self) -> str:
        return self._drawn.fingerprint()

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        return self._drawn.examples(split)
