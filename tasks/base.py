"""What a task is: examples to train on, and benchmarks that say how good the trained model's answers are.

A task never sees a model. The harness trains on `task.examples("train")`, asks each benchmark for its examples, and
hands each prediction to every scorer of the benchmark. Predictions are stored, so another scorer can score them later.
One training can serve several benchmarks (MetaMathQA: GSM-8K and MATH).

A task of your own derives from `Task`, or from `OwnBenchmark` where its one benchmark is the task itself. What has a
default here may be left out. A name that is nearly one of those (`train_on_prompt`) is an error, not another training.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, ClassVar, Self

from errors import SettingError

SplitName = str  # "train", "validation", "test"; a benchmark may have others and names them in `splits`


@dataclass(frozen=True)
class TextExample:
    """One problem: trained on as `prompt + target`; asked as `eval_prompt`.

    choices: the answers that likelihood ranking compares, each to the letter as it continues `eval_prompt`. Empty: the
        text is generated and nothing is ranked.
    """

    id: str
    prompt: str
    eval_prompt: str
    target: str
    gold: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassExample:
    """One text, or a pair of texts, and its class (an index) or its value (a float, regression)."""

    id: str
    text: str
    pair: str | None
    label: int | float
    choices: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class ImageExample:
    """One image and its class.

    image: a PIL image, or an array of shape (height, width), grey, or (height, width, channels), grey or RGB, perhaps
        with alpha. White is 255 in uint8, 65535 in uint16, True, and 1 in floats; see tasks/reading/pictures.py. Or a
        function without arguments that returns one, so that an image is opened only when it is needed.
    """

    id: str
    image: Any
    label: int
    choices: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class ItemScore:
    """Verdict on one prediction. `parsed` is False where no answer was found in the text (counted as wrong)."""

    correct: bool
    parsed: bool = True


Scorer = Callable[[Any, Any], ItemScore]  # (prediction, gold) -> verdict on one item


@dataclass(frozen=True)
class CorpusScorer:
    """A metric of all predictions together that is no mean of verdicts: F1, Matthews, Pearson, Spearman.

    version: SHA-256 of the code of a user's own metric, for which alone a score holds; empty of those of the house.
    """

    metric: Callable[[Sequence[Any], Sequence[Any]], float]  # (predictions, golds) -> in [-1, 1]
    version: str = ""


@dataclass(frozen=True)
class ValueScorer:
    """A number for each item, of which the score is the mean: a loss, in nats. Lower is better.

    value: (prediction, gold) -> finite; None where the prediction does not say, as those of earlier versions do not.
    """

    value: Callable[[Any, Any], float | None]


AnyScorer = Scorer | CorpusScorer | ValueScorer


@dataclass(frozen=True)
class DataFile:
    """A file that examples are read from.

    name: a path, or repository/path of the hub.  present: whether it is on this machine.
    remedy: a command or a sentence that says how to get it; empty where it is present.
    """

    name: str
    present: bool
    remedy: str = ""


NEARLY = 0.8  # of difflib's likeness, from 0 to 1


@cache
def _refuse_misspelt(cls: type, name: str) -> None:
    """Raises TypeError for a public name that is nearly one that has a default, and none of the interface.

    Whoever misspells what has no default is told by Python: it is missing.
    """
    interfaces = [base for base in cls.__mro__ if _Interface in base.__bases__]  # Task, Benchmark or both
    known = {each for base in interfaces for each in (*vars(base), *base.__annotations__)}
    if name.startswith("_") or name in known:
        return
    optional = {each for base in interfaces for each in vars(base).keys() - base.__abstractmethods__}
    if nearly := get_close_matches(name, optional, n=1, cutoff=NEARLY):
        raise TypeError(
            f"{cls.__name__} has an attribute {name!r}, and the harness reads {nearly[0]!r}: write it so, or let an "
            "attribute of your own begin with an underscore"
        )


class _Interface:
    """Refuses public attributes whose names are nearly those of an interface, in a class as in an instance."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in (*vars(cls), *cls.__annotations__):
            _refuse_misspelt(cls, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_misspelt(type(self), name)
        super().__setattr__(name, value)


class Benchmark(_Interface, ABC):
    """What is asked and how answers are scored.

    name: key of the scores in the record.  metric: what the score is called in tables.
    scorers: by name, the first is the one that tables show.  splits: those that it has of "validation", "test", ...
    Predictions that scorers get: generated text (kind "generation"); {"text": generated text, "likeliest": the choice
    with the greatest likelihood, "log_likelihoods": in nats, by choice} where examples have choices; class index or
    value ("text_classification"); class index ("image_classification").

    Of generated text:
    generates: False where the choices of examples are ranked, and nothing else is asked for: there is no "text".
    stop: an answer is cut before the first of these texts.  beams: of the search; 1 is greedy.
    max_new_tokens: of an answer; None: `max_new_tokens` of the task's yaml.
    """

    name: str
    metric: str
    scorers: Mapping[str, AnyScorer]
    splits: Sequence[SplitName] = ("validation", "test")

    generates: bool = True
    stop: tuple[str, ...] = ()
    beams: int = 1
    max_new_tokens: int | None = None
    notes: Sequence[str] = ()  # sentences on its files, once its examples were asked for: what was left out, and why

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what determines the examples of this benchmark."""

    @abstractmethod
    def examples(self, split: SplitName) -> Sequence[Any]:
        """The examples of one split, in a fixed order. Raises DataError."""

    def files(self) -> Sequence[DataFile]:
        """The files that its examples are read from; fetches and opens none."""
        return ()

    def fetch(self) -> None:
        """Have the files on this machine, or raise MissingData."""


class Task(_Interface, ABC):
    """What is trained on, and the benchmarks that the trained model is put to.

    kind: "generation" (TextExample), "text_classification" (ClassExample) or "image_classification" (ImageExample).
    name: as in `conf/task/<name>.yaml`, or of the training set where several yamls share one.
    benchmarks: by name, in the order of tables.

    Of generated text:
    trains_on_prompt: the loss is on the prompt too, not only on the target and the end token.
    tokenised_as_released: prompt and target are tokenised together, whatever the tokenizer makes of their border; see
        harness/modality/texts.py.

    Of classes:
    num_classes: 1 is regression; None of generated text.  class_names: by index; empty where classes have no names.
    watched: a split of the first benchmark that is scored after every epoch besides validation. It selects nothing.

    To tell how long a run takes before its files are there:
    validation_size: examples that are held out of training.  limit: every split keeps the first so many examples.
    per_class: so many examples of every class, by split.
    """

    kind: ClassVar[str]
    name: str
    benchmarks: Mapping[str, Benchmark]

    trains_on_prompt: bool = False
    tokenised_as_released: bool = False
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    watched: SplitName | None = None
    notes: Sequence[str] = ()  # as of a benchmark
    background: str = "white"  # what shows through an image that is transparent, a colour
    validation_size: int | None = None
    limit: int | None = None
    per_class: Mapping[SplitName, int] = {}

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what determines the training (and validation) examples: file contents or generator version, sizes,
        data seed. Test data that can change without a new training have a fingerprint of their own: the benchmark's.
        """

    @abstractmethod
    def examples(self, split: SplitName) -> Sequence[Any]:
        """Training examples ("train") or those held out of them ("validation"), in a fixed order. Raises DataError."""

    def files(self) -> Sequence[DataFile]:
        """The files that its examples are read from; fetches and opens none."""
        return ()

    def questions(self, rows: Sequence[Any]) -> Sequence[Any]:
        """The examples that rows of a file (tasks/reading/tables.py) ask, in the columns that the task trains on.

        They need no answer; see harness/predict.py. Raises DataError, and SettingError where a task has no such rows.
        """
        raise SettingError(f"task {self.name} does not say how rows of a file are asked; tasks of one's own files do")


class OwnBenchmark(Task, Benchmark):
    """For a task that is put to one benchmark, of its own name: the task is that benchmark."""

    @property
    def benchmarks(self) -> Mapping[str, Self]:
        return {self.name: self}
