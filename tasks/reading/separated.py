"""Tables of lines: csv, quoted as RFC 4180 says, and tsv, which is quoted or not (IANA, text/tab-separated-values).

The first line names the columns; a line has as many fields. Blank lines are no rows.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tasks.reading.content import Content, Record, blank_lines, refuse_doubled, several

_MOST_LEFT_OUT = 100  # one line in so many
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}  # a spreadsheet's where 0,5 is a half
_LONGEST_CELL = 2**31 - 1  # characters; the csv module stops at 131,072 of itself


class Line(NamedTuple):
    number: int  # of the first line in the file that it takes up
    fields: list[str]


def read_csv(text: str) -> Content:
    """Quoted as RFC 4180 says.

    Raises ValueError where each line is a row as well if quotation marks are text, and where the columns are parted by
    something else than commas.
    """
    _refuse_other_separators(text)
    lines, blank = _quoted(text, ",")
    rows, spanning = _rows(lines), _spanning(lines)
    if spanning and len(lines[0].fields) > 1 and _fits(_unquoted(text, ",")[0]):
        raise ValueError(
            f"line {spanning[0].number} has a quotation mark that a later line closes, and each line is a row without "
            "it too; enclose texts that have quotation marks in some, and double those inside, or save it as jsonl"
        )
    for line in lines:
        if any(cell[:1] == " " and cell.strip()[:1] == cell.strip()[-1:] == '"' for cell in line.fields):
            raise ValueError(f"line {line.number} has a blank before a quotation mark; remove it")
    return Content(rows, _told_of_spanning(spanning) + blank_lines(blank))


def _refuse_other_separators(text: str) -> None:
    header = text.lstrip("\r\n").partition("\n")[0]
    other = max(_OTHER_SEPARATORS, key=header.count)
    if "," not in header and other in header:
        raise ValueError(
            f"its first line has {_OTHER_SEPARATORS[other]} and no comma; part columns by commas, or save it as tsv "
            "or jsonl"
        )


def read_tsv(text: str) -> Content:
    """Quotation marks are text where each line has as many fields as the header; else RFC 4180 with tabs.

    Where both readings fit and differ in the marks alone, they are a program's if some text within them has doubled
    ones, or if the header is enclosed too. Raises ValueError where nothing tells.
    """
    lines, blank = _unquoted(text, "\t")
    try:
        quoted, _ = _quoted(text, "\t")
    except ValueError:
        quoted = []
    differ = _fits(quoted) and [line.fields for line in quoted] != [line.fields for line in lines]
    if differ and (not _fits(lines) or (len(quoted) == len(lines) and _marks_are_a_programs(lines, quoted))):
        lines = quoted
    return Content(_rows(lines), _told_of_spanning(_spanning(lines)) + blank_lines(blank))


def _marks_are_a_programs(plain: Sequence[Line], quoted: Sequence[Line]) -> bool:
    if plain[0].fields != quoted[0].fields:
        return True
    enclosed = [
        (line.number, inside)
        for line, other in zip(plain, quoted, strict=True)
        for outside, inside in zip(line.fields, other.fields, strict=True)
        if outside != inside
    ]
    if any('"' in inside or not inside for _, inside in enclosed):
        return True
    raise ValueError(
        f"line {enclosed[0][0]} has a text in quotation marks, which may be part of it or put there by a program; "
        "save it as csv or jsonl, where that is settled"
    )


def unquoted_tsv(text: str, starts: Sequence[str], header: Sequence[str] = ()) -> Content:
    """A .tsv that is known to have no quoting, by how its header starts; any other is read by the general rule.

    header: the columns of a file that has none.
    Lines with another number of fields than the header are left out, as the data set's own loader does (GLUE's QQP has
    some that a line break has cut); more than one in a hundred are an error.
    """
    lines, blank = _unquoted(text, "\t")
    first = lines[0].fields if lines else []
    if header and len(first) == len(header) and not set(first) & set(header):
        lines.insert(0, Line(0, list(header)))
    elif not starts or tuple(first[: len(starts)]) != tuple(starts):
        return read_tsv(text)
    fields = len(lines[0].fields)
    other = [line.number for line in lines if len(line.fields) != fields]
    if _MOST_LEFT_OUT * len(other) > len(lines):
        raise ValueError(f"{len(other)} of {len(lines)} lines have not {fields} fields (lines {several(other)})")
    told = [f"left out {len(other)} lines that have not {fields} fields (lines {several(other)})"] if other else []
    return Content(_rows([line for line in lines if len(line.fields) == fields]), told + blank_lines(blank))


def _unquoted(text: str, delimiter: str) -> tuple[list[Line], int]:
    return _lines(text, delimiter, csv.QUOTE_NONE)


def _quoted(text: str, delimiter: str) -> tuple[list[Line], int]:
    return _lines(text, delimiter, csv.QUOTE_MINIMAL)


def _lines(text: str, delimiter: str, quoting: int) -> tuple[list[Line], int]:
    """All lines that are not blank, and how many blank ones stand between them. Raises ValueError."""
    found, blank, pending, before = [], 0, 0, 0
    with _cells_of_any_size():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)
        try:
            for fields in reader:
                if fields:
                    found.append(Line(before + 1, fields))
                    blank, pending = blank + pending, 0
                else:
                    pending += 1
                before = reader.line_num
        except csv.Error as error:
            raise ValueError(
                f"line {before + 1}: {error}; a text with quotation marks is enclosed in some, and its own are doubled"
            ) from error
    return found, blank


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _fits(lines: Sequence[Line]) -> bool:
    """Whether each has as many fields as the first."""
    return len({len(line.fields) for line in lines}) == 1


def _rows(lines: Sequence[Line]) -> list[Record]:
    if not lines:
        return []
    names = lines[0].fields
    refuse_doubled(names)
    for line in lines:
        if len(line.fields) != len(names):
            plural = "s" * (len(line.fields) > 1)
            raise ValueError(f"line {line.number} has {len(line.fields)} field{plural}, the header {len(names)}")
    return [dict(zip(names, line.fields, strict=True)) for line in lines[1:]]


def _spanning(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if any("\n" in cell or "\r" in cell for cell in line.fields)]


def _told_of_spanning(lines: Sequence[Line]) -> list[str]:
    if not lines:
        return []
    return [f"{len(lines)} row{'s have' if len(lines) > 1 else ' has'} a line break in a quoted text"]
