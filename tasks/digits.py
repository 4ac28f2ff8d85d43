"""Handwritten digits: the 1797 real 8 x 8 images that scikit-learn ships, with few training examples per class.

An image as it is before the model's preprocessing, and its class:

    >>> example = Digits(train_per_class=1, validation_per_class=1).examples("train")[3]
    >>> print(example.image)
    [[  0   0   0  48 143 255 255  32]
     [  0   0  64 255 207 175 255  16]
     [  0   0  48  80   0  96 207   0]
     [  0   0   0  32 112 223 143   0]
     [  0   0  64 255 255 239  48   0]
     [  0   0 143 128 175 191   0   0]
     [  0   0   0   0 191  64   0   0]
     [  0   0   0  32 239  16   0   0]]
    >>> example.label
    7
"""

import json
import random
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from sklearn.datasets import load_digits

from errors import DataError
from tasks import fingerprints
from tasks.base import ImageExample, OwnBenchmark, Scorer, SplitName
from tasks.scoring.verdicts import exact_class

LARGEST_PIXEL = 16  # of scikit-learn's copy


class Digits(OwnBenchmark):
    """Per class a fixed number of training and validation images; all others are the test set."""

    kind: ClassVar[str] = "image_classification"
    metric: ClassVar[str] = "accuracy"
    num_classes: ClassVar[int] = 10
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    scorers: ClassVar[Mapping[str, Scorer]] = {"accuracy": exact_class}

    def __init__(
        self, *, train_per_class: int, validation_per_class: int, data_seed: int = 0, name: str = "digits"
    ) -> None:
        self.name = name
        self.train_per_class = train_per_class
        self.validation_per_class = validation_per_class
        self.data_seed = data_seed
        self._splits: dict[SplitName, list[ImageExample]] = {}

    def fingerprint(self) -> str:
        images, labels = _load()
        facts = json.dumps([self.train_per_class, self.validation_per_class, self.data_seed])
        return fingerprints.of_bytes(images.tobytes() + labels.tobytes() + facts.encode())

    def examples(self, split: SplitName) -> Sequence[ImageExample]:
        if not self._splits:
            self._splits = self._split()
        return self._splits[split]

    def _split(self) -> dict[SplitName, list[ImageExample]]:
        images, labels = _load()
        rng = random.Random(f"digits {self.data_seed}")
        held = self.train_per_class + self.validation_per_class
        rows: dict[SplitName, list[int]] = {"train": [], "validation": [], "test": []}
        for label in range(self.num_classes):
            members = np.flatnonzero(labels == label).tolist()
            if held >= len(members):
                raise DataError(
                    f"digits has {len(members)} images of class {label}: "
                    f"{held} for training and validation leave none for test"
                )
            rng.shuffle(members)
            rows["train"] += members[: self.train_per_class]
            rows["validation"] += members[self.train_per_class : held]
            rows["test"] += members[held:]
        return {
            split: [ImageExample(f"digits-{row}", images[row], int(labels[row])) for row in sorted(members)]
            for split, members in rows.items()
        }


def _load() -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 of shape (1797, 8, 8) scaled to 0..255, and their classes."""
    bundle = load_digits()
    return np.rint(bundle.images * (255 / LARGEST_PIXEL)).astype(np.uint8), bundle.target.astype(np.int64)
