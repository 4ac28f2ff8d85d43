"""Few-shot image classification: CIFAR-100, Food-101, Flowers-102, RESISC45 (SVFT Tables 4 and 9), or tables like them.

As in the released script, 10 images a class train and 2 a class validate; where the data set has a validation split of
its own, the 2 come from there, else from the training split. All of the test split is the test. Which images is a
matter of `data_seed`; the released script draws others with every training seed.

An example of such a table in `data`; the model's preprocessing scales the image:

    >>> task = FewShotImages(
    ...     name="cifar100", repo_id="uoft-cs/cifar100", revision="main", folder=f"{data}/vision",
    ...     files={"train": ["img_fine_label.parquet"], "validation": None, "test": ["img_fine_label.parquet"]},
    ...     image_column="img", label_column="fine_label", num_classes=3, train_per_class=2, validation_per_class=1,
    ...     limit=None, data_seed=0,
    ... )
    >>> example = task.examples("train")[0]
    >>> example.id, example.image().size, example.image().mode, task.class_names[example.label]
    ('train-1', (6, 4), 'RGB', '0')
"""

import json
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import pyarrow
from PIL import Image
from pyarrow import parquet

from errors import DataError
from tasks import fingerprints
from tasks.base import DataFile, ImageExample, OwnBenchmark, Scorer, SplitName
from tasks.reading.pictures import opened
from tasks.reading.sources import HubFile
from tasks.scoring.verdicts import exact_class


class Shard(HubFile):
    """One of the parquet files of a data set, of which all are needed."""

    def fetch_command(self, local_dir: str | None = None) -> str:
        """The shell command that fetches the whole data set into the hub's cache, or into `local_dir`."""
        command = f"hf download {self.repo_id} --repo-type dataset --revision {self.revision}"
        return f"{command} --local-dir {local_dir}" if local_dir else command


class FewShotImages(OwnBenchmark):
    """Train and validation: so many images of every class. Test: every row.

    repo_id, revision: a data set of the hub and the commit of it.
    files: for "train", "validation" and "test" the parquet files in it; validation null: drawn from the training files.
    folder: a local folder that holds such files under the same names, in place of the hub; or null.
    image_column: an image as `datasets` stores it, {bytes, path}.  label_column: its class, 0 to num_classes - 1.
    limit: keep the first so many examples of every split, or null.
    """

    kind: ClassVar[str] = "image_classification"
    metric: ClassVar[str] = "accuracy"
    scorers: ClassVar[Mapping[str, Scorer]] = {"accuracy": exact_class}

    def __init__(
        self,
        *,
        name: str,
        repo_id: str,
        revision: str,
        files: Mapping[SplitName, Sequence[str] | None],
        folder: str | None,
        image_column: str,
        label_column: str,
        num_classes: int,
        train_per_class: int,
        validation_per_class: int,
        limit: int | None,
        data_seed: int,
    ) -> None:
        if train_per_class < 1 or validation_per_class < 0 or (limit is not None and limit < 1):
            raise ValueError(
                "train_per_class >= 1, validation_per_class >= 0 and limit >= 1 (or null), "
                f"not {train_per_class}, {validation_per_class} and {limit}"
            )
        self.name = name
        self.image_column = image_column
        self.label_column = label_column
        self.num_classes = num_classes
        self.train_per_class = train_per_class
        self.validation_per_class = validation_per_class
        self.limit = limit
        self.data_seed = data_seed
        self._tables = {
            split: ImageTable([Shard(repo_id, file, revision) for file in names], folder, image_column, label_column)
            for split, names in files.items()
            if names
        }

    @property
    def class_names(self) -> tuple[str, ...]:
        """As the training files name them; none where they do not."""
        names = self._tables["train"].class_names()
        return names if len(names) == self.num_classes else ()

    @property
    def per_class(self) -> Mapping[SplitName, int]:
        return {"train": self.train_per_class, "validation": self.validation_per_class}

    def files(self) -> list[DataFile]:
        return [file for table in self._tables.values() for file in table.files()]

    def fingerprint(self) -> str:
        tables = {split: table.fingerprint() for split, table in self._tables.items()}
        facts = [
            dict(sorted(tables.items())),
            self.image_column, self.label_column,
            self.train_per_class, self.validation_per_class, self.limit, self.data_seed,
        ]  # fmt: skip
        return fingerprints.of(*facts)

    def examples(self, split: SplitName) -> Sequence[ImageExample]:
        return (self._test_examples if split == "test" else self._few_shot[split])[: self.limit]

    @cached_property
    def _test_examples(self) -> list[ImageExample]:
        table = self._tables["test"]
        return [
            ImageExample(f"test-{row}", partial(table.image, row), label)
            for row, label in enumerate(table.labels(self.num_classes))
        ]

    @cached_property
    def _few_shot(self) -> dict[SplitName, list[ImageExample]]:
        train, validation = {"train": self.train_per_class}, {"validation": self.validation_per_class}
        if "validation" in self._tables:
            return self._drawn("train", train) | self._drawn("validation", validation)
        return self._drawn("train", train | validation)

    def _drawn(self, source: SplitName, per_class: Mapping[SplitName, int]) -> dict[SplitName, list[ImageExample]]:
        """For each split the stated number of images of every class, all different, from the files of `source`."""
        rng = random.Random(f"{source} {self.data_seed}")
        labels: dict[SplitName, dict[int, int]] = {split: {} for split in per_class}  # row -> class
        for label, members in enumerate(self._members(source, per_class)):
            rng.shuffle(members)
            for split, number in per_class.items():
                labels[split] |= dict.fromkeys(members[:number], label)
                members = members[number:]
        # The few are read at once and kept encoded: training comes back to them in every epoch and in any order.
        encoded = {
            row: self._tables[source].encoded(row) for row in sorted(row for rows in labels.values() for row in rows)
        }
        return {
            split: [ImageExample(f"{source}-{row}", partial(opened, encoded[row]), rows[row]) for row in sorted(rows)]
            for split, rows in labels.items()
        }

    def _members(self, source: SplitName, per_class: Mapping[SplitName, int]) -> list[list[int]]:
        """The rows of every class, in file order. Raises DataError for a class with fewer than are to be drawn."""
        table = self._tables[source]
        members: list[list[int]] = [[] for _ in range(self.num_classes)]
        for row, label in enumerate(table.labels(self.num_classes)):
            members[label].append(row)
        for label, rows in enumerate(members):
            if len(rows) < sum(per_class.values()):
                wanted = " and ".join(f"{split}_per_class={number}" for split, number in per_class.items())
                raise DataError(f"{table} has {len(rows)} images of class {label}: too few for {wanted}")
        return members


class ImageTable:
    """Images and classes in the rows of parquet files, counted on from file to file.

    Classes are read apart from images, and images by row group, of which one is held: rows in order are read once.
    """

    def __init__(self, shards: Sequence[Shard], folder: str | None, image_column: str, label_column: str) -> None:
        self.shards = tuple(shards)
        self.folder = folder
        self.image_column = image_column
        self.label_column = label_column
        self._held: tuple[tuple[int, int] | None, list[Any]] = (None, [])

    def __str__(self) -> str:
        first, *others = map(self._name, self.shards)
        return f"{first} and {len(others)} more" if others else first

    def files(self) -> list[DataFile]:
        if self.folder is None:
            return [file for shard in self.shards for file in shard.files()]
        paths = {shard: Path(self.folder, shard.file).expanduser() for shard in self.shards}
        return [
            DataFile(str(path), path.exists(), "" if path.exists() else shard.fetch_command(self.folder))
            for shard, path in paths.items()
        ]

    def fingerprint(self) -> list[str]:
        """SHA-256 of every local file's content, or of every hub file's identity. Raises DataError."""
        if self.folder is None:
            return [shard.fingerprint() for shard in self.shards]
        return [fingerprints.of_file(self._path(shard)) for shard in self.shards]

    def labels(self, num_classes: int) -> list[int]:
        """The class of every row. Raises DataError for a value that is none of 0 to num_classes - 1."""
        labels = []
        for shard, file in zip(self.shards, self._files, strict=True):
            column = file.read(columns=[self.label_column])[self.label_column].to_pylist()
            for row, label in enumerate(column, 1):
                if label not in range(num_classes):
                    raise DataError(
                        f"row {row} of {self._name(shard)}: {self.label_column!r} is {label}, "
                        f"expected a class from 0 to {num_classes - 1}"
                    )
            labels += column
        return labels

    def class_names(self) -> tuple[str, ...]:
        """Those that `datasets` keeps in the schema of the first file."""
        stored = (self._files[0].schema_arrow.metadata or {}).get(b"huggingface", b"{}")
        features = json.loads(stored).get("info", {}).get("features", {})
        return tuple(features.get(self.label_column, {}).get("names") or ())

    def image(self, row: int) -> Image.Image:
        """Raises DataError where the row holds no image, and Pillow's error where the image is broken."""
        return opened(self.encoded(row))

    def encoded(self, row: int) -> bytes:
        """The image of a row as it is stored. Raises DataError."""
        at = bisect_right(self._starts, row) - 1
        place = self._groups[at]
        if self._held[0] != place:
            number, group = place
            column = self._files[number].read_row_group(group, columns=[self.image_column])[self.image_column]
            self._held = (place, column.to_pylist())
        cell = self._held[1][row - self._starts[at]]
        if cell is None or cell["bytes"] is None:
            raise DataError(f"example {row} of {self} holds no image in {self.image_column!r}")
        return cell["bytes"]

    @cached_property
    def _files(self) -> list[parquet.ParquetFile]:
        return [self._opened(shard) for shard in self.shards]

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """Every row group, as the number of its file and its number there."""
        return [(number, group) for number, file in enumerate(self._files) for group in range(file.num_row_groups)]

    @cached_property
    def _starts(self) -> list[int]:
        """The first row of every row group."""
        sizes = [self._files[number].metadata.row_group(group).num_rows for number, group in self._groups]
        return list(accumulate(sizes, initial=0))[:-1]

    def _opened(self, shard: Shard) -> parquet.ParquetFile:
        try:
            file = parquet.ParquetFile(self._path(shard))
        except pyarrow.ArrowInvalid as error:
            raise DataError(f"{self._name(shard)} cannot be read as parquet: {str(error).splitlines()[0]}") from error
        schema = file.schema_arrow
        types = dict(zip(schema.names, schema.types, strict=True))
        image, label = types.get(self.image_column), types.get(self.label_column)
        if image is None or label is None or not (_holds_images(image) and pyarrow.types.is_integer(label)):
            present = ", ".join(f"{name}: {type_}" for name, type_ in types.items()) or "(none)"
            raise DataError(f"{self._name(shard)} has the columns {present}; expected {self._wanted()}")
        return file

    def _path(self, shard: Shard) -> Path:
        """The file on this machine, fetched from the hub if need be. Raises DataError."""
        if self.folder is None:
            return shard.path()
        path = Path(self.folder, shard.file).expanduser()
        if not path.is_file():
            raise DataError(
                f"no file {path} with the columns {self._wanted()}; `{shard.fetch_command(self.folder)}` fetches it"
            )
        return path

    def _name(self, shard: Shard) -> str:
        return str(shard) if self.folder is None else str(Path(self.folder, shard.file))

    def _wanted(self) -> str:
        return f"{self.image_column} (an image, {{bytes, path}}) and {self.label_column} (its class, an integer)"


def _holds_images(type_: pyarrow.DataType) -> bool:
    return pyarrow.types.is_struct(type_) and type_.get_field_index("bytes") >= 0
