"""A table in one file or in several, row by row; one reader for published data and for data of one's own."""

import glob
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import DataError, MissingData
from tasks import fingerprints
from tasks.base import DataFile
from tasks.reading.content import Content
from tasks.reading.formats import FORMATS, Written, ending, read


class _NoText(ValueError):
    """The end of a sentence that begins with the name of a column."""


@dataclass(frozen=True)
class Row:
    """One row. number: its place in its file, from 1, a header left out; index: that among the rows of all files."""

    file: str
    number: int
    index: int
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """The value as it is written, which may be empty. Raises DataError where there is no such column or no text."""
        if column not in self.values:
            raise DataError(f"{self} has no column {column!r}; its columns are {', '.join(map(_shown, self.values))}")
        try:
            return text_of(self.values[column])
        except _NoText as error:
            raise DataError(f"{self}: {column!r} {error}") from error

    def filled(self, column: str) -> str:
        """The value as text. Raises DataError where it is empty."""
        text = self.text(column)
        if not text.strip():
            raise DataError(f"{self}: {column!r} is empty")
        return text

    def __str__(self) -> str:
        return f"row {self.number} of {self.file}"


def _shown(column: str) -> str:
    return column if column and column == column.strip() else repr(column)


def text_of(value: Any) -> str:
    """A value of a table as text: numbers as they are written, true and false as in JSON, bytes as UTF-8."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
        raise _NoText(f"is {json.dumps(value, default=str)}, expected a text or a number")
    if isinstance(value, Written):
        return value.written
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _NoText(f"is binary and not UTF-8 (its byte {error.start})") from error
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can write half of a surrogate pair, and no tokenizer takes it
        raise _NoText(f"has {text[error.start]!a}, which is no character; remove it") from error
    return text


class TableFile:
    """A table: a file, a folder of its shards, or a pattern of file names (part-*.jsonl), in the order of their names.

    tsv: see `formats.read`.  notes: what there is to tell of how the files were read, once they are.
    """

    def __init__(self, source: str, tsv: Callable[[str], Content] | None = None):
        self.source = source
        self.notes: list[str] = []
        self._tsv = tsv
        self._rows: list[Row] | None = None

    def __str__(self) -> str:
        return str(Path(self.source).expanduser())

    def paths(self) -> list[Path]:
        """The files. Raises MissingData where there is none, and DataError for a folder of several tables."""
        path = Path(self.source).expanduser()
        if path.is_file():
            return [path]
        if path.is_dir():
            return _shards(path)
        found = [Path(name) for name in sorted(glob.glob(str(path))) if Path(name).is_file()]
        if not found:
            what = f"no file is named as {path}" if glob.has_magic(str(path)) else f"no file {path}"
            raise MissingData(f"{what}; paths are taken from the folder that the run is started in")
        return found

    def files(self) -> list[DataFile]:
        return [local(self.source, self.paths)]

    def fingerprint(self) -> str:
        """SHA-256 of the content; of several files, of theirs."""
        sums = list(map(fingerprints.of_file, self.paths()))
        return sums[0] if len(sums) == 1 else fingerprints.of(*sums)

    def rows(self) -> list[Row]:
        """Every row. Raises DataError where a file is broken, of an unknown format or empty."""
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    def _read(self) -> list[Row]:
        rows: list[Row] = []
        paths = self.paths()
        self.notes = [f"{self}: {len(paths)} files, from {paths[0].name} to {paths[-1].name}"] if len(paths) > 1 else []
        for path in paths:
            content = read(path, self._tsv)
            start = len(rows) + 1
            rows += [Row(str(path), n, start + n - 1, values) for n, values in enumerate(content.rows, 1)]
            self.notes += [f"{path}: {note}" for note in content.notes]
        return rows


def local(source: str, look: Callable[[], Any]) -> DataFile:
    """look: raises DataError, whose sentence is the remedy, where the files are not there."""
    try:
        look()
    except DataError as error:
        return DataFile(source, False, str(error))
    return DataFile(source, True)


def _shards(folder: Path) -> list[Path]:
    """The files of a folder that can be read. Where their names differ by more than numbers, they are not one table."""
    found = sorted(path for path in folder.iterdir() if path.name[0] not in "._" and ending(path) in FORMATS)
    if inner := [path for path in found if path.is_dir()]:
        raise DataError(
            f"the folder {folder} has a folder {inner[0].name}; a table is one folder of files, or a pattern such as "
            f"{folder}/*/*{ending(inner[0])}"
        )
    if not found:
        raise MissingData(f"the folder {folder} has no file of {', '.join(FORMATS)}")
    other = [path for path in found if re.sub(r"\d+", "", path.name) != re.sub(r"\d+", "", found[0].name)]
    if other:
        raise DataError(
            f"the folder {folder} has {found[0].name} and {other[0].name}, which may be two tables; "
            f"name the files of one, as {folder}/{re.sub(r'[0-9].*', '', found[0].stem)}*{found[0].suffix}"
        )
    return found
