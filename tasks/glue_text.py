r"""GLUE's tasks of classes as text, for a decoder: it is asked which of the answers, one for each class, is likeliest.

Rows, splits and `drawn` are those of tasks/glue.py. Nothing is generated. Two scores come from the same likelihoods:
`strict`, whether the likeliest answer is the right one, and `answer_loss`, -log p(right answer | prompt) in nats.

A row as it is fed, prompt and then target; blanks around a text, as SST-2 has them, are left out:

    >>> task = GlueText(
    ...     subset="sst2", data_seed=0, prompt=r"Review: {sentence}\nSentiment:", answers=[" negative", " positive"]
    ... )
    >>> example = task.asked(ClassExample("train-0", "quirkily appealing ", None, 1))
    >>> print(example.prompt + example.target)
    Review: quirkily appealing
    Sentiment: positive
    >>> example.gold, example.choices
    (' positive', (' negative', ' positive'))
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tasks import fingerprints
from tasks.base import AnyScorer, Benchmark, ClassExample, DataFile, SplitName, Task, TextExample, ValueScorer
from tasks.glue import SUBSETS, Glue
from tasks.own.generation import template
from tasks.reading.tables import Row
from tasks.scoring.verdicts import answer_loss, likeliest


class GlueText(Task):
    """The task `subset` of GLUE, one of those with classes.

    prompt: a text in which {column} is a text of the row, by GLUE's names; \\n is a new line.
    answers: what follows the prompt, of each class in their order, to the letter.
    glue: what `Glue` takes besides: sources, drawn, limit, name.
    """

    kind: ClassVar[str] = "generation"

    def __init__(self, *, subset: str, prompt: str, answers: Sequence[str], **glue: Any) -> None:
        self._classes = Glue(subset=subset, **glue)
        self._columns = SUBSETS[subset].texts
        if not SUBSETS[subset].classes:
            raise ValueError(f"GLUE's {subset} has values and no classes, so no answers can be ranked")
        if isinstance(answers, str) or len({*answers}) != self._classes.num_classes:
            names = ", ".join(SUBSETS[subset].classes)
            raise ValueError(f"answers are as many different texts as classes ({names}), not {answers!r}")
        self._answers = tuple(answers)
        self._template = template(prompt)
        unknown = [column for _, column in self._template if column is not None and column not in self._columns]
        if unknown:
            raise ValueError(f"prompt names {unknown[0]!r}; the texts of {subset} are {', '.join(self._columns)}")
        self.name, self.limit = self._classes.name, self._classes.limit
        self.benchmarks = {name: AskedAsText(each, self) for name, each in self._classes.benchmarks.items()}

    def files(self) -> Sequence[DataFile]:
        return self._classes.files()

    @property
    def notes(self) -> Sequence[str]:
        return self._classes.notes

    def fingerprint(self) -> str:
        return fingerprints.of(self._classes.fingerprint(), *self.facts())

    def facts(self) -> list[Any]:
        """What determines a text besides the row."""
        return [self._template, self._answers]

    def examples(self, split: SplitName) -> list[TextExample]:
        return [self.asked(example) for example in self._classes.examples(split)]

    def questions(self, rows: Sequence[Row]) -> list[TextExample]:
        """With the columns of texts that the hub's files have."""
        return [self.asked(example) for example in self._classes.questions(rows)]

    def asked(self, example: ClassExample) -> TextExample:
        texts = dict(zip(self._columns, (example.text, example.pair), strict=False))
        parts = [part if column is None else part + str(texts[column]).strip() for part, column in self._template]
        prompt, answer = "".join(parts), self._answers[example.label]
        return TextExample(example.id, prompt, prompt, answer, answer, self._answers)


class AskedAsText(Benchmark):
    """The same rows as a benchmark of classes."""

    metric: ClassVar[str] = "accuracy"
    scorers: ClassVar[Mapping[str, AnyScorer]] = {"strict": likeliest, "answer_loss": ValueScorer(answer_loss)}
    generates: ClassVar[bool] = False

    def __init__(self, classes: Benchmark, task: GlueText) -> None:
        self.name, self.splits = classes.name, classes.splits
        self._classes, self._task = classes, task

    def files(self) -> Sequence[DataFile]:
        return self._classes.files()

    def fetch(self) -> None:
        self._classes.fetch()

    @property
    def notes(self) -> Sequence[str]:
        return self._classes.notes

    def fingerprint(self) -> str:
        return fingerprints.of(self._classes.fingerprint(), *self._task.facts())

    def examples(self, split: SplitName) -> list[TextExample]:
        return [self._task.asked(example) for example in self._classes.examples(split)]
