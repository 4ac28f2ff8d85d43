"""Sentences of film reviews, each with the mean of some twenty people's ratings: does it praise?

Hutto and Gilbert (2014), "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM.
The sentences are those of Pang and Lee (2005), the source of SST-2 as well, so the two tasks share sentences.

A line of the file, which has the sentence's number, the mean rating from -4 to 4, and the sentence:

    >>> read("3\\t-1.6\\tEffective but too tepid biopic\\n", "lines")
    [Snippet(id='3', rating=-1.6, sentence='Effective but too tepid biopic')]

Left out of examples:

    a mean rating nearer to zero than `least_rating`: undecided. A mean of 18 ratings (the median) has a standard error
        of 0.19 (the median, too). With 1, two of 9,173 sentences are left that are nearer to zero than two of their own
        standard errors; of those between 0.5 and 1 it would be one in seven.
    a sentence that is there already, be it for signs, spaces and capitals: no text is in two splits. Where two such
        disagree, neither stays.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from errors import DataError, MissingData
from tasks import fingerprints
from tasks.base import ClassExample, DataFile, OwnBenchmark, Scorer, SplitName
from tasks.scoring.verdicts import exact_class

FILE = "movieReviewSnippets_GroundTruth.txt"
FETCH = "`python -m assets.fetch_real` fetches it"


@dataclass(frozen=True)
class Snippet:
    id: str
    rating: float
    sentence: str

    @property
    def label(self) -> int:
        """The index of its class."""
        return int(self.rating > 0)


class VaderMovies(OwnBenchmark):
    """Of each class fixed numbers of sentences to train on, to choose by and to test on, drawn with `data_seed`."""

    kind: ClassVar[str] = "text_classification"
    metric: ClassVar[str] = "accuracy"
    num_classes: ClassVar[int] = 2
    class_names: ClassVar[tuple[str, ...]] = ("negative", "positive")
    scorers: ClassVar[Mapping[str, Scorer]] = {"accuracy": exact_class}

    def __init__(
        self,
        *,
        folder: str,
        least_rating: float,
        train_per_class: int,
        validation_per_class: int,
        test_per_class: int,
        data_seed: int,
        name: str = "vader_movies",
    ) -> None:
        self.name = name
        self.data_seed = data_seed
        self.per_class = {"train": train_per_class, "validation": validation_per_class, "test": test_per_class}
        if least_rating <= 0:
            raise ValueError(f"least_rating is above 0, not {least_rating}: a rating of 0 is of neither class")
        for split, number in self.per_class.items():
            if number < 1:
                raise ValueError(f"{split}_per_class >= 1, not {number}")
        self._least_rating = least_rating
        self._path = Path(folder).expanduser() / FILE
        self._splits: dict[SplitName, list[ClassExample]] = {}

    def fingerprint(self) -> str:
        return fingerprints.of(fingerprints.of_file(self._there()), self._least_rating, self.per_class, self.data_seed)

    def files(self) -> list[DataFile]:
        there = self._path.is_file()
        return [DataFile(str(self._path), there, "" if there else FETCH)]

    def fetch(self) -> None:
        self._there()

    def examples(self, split: SplitName) -> Sequence[ClassExample]:
        if not self._splits:
            self._splits = self._split(read(self._there().read_text(encoding="utf-8"), str(self._path)))
        return self._splits[split]

    def _there(self) -> Path:
        if not self._path.is_file():
            raise MissingData(f"no file {self._path}; {FETCH}")
        return self._path

    def _split(self, snippets: Iterable[Snippet]) -> dict[SplitName, list[ClassExample]]:
        rng = random.Random(f"{self.name} {self.data_seed}")
        clear = distinct(each for each in snippets if abs(each.rating) >= self._least_rating)
        splits: dict[SplitName, list[Snippet]] = {split: [] for split in self.per_class}
        wanted = sum(self.per_class.values())
        for label, title in enumerate(self.class_names):
            members = [each for each in clear if each.label == label]
            if len(members) < wanted:
                raise DataError(
                    f"{self._path} has {len(members):,} {title} sentences rated {self._least_rating} or more from "
                    f"zero, and task.source.*_per_class ask for {wanted:,}"
                )
            order = iter(rng.sample(members, wanted))
            for split, number in self.per_class.items():
                splits[split] += [next(order) for _ in range(number)]
        return {
            split: [
                ClassExample(f"{self.name}-{each.id}", each.sentence, None, each.label)
                for each in sorted(members, key=lambda each: int(each.id))
            ]
            for split, members in splits.items()
        }


def read(text: str, where: str) -> list[Snippet]:
    """The snippets of a file's lines. Raises DataError for a line that is none."""
    return [_snippet(line, f"line {number} of {where}") for number, line in enumerate(text.splitlines(), 1)]


def _snippet(line: str, where: str) -> Snippet:
    parts = line.split("\t")
    try:
        id, rating, sentence = parts
        snippet = Snippet(str(int(id)), float(rating), sentence.strip())
    except ValueError as error:
        raise DataError(f"{where} is no number, rating and sentence with tabs between them: {line!r}") from error
    if not snippet.sentence or not -4 <= snippet.rating <= 4:
        raise DataError(f"{where} has no sentence, or no rating from -4 to 4: {line!r}")
    return snippet


def distinct(snippets: Iterable[Snippet]) -> list[Snippet]:
    """Each text once, by its first snippet; not at all where two snippets give it two classes."""
    same = defaultdict(list)
    for each in snippets:
        same[words(each.sentence)].append(each)
    return [first for first, *others in same.values() if all(each.label == first.label for each in others)]


def words(sentence: str) -> str:
    """What makes two texts the same: letters and digits, whatever the capitals, signs and spaces; if none, all."""
    return " ".join(re.findall(r"\w+", sentence.casefold())) or sentence
