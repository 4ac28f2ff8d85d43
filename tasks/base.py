"""What a task is: examples for training, validation and test, and scorers of what the model answered.

A task never sees a model. The harness asks `task.examples(split)`, trains on what it gets, and later hands each
prediction to every scorer in `task.scorers`; predictions are stored, so they can be scored again by another scorer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

SplitName = Literal["train", "validation", "test"]


class DataError(Exception):
    """The data are not there or not as described; the message is one sentence naming the file and the remedy."""


@dataclass(frozen=True)
class TextExample:
    """One problem: trained on as `prompt + target`, the loss on the target; asked as `eval_prompt`."""

    id: str
    prompt: str
    eval_prompt: str
    target: str
    gold: str


@dataclass(frozen=True)
class ImageExample:
    """One image, as a PIL image or a uint8 array of shape (height, width) or (height, width, 3), and its class."""

    id: str
    image: Any
    label: int


@dataclass(frozen=True)
class ItemScore:
    """Verdict on one prediction. `parsed` is False where no answer was found in the text (counted as wrong)."""

    correct: bool
    parsed: bool = True


Scorer = Callable[[Any, Any], ItemScore]  # (prediction, gold) -> verdict


@runtime_checkable
class Task(Protocol):
    """The interface that the harness relies on.

    kind: "generation" (TextExample; prediction = generated text, gold = text) or
        "image_classification" (ImageExample; prediction and gold = class index).
    name: as in `conf/task/<name>.yaml`.  metric: what the score is called in tables, in [0, 1].
    scorers: by name, the first is the one that tables show.
    """

    kind: ClassVar[str]
    name: str
    metric: str
    scorers: Mapping[str, Scorer]

    def fingerprint(self) -> str:
        """SHA-256 of what determines the examples: file contents or generator version, sizes, data seed."""
        ...

    def examples(self, split: SplitName) -> Sequence[TextExample] | Sequence[ImageExample]:
        """The examples of one split, in a fixed order. Raises DataError."""
        ...


# Generation tasks have besides: `stop: tuple[str, ...]` (the generated text is cut before the first of these).
# Image tasks have besides: `num_classes: int`.
