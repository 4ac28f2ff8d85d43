"""A user's own images, one folder a class.

Either `root/train/<class>/*` and `root/test/<class>/*`, and perhaps `root/validation/<class>/*`; or `root/<class>/*`.
What is missing of validation and test is split off, class by class, as `data_seed` says.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import datasets
from PIL import Image

from tasks.base import DataError, ImageExample, OwnBenchmark, Scorer, SplitName
from tasks.scoring import exact_class

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

Classes = Mapping[str, list[Path]]  # class -> its images, in the order of their names


class ImageFolder(OwnBenchmark):
    """Classes are the folders of the training images, numbered in the order of their names.

    test_fraction, validation_fraction: shares of every class, rounded, and one image at least; the second of what is
        not for test. Unused where the split has a folder.
    train_per_class: at most so many images of every class, drawn; None: all.
    validation_per_class: so many in place of the share; at most so many where validation has a folder; None: all of it.
    """

    name: ClassVar[str] = "image_folder"
    kind: ClassVar[str] = "image_classification"
    metric: ClassVar[str] = "accuracy"
    scorers: ClassVar[Mapping[str, Scorer]] = {"accuracy": exact_class}

    def __init__(
        self,
        *,
        root: str,
        test_fraction: float,
        validation_fraction: float,
        train_per_class: int | None,
        validation_per_class: int | None,
        data_seed: int,
    ) -> None:
        if not all(isinstance(part, float) and 0 < part < 1 for part in (test_fraction, validation_fraction)):
            raise ValueError(
                f"test_fraction and validation_fraction lie between 0 and 1, not {test_fraction}, {validation_fraction}"
            )
        if any(number is not None and number < 1 for number in (train_per_class, validation_per_class)):
            raise ValueError(
                "train_per_class and validation_per_class are at least 1, or null, "
                f"not {train_per_class} and {validation_per_class}"
            )
        self.root = Path(root).expanduser()
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.train_per_class = train_per_class
        self.validation_per_class = validation_per_class
        self.data_seed = data_seed

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by index. Raises DataError."""
        return list(self._found["train"])

    def fingerprint(self) -> str:
        facts = [
            [[path.relative_to(self.root).as_posix(), _sha256(path)] for path in self._paths()],
            self.test_fraction, self.validation_fraction, self.train_per_class, self.validation_per_class,
            self.data_seed,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def examples(self, split: SplitName) -> Sequence[ImageExample]:
        return self._splits[split]

    def _paths(self) -> Iterator[Path]:
        for classes in self._found.values():
            for paths in classes.values():
                yield from paths

    @cached_property
    def _found(self) -> dict[SplitName, Classes]:
        """What the folders hold: train, test and perhaps validation; or all of it as train."""
        if not self.root.is_dir():
            raise DataError(
                f"no folder {self.root}; task.source.root names one with a folder of images for every class"
            )
        if not (self.root / "train").is_dir():
            return {"train": _classes(self.root)}
        if not (self.root / "test").is_dir():
            raise DataError(
                f"{self.root} has train and no test: add {self.root / 'test'}, "
                "or move the folders of the classes from train up, to have test images split off"
            )
        folders = [split for split in ("train", "validation", "test") if (self.root / split).is_dir()]
        found = {split: _classes(self.root / split) for split in folders}
        for split, classes in found.items():
            if unknown := sorted(classes.keys() - found["train"].keys()):
                raise DataError(f"{self.root / split} has the class {unknown[0]!r}, of which train has no images")
        return found

    @cached_property
    def _splits(self) -> dict[SplitName, list[ImageExample]]:
        splits: dict[SplitName, list[ImageExample]] = {"train": [], "validation": [], "test": []}
        rng = random.Random(f"image_folder {self.data_seed}")
        for label, name in enumerate(self.classes):
            for split, paths in self._divided(name, rng).items():
                splits[split] += [self._example(path, label) for path in sorted(paths)]
        return splits

    def _divided(self, name: str, rng: random.Random) -> dict[SplitName, list[Path]]:
        """The images of one class, by split."""
        drawn = {split: list(classes.get(name, [])) for split, classes in self._found.items()}
        for paths in drawn.values():
            rng.shuffle(paths)
        train = drawn["train"]
        if "test" not in drawn:
            drawn["test"], train = _cut(train, _share(self.test_fraction, train))
        if "validation" not in drawn:
            number = self.validation_per_class or _share(self.validation_fraction, train)
            drawn["validation"], train = _cut(train, number)
        if not train:
            count = len(drawn["train"])
            raise DataError(
                f"class {name!r} has {count} images to train on, and other splits take all of them: add some"
            )
        return drawn | {
            "train": train[: self.train_per_class],
            "validation": drawn["validation"][: self.validation_per_class],
        }

    def _example(self, path: Path, label: int) -> ImageExample:
        return ImageExample(path.relative_to(self.root).as_posix(), partial(opened, path), label)


def opened(path: Path) -> Image.Image:
    """As `datasets` opens it, with the rotation that a camera noted."""
    return datasets.Image().decode_example({"bytes": None, "path": str(path)})


def _classes(folder: Path) -> Classes:
    """The images of every visible folder in `folder`. Raises DataError where there is none, or one without images."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"{folder} has {len(names)} folders; expected one for each of two classes or more")
    return {name: _images(folder / name) for name in names}


def _images(folder: Path) -> list[Path]:
    images = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not images:
        raise DataError(f"{folder} holds no image; an image ends in {', '.join(SUFFIXES)}")
    return images


def _share(fraction: float, paths: Sequence[Path]) -> int:
    return max(1, round(fraction * len(paths)))


def _cut(paths: list[Path], number: int) -> tuple[list[Path], list[Path]]:
    return paths[:number], paths[number:]


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
