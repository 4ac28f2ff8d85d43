"""Tables in files: every value as it is written there, to the character, or a sentence that says why not.

json          a list of objects, one a row; or an object a line, as in jsonl
jsonl, ndjson an object a line
csv           RFC 4180: a field may be enclosed in quotation marks, and then holds commas, line breaks and doubled marks
tsv           a line is a row and quotation marks are text (IANA, text/tab-separated-values), unless a program has put
              them there: see `read_tsv`
parquet       a value is of the type of its column

All but parquet are UTF-8 and may be packed by gzip (.csv.gz). Of csv and tsv the first line names the columns. What can
be read in two ways is refused.
"""

import gzip
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet

from errors import DataError
from tasks.reading.content import Content, DoubledName, Record, blank_lines, refuse_doubled
from tasks.reading.separated import read_csv, read_tsv


class Written(float):
    """A number with the text that it was written as: 1.10, 1e5, or 0.1 of 32 bits."""

    written: str

    def __new__(cls, value: float | str, written: str) -> "Written":
        number = super().__new__(cls, value)
        number.written = written
        return number


def ending(path: Path) -> str:
    """That of the format, in small letters: `.csv` of `A.CSV.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read(path: Path, tsv: Callable[[str], Content] | None = None) -> Content:
    """The rows of a file. `tsv` reads the text of a .tsv in place of the general rule.

    Raises DataError where it is of an unknown format, broken or without rows.
    """
    format = ending(path)
    if format not in FORMATS or (format == ".parquet" and path.suffix.lower() == ".gz"):
        raise DataError(f"{path} is none of the formats {', '.join(FORMATS)} (all but the last also as .gz)")
    try:
        if format == ".parquet":
            content = Content(_parquet(path))
        else:
            reader = tsv if tsv and format == ".tsv" else _TEXT[format]
            content = reader(_text(path))
    except (ValueError, OverflowError, RecursionError, pyarrow.ArrowException) as error:  # the second of far dates
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be read as {format[1:]}: {reason}") from error
    if not content.rows:
        raise DataError(f"{path} has no rows")
    return content


def _text(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"it is no whole gzip file ({error})") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8; save it as UTF-8") from error
    if "\0" in text:
        raise ValueError(f"character {text.index(chr(0))} is NUL, as in UTF-16 or in what is no text; save it as UTF-8")
    return text


# --- json ---


def _json(text: str) -> Content:
    try:
        loaded = _loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and not text.lstrip().startswith("["):
            return _jsonl(text)
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    if not isinstance(loaded, list):
        raise ValueError("expected a list of objects, one a row, or several objects, one a line")
    return Content([_object(record, f"row {number}") for number, record in enumerate(loaded, 1)])


def _jsonl(text: str) -> Content:
    rows, blank, pending = [], 0, 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            pending += 1
            continue
        blank, pending = blank + pending, 0
        try:
            rows.append(_object(_loads(line), f"line {number}"))
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}: {error.msg}") from error
        except DoubledName as error:
            raise ValueError(f"line {number}: {error}") from error
    return Content(rows, blank_lines(blank))


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=lambda number: Written(number, number), object_pairs_hook=_named_once)


def _named_once(pairs: list[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        refuse_doubled([name for name, _ in pairs])
    return record


def _object(record: Any, where: str) -> Record:
    if not isinstance(record, dict):
        raise ValueError(f"{where} is no object of columns")
    return record


# --- parquet ---


def _parquet(path: Path) -> list[Record]:
    table = pyarrow.parquet.ParquetFile(path).read()  # read_table would add columns for folders named `key=value`
    refuse_doubled(table.column_names)
    rows = table.to_pylist()
    for column in table.schema:
        if pyarrow.types.is_float32(column.type) or pyarrow.types.is_float16(column.type):
            narrow = numpy.float32 if pyarrow.types.is_float32(column.type) else numpy.float16
            for row in rows:
                value = row[column.name]
                if value is not None and math.isfinite(value):
                    row[column.name] = Written(value, str(narrow(value)))
    return rows


_TEXT: dict[str, Callable[[str], Content]] = {
    ".json": _json, ".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": read_csv, ".tsv": read_tsv,
}  # fmt: skip
FORMATS = (*_TEXT, ".parquet")
