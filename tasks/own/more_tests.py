"""A further test set of a task of one's own: another file, perhaps with other columns, scored as the task is."""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from tasks import fingerprints
from tasks.base import AnyScorer, Benchmark, DataFile, SplitName, TextExample
from tasks.reading.tables import TableFile


class Asked(Protocol):
    """A task whose table is all test."""

    name: str
    metric: str
    scorers: dict[str, AnyScorer]
    stop: tuple[str, ...]
    data_seed: int
    limit: int | None

    @property
    def notes(self) -> Sequence[str]: ...

    def whole(self) -> list[TextExample]: ...

    def fingerprint(self) -> str: ...


class MoreTests(Benchmark):
    """rows: that many of the table, drawn with the task's `data_seed`; None: all of them."""

    splits: Sequence[SplitName] = ("test",)

    def __init__(self, asked: Asked, table: TableFile, rows: int | None) -> None:
        if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
            raise ValueError(f"more: {asked.name}: rows is a whole number, 1 or more, or null, not {rows!r}")
        self.name, self.metric, self.scorers, self.stop = asked.name, asked.metric, asked.scorers, asked.stop
        self._asked, self._table, self._size = asked, table, rows

    def files(self) -> Sequence[DataFile]:
        return self._table.files()

    def fetch(self) -> None:
        self._table.paths()

    @property
    def notes(self) -> Sequence[str]:
        return self._asked.notes

    def fingerprint(self) -> str:
        return fingerprints.of(self._asked.fingerprint(), self._size)

    def examples(self, split: SplitName) -> list[TextExample]:
        return self._examples[: self._asked.limit]

    @cached_property
    def _examples(self) -> list[TextExample]:
        examples = self._asked.whole()
        if self._size is None or self._size >= len(examples):
            return examples
        drawn = random.Random(f"{self.name} {self._asked.data_seed}").sample(range(len(examples)), self._size)
        return [examples[row] for row in sorted(drawn)]
