"""A user's own images, one folder a class.

Either `root/train/<class>/*` and `root/test/<class>/*`, and perhaps `root/validation/<class>/*` (or val, valid, dev);
or `root/<class>/*`. What is missing of validation and test is split off, class by class, as `data_seed` says.

An example of a folder in `data`; the model's preprocessing scales the image:

    >>> task = ImageFolder(
    ...     root=f"{data}/vision/folder", test_fraction=0.2, validation_fraction=0.1, train_per_class=None,
    ...     validation_per_class=None, data_seed=0,
    ... )
    >>> example = task.examples("train")[0]
    >>> example.id, example.image().size, example.image().mode, task.class_names[example.label]
    ('cat/2.png', (6, 4), 'RGB', 'cat')
"""

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from PIL import Image, ImageColor

from errors import DataError
from tasks import fingerprints
from tasks.base import CorpusScorer, DataFile, ImageExample, OwnBenchmark, Scorer, SplitName
from tasks.reading import class_folders, pictures
from tasks.reading.class_folders import Classes
from tasks.scoring import corpus
from tasks.scoring.verdicts import exact_class

OF_FRAMES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")  # formats of which one file may hold several pictures of equal rank


@dataclass(frozen=True)
class Content:
    """What is in a file: the SHA-256 of its bytes, whether its image is plain as it is, and whether there are more."""

    sha256: str
    plain: bool
    several: bool


class ImageFolder(OwnBenchmark):
    """Classes are the folders of the training images, numbered in the order of their names.

    test_fraction, validation_fraction: shares of every class, rounded, and one image at least; the second of what is
        not for test. Unused where the split has a folder.
    train_per_class: at most so many images of every class, drawn; None: all.
    validation_per_class: so many in place of the share; at most so many where validation has a folder; None: all of it.
    background: what shows through where an image is transparent, a colour by its name or as "#rrggbb".
    metrics: paths of metrics of the library evaluate, scored besides. They get indices of classes.
    """

    name: ClassVar[str] = "image_folder"
    kind: ClassVar[str] = "image_classification"
    metric: ClassVar[str] = "accuracy"

    def __init__(
        self,
        *,
        root: str,
        test_fraction: float,
        validation_fraction: float,
        train_per_class: int | None,
        validation_per_class: int | None,
        data_seed: int,
        background: str = pictures.BACKGROUND,
        metrics: Sequence[str] | None = None,
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
        try:
            ImageColor.getrgb(background)
        except ValueError as error:
            raise ValueError(f"background: {error}") from error
        accuracy: dict[str, Scorer | CorpusScorer] = {"accuracy": exact_class}
        self.scorers = accuracy | corpus.own(metrics, beside=accuracy)
        self.root = Path(root).expanduser()
        self.background = background
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

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def files(self) -> list[DataFile]:
        """The folder."""
        there = self.root.exists()
        return [DataFile(str(self.root), there, "" if there else f"there is no {self.root}")]

    def fingerprint(self) -> str:
        """Names the images that are scaled or laid over a background, whose pixels are not those of their files."""
        contents = self._contents
        facts = [
            [[self._name(path), contents[path].sha256] for path in self._paths()],
            self.test_fraction, self.validation_fraction, self.train_per_class, self.validation_per_class,
            self.data_seed,
        ]  # fmt: skip
        if changed := [self._name(path) for path in self._paths() if not contents[path].plain]:
            facts.append({"made plain": changed})
        return fingerprints.of(*facts)

    @property
    def notes(self) -> list[str]:
        """Sentences on what was left out, is doubled, or is not as it is in its file."""
        left_out = class_folders.left_out(self.root, set(self._paths()))
        return [*left_out, *self._doubled(), *self._read_otherwise()]

    def examples(self, split: SplitName) -> Sequence[ImageExample]:
        return self._splits[split]

    def _paths(self) -> Iterator[Path]:
        for classes in self._found.values():
            for paths in classes.values():
                yield from paths

    @cached_property
    def _found(self) -> dict[SplitName, Classes]:
        return class_folders.find(self.root)

    @cached_property
    def _contents(self) -> dict[Path, Content]:
        """Of every image. Raises DataError for a file that is no image, and for one that has no rule to read it by."""
        return {path: self._content(path) for path in self._paths()}

    def _content(self, path: Path) -> Content:
        content = path.read_bytes()
        try:
            image = Image.open(io.BytesIO(content))
            several = image.format in OF_FRAMES and getattr(image, "is_animated", False)
            plain = pictures.plain(image, self.background) is image
        except pictures.UNREADABLE as error:
            raise pictures.unreadable(self._name(path), error) from error
        return Content(fingerprints.of_bytes(content), plain, several)

    def _doubled(self) -> Iterator[str]:
        """Sentences on images that are, byte for byte, in two splits, or in two classes of the training images."""
        digests = {path: content.sha256 for path, content in self._contents.items()}
        labels: dict[str, set[int]] = {}
        for example in self._splits["train"]:
            labels.setdefault(digests[self.root / example.id], set()).add(example.label)
        for split in ("validation", "test"):
            if same := [e.id for e in self._splits[split] if digests[self.root / e.id] in labels]:
                share = f"{len(same)} of {len(self._splits[split])}"
                yield f"{share} {split} images are training images too ({same[0]}, ...)"
        if torn := sum(len(found) > 1 for found in labels.values()):
            yield f"{torn} training images are in the folders of several classes"

    def _read_otherwise(self) -> Iterator[str]:
        if changed := sum(not content.plain for content in self._contents.values()):
            yield (
                f"{changed} images of more than 8 bits or with transparent parts: scaled by their white, and laid over "
                f"{self.background}"
            )
        if several := sum(content.several for content in self._contents.values()):
            yield f"of files with several pictures the first is taken: {several}"

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
        return ImageExample(self._name(path), partial(pictures.opened, path, self.background), label)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _share(fraction: float, paths: Sequence[Path]) -> int:
    return max(1, round(fraction * len(paths)))


def _cut(paths: list[Path], number: int) -> tuple[list[Path], list[Path]]:
    return paths[:number], paths[number:]
