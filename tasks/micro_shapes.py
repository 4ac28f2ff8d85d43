"""Shapes and stripes: seeded grey images of 16 x 16 pixels, drawn by tasks/micro/shapes.py.

Every class varies in place, size, slant, line width and contrast, and lies under noise: by so much that on
assets/micro_vit a trained head alone is right on about three images in four, and training the rest helps.

An image as it is before the model's preprocessing, bright pixels marked:

    >>> task = MicroShapes(train_per_class=1, validation_per_class=1, test_per_class=1, noise=0.1, data_seed=0)
    >>> example = task.examples("train")[5]
    >>> task.class_names[example.label], example.image.shape, example.image.dtype.name
    ('square', (16, 16), 'uint8')
    >>> for row in example.image:
    ...     print("".join("#" if value > 127 else "-" for value in row))
    ----------------
    ----------------
    ----#########---
    -----#########--
    ----##------##--
    ----##------#---
    ----##------#---
    ----#-------#---
    ----#-------#---
    ----##------#---
    ----#########---
    ---------####---
    ----------------
    ----------------
    ----------------
    ----------------
"""

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from tasks import fingerprints
from tasks.base import ImageExample, OwnBenchmark, Scorer, SplitName
from tasks.micro.shapes import CLASSES, draw
from tasks.scoring.verdicts import exact_class

GENERATOR_VERSION = 1  # Raise it with every change that alters an image.


class MicroShapes(OwnBenchmark):
    """Of every class so many images for each split; an image does not depend on the number of others."""

    name: ClassVar[str] = "micro_shapes"
    kind: ClassVar[str] = "image_classification"
    metric: ClassVar[str] = "accuracy"
    num_classes: ClassVar[int] = len(CLASSES)
    class_names: ClassVar[tuple[str, ...]] = tuple(CLASSES)
    scorers: ClassVar[Mapping[str, Scorer]] = {"accuracy": exact_class}

    def __init__(
        self,
        *,
        train_per_class: int,
        validation_per_class: int,
        test_per_class: int,
        noise: float,
        data_seed: int,
    ) -> None:
        """noise: standard deviation of what is added to every pixel, white being 1."""
        self.per_class: dict[SplitName, int] = {
            "train": train_per_class, "validation": validation_per_class, "test": test_per_class,
        }  # fmt: skip
        if min(self.per_class.values()) < 1 or not 0 <= noise <= 1:
            raise ValueError(f"at least one image a class and 0 <= noise <= 1, not {self.per_class} and {noise}")
        self.noise = noise
        self.data_seed = data_seed

    def fingerprint(self) -> str:
        facts = [GENERATOR_VERSION, self.per_class, self.noise, self.data_seed]
        return fingerprints.of(*facts)

    def examples(self, split: SplitName) -> Sequence[ImageExample]:
        return self._splits[split]

    @cached_property
    def _splits(self) -> dict[SplitName, list[ImageExample]]:
        return {
            split: [self._example(split, label, number) for label in range(len(CLASSES)) for number in range(per_class)]
            for split, per_class in self.per_class.items()
        }

    def _example(self, split: SplitName, label: int, number: int) -> ImageExample:
        id = f"{split}-{label}-{number}"
        rng = random.Random(f"micro_shapes {self.data_seed} {id}")
        return ImageExample(id, draw(list(CLASSES.values())[label], self.noise, rng), label)
