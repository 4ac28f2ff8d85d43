"""One file of a task, and a benchmark that asks its rows."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tasks.base import Benchmark, ClassExample, CorpusScorer, DataFile, Scorer

Scorers = Mapping[str, Scorer | CorpusScorer]


class Part(Protocol):
    """One file of a task: where it is from, and its rows as examples."""

    source: object

    notes: Sequence[str]

    @property
    def examples(self) -> list[ClassExample]: ...

    def fingerprint(self) -> str: ...

    def files(self) -> Sequence[DataFile]: ...

    def fetch(self) -> None: ...


class OfPart(Benchmark):
    """A benchmark whose rows are those of one file, all or some."""

    def __init__(self, name: str, part: Part, scorers: Scorers) -> None:
        self.name, self.scorers, self._part = name, scorers, part
        self.metric = next(iter(scorers))

    def files(self) -> Sequence[DataFile]:
        return self._part.files()

    def fetch(self) -> None:
        self._part.fetch()

    @property
    def notes(self) -> Sequence[str]:
        return self._part.notes
