"""What a task is: examples to train on, and benchmarks that say how good the trained model's answers are.

A task never sees a model. The harness trains on `task.examples("train")`, asks each benchmark for its examples, and
hands each prediction to every scorer of the benchmark; predictions are stored, so they can be scored again by another
scorer. One training can serve several benchmarks (MetaMathQA: GSM-8K and MATH).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

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


@dataclass(frozen=True)
class ImageExample:
    """One image and its class.

    `image`: a PIL image, or an array of shape (height, width), grey, or (height, width, channels), grey or RGB, perhaps
    with alpha. White is 255 in uint8, 65535 in uint16, True, and 1 in floats; see tasks/pictures.py. It may also be a
    function without arguments that returns one: opened when it is needed, not before.
    """

    id: str
    image: Any
    label: int


@dataclass(frozen=True)
class ItemScore:
    """Verdict on one prediction. `parsed` is False where no answer was found in the text (counted as wrong)."""

    correct: bool
    parsed: bool = True


Scorer = Callable[[Any, Any], ItemScore]  # (prediction, gold) -> verdict on one item


@dataclass(frozen=True)
class CorpusScorer:
    """A metric of all predictions together that is no mean of verdicts: F1, Matthews, Pearson, Spearman."""

    metric: Callable[[Sequence[Any], Sequence[Any]], float]  # (predictions, golds) -> in [-1, 1]


@runtime_checkable
class Benchmark(Protocol):
    """What is asked and how answers are scored.

    name: key of the scores in the record.  metric: what the score is called in tables.
    scorers: by name, the first is the one that tables show.  splits: those that it has of "validation", "test", ...
    Predictions that scorers get: generated text (kind "generation"); {"text": generated text, "likeliest": the choice
    with the greatest likelihood} where examples have choices; class index or value ("text_classification");
    class index ("image_classification").
    """

    name: str
    metric: str
    scorers: Mapping[str, Scorer | CorpusScorer]
    splits: Sequence[SplitName]

    def fingerprint(self) -> str:
        """SHA-256 of what determines the examples of this benchmark."""
        ...

    def examples(self, split: SplitName) -> Sequence[Any]:
        """The examples of one split, in a fixed order. Raises DataError."""
        ...


@runtime_checkable
class Task(Protocol):
    """What is trained on, and the benchmarks that the trained model is put to.

    kind: "generation" (TextExample), "text_classification" (ClassExample) or "image_classification" (ImageExample).
    name: as in `conf/task/<name>.yaml`, or of the training set where several yamls share one.
    benchmarks: by name, in the order of tables.
    """

    kind: ClassVar[str]
    name: str
    benchmarks: Mapping[str, Benchmark]

    def fingerprint(self) -> str:
        """SHA-256 of what determines the training (and validation) examples: file contents or generator version, sizes,
        data seed. Test data that can be changed without training anew have a fingerprint of their own, the benchmark's.
        """
        ...

    def examples(self, split: SplitName) -> Sequence[Any]:
        """Training examples ("train") or those held out of them ("validation"), in a fixed order. Raises DataError."""
        ...


class OwnBenchmark:
    """For a task that is put to one benchmark, of its own name: the task is that benchmark."""

    name: str
    splits: ClassVar[Sequence[SplitName]] = ("validation", "test")

    @property
    def benchmarks(self) -> Mapping[str, Self]:
        return {self.name: self}


# Optional attributes, with what their absence means:
#   of a task or a benchmark notes: list[str] (none)       sentences on its files, once its examples were asked for:
#                                                          what was left out, what was read by a rule
#   of a benchmark           fetch: () -> None             its files are there, or made to be; raises MissingData
#   of a generation task     trains_on_prompt: bool (False)  the loss is on the target and the end token alone
#                            tokenised_as_released: bool (False)  prompt and target together, whatever the tokenizer
#                                                           makes of their border; see harness/modality/texts.py
#   of a generation benchmark  stop: tuple[str, ...] (none)  the generated text is cut before the first of these
#                              max_new_tokens: int           `max_new_tokens` of the task's yaml
#                              beams: int (1)                beams of the search; 1 is greedy
#   of a task of texts       questions(rows) -> examples   those that rows of a file (tasks/tables.py) ask, with the
#                                                          columns that it trains on, and no answer; see harness/predict
#   of any task              notes: list[str]              sentences on what was left out or doubled when it was read
#   of an image task         num_classes: int
#                            class_names: tuple[str, ...]   names of the classes by index; empty: they have none
#   of a text classification task
#                            num_classes: int               1 is regression
#                            class_names: tuple[str, ...]   as of an image task; empty for regression
#                            watched: str                   a split of the first benchmark that is scored at the end of
#                                                           every epoch besides validation; it selects nothing
