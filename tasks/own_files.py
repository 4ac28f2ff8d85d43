"""Rows of local json, jsonl, csv, tsv and parquet files, every value as text exactly as it is written there."""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from tasks.base import DataError


@dataclass(frozen=True)
class Row:
    """One row of a file; number counts from 1, the header of a csv file left out."""

    file: str
    number: int
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """The value as text, which may be empty. Raises DataError where there is no such column, or no text in it."""
        if column not in self.values:
            raise DataError(f"{self} has no column {column!r}; its columns are {', '.join(self.values)}")
        value = self.values[column]
        if value is None or isinstance(value, dict | list) or (isinstance(value, float) and not math.isfinite(value)):
            raise DataError(f"{self}: {column!r} is {json.dumps(value)}, expected a text or a number")
        text = str(value)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:  # JSON can write half of a surrogate pair, and no tokenizer takes it
            wrong = ascii(text[error.start])
            raise DataError(f"{self}: {column!r} has {wrong}, which is no character; remove it") from error
        return text

    def filled(self, column: str) -> str:
        """The value as text. Raises DataError where it is empty."""
        text = self.text(column)
        if not text.strip():
            raise DataError(f"{self}: {column!r} is empty")
        return text

    def __str__(self) -> str:
        return f"row {self.number} of {self.file}"


class RowFile:
    """A file of rows. Raises DataError where it is absent, of an unknown format, broken or empty."""

    def __init__(self, path: str):
        self._path = Path(path).expanduser()

    def __str__(self) -> str:
        return str(self._path)

    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        with self._existing().open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def rows(self) -> list[Row]:
        return self._rows

    @cached_property
    def _rows(self) -> list[Row]:
        path = self._existing()
        if path.suffix not in READERS:
            raise DataError(f"{path} is none of the formats {', '.join(READERS)}")
        try:
            records = list(READERS[path.suffix](path))
        except (ValueError, csv.Error, pyarrow.ArrowException) as error:
            reason = str(error).partition("\n")[0]
            if isinstance(error, UnicodeDecodeError):
                reason += "; save it as UTF-8"
            raise DataError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error
        if not records:
            raise DataError(f"{path} has no rows")
        return [Row(str(path), number, record) for number, record in enumerate(records, 1)]

    def _existing(self) -> Path:
        if not self._path.is_file():
            raise DataError(f"no file {self._path}; paths are taken from the folder that the run is started in")
        return self._path


def _json(path: Path) -> list[dict[str, Any]]:
    loaded = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(loaded, list):
        raise ValueError("expected a list of objects, one a row")
    return [_object(record, number) for number, record in enumerate(loaded, 1)]


def _jsonl(path: Path) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                yield _object(json.loads(line), number)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error.msg}") from error


def _object(record: Any, number: int) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"row {number} is no object of columns")
    return record


def _separated(delimiter: str) -> Callable[[Path], list[dict[str, Any]]]:
    def read(path: Path) -> list[dict[str, Any]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            records = list(csv.DictReader(file, delimiter=delimiter, strict=True))
        for number, record in enumerate(records, 1):
            if None in record or None in record.values():
                raise ValueError(f"row {number} has more or fewer fields than the header")
        return records

    return read


def _parquet(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()


READERS: dict[str, Callable[[Path], Iterable[dict[str, Any]]]] = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _separated(","),
    ".tsv": _separated("\t"),
    ".parquet": _parquet,
}
