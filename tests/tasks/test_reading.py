"""Tables as they are in files: every row and every character; or one sentence that says why not."""

import csv
import gzip
import hashlib
import json
import re

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from errors import DataError
from tasks.reading import formats
from tests.tasks.test_own_text import all_of, generation

ROWS = [(f"text {number}", f"label {number % 2}") for number in range(1, 21)]


def examples(path, **changes):
    """(prompt, target) of every row, in the order of the table."""
    found = all_of(generation(**{"train": str(path), "prompt": "{text}", "target": "label", **changes}))
    return [(found[number].prompt, found[number].target) for number in sorted(found)]


def lines(rows, delimiter):
    """Fields set beside each other as they are, which quotes nothing."""
    return "".join(delimiter.join(row) + "\n" for row in [("text", "label"), *rows])


def refusal(path):
    with pytest.raises(DataError) as error:
        examples(path)
    return str(error.value)


# --- quotation marks ---


def with_marks():
    rows = list(ROWS)
    rows[2], rows[7] = ('"Well, text 3', "label 1"), ('text 8," she said"', "label 0")
    return rows


def test_in_an_unquoted_tsv_quotation_marks_are_text_and_no_row_is_lost(tmp_path):
    rows = with_marks()
    rows[7] = ('text 8"', "label 0")  # closes what row 3 opens: read as csv with tabs, six rows are one
    path = tmp_path / "rows.tsv"
    path.write_text(lines(rows, "\t"))
    assert examples(path) == rows


TRICKY = [
    ('He said "no"', "a"), ('"all of it"', "b"), ("a tab\there", "c"), ("two\nlines", "a"), ("two\r\nlines", "b"),
    ("", "c"), ("comma, comma", "a"), ("NA", "b"), ("007", "c"), (" blanks ", "a"), ("\u2028\x0b\x0c\x85", "b"),
    ("1e5", "c"),
]  # fmt: skip


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
def test_what_pandas_writes_with_quotation_marks_is_read_to_the_character(tmp_path, suffix, separator, quoting):
    path = tmp_path / f"rows.{suffix}"
    pd.DataFrame(TRICKY, columns=["text", "label"]).to_csv(path, sep=separator, index=False, quoting=quoting)
    assert examples(path) == TRICKY


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_marks_that_a_program_put_into_a_tsv_are_no_text_where_no_line_needs_them(tmp_path, quoting):
    rows = [('He said "no"', "a"), ('"all of it"', "b"), *ROWS]
    path = tmp_path / "rows.tsv"
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, sep="\t", index=False, quoting=quoting)
    assert examples(path) == rows


def test_a_tsv_that_does_not_tell_whose_its_marks_are_is_refused(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text(lines([('"To be or not to be"', "a"), *ROWS], "\t"))
    assert refusal(path) == (
        f"{path} cannot be read as tsv: line 2 has a text in quotation marks, which may be part of it or put there "
        "by a program; save it as csv or jsonl, where that is settled"
    )


def test_a_csv_in_which_marks_may_have_swallowed_lines_is_refused(tmp_path):
    rows = list(ROWS)
    rows[2], rows[7] = ('"text 3', "label 1"), ('text 8"', "label 0")
    path = tmp_path / "rows.csv"
    path.write_text(lines(rows, ","))
    assert "line 4 has a quotation mark that a later line closes, and each line is a row without it too" in refusal(
        path
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'text,label\n"He" said,a\n',
            "line 2: ',' expected after '\"'; a text with quotation marks is enclosed in some",
        ),
        ('text,label\na,b\n"never closed,a\n', "line 3: unexpected end of data"),
        ('text, label\na, "b"\n', "line 2 has a blank before a quotation mark; remove it"),
        ("text,label\na,b\n# a comment\n", "line 3 has 1 field, the header 2"),
        ("text,label\n\na,b,\n", "line 3 has 3 fields, the header 2"),
        ("text,label,text\na,b,c\n", "there are two columns named 'text'; give each a name of its own"),
        ("text,label\na\0,b\n", "character 12 is NUL, as in UTF-16 or in what is no text; save it as UTF-8"),
    ],
)
def test_a_csv_that_is_none_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    assert refusal(path).startswith(f"{path} cannot be read as csv: {message}")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("review;stars\ngood;1\n", "semicolons"),
        ("review;stars\ngood, or so;1\n", "semicolons"),
        ('\ufeff"review";"stars"\r\n"good; ""so""";1\r\n', "semicolons"),
        ("review\tstars\ngood\t1\n", "tabs"),
        ("review|stars\ngood|1\n", "vertical bars"),
    ],
)
def test_a_csv_that_has_no_commas_is_refused_by_its_separator(tmp_path, content, what):
    path = tmp_path / "rows.csv"
    path.write_text(content, encoding="utf-8")
    assert refusal(path).startswith(f"{path} cannot be read as csv: its first line has {what} and no comma; ")


def test_a_csv_of_one_column_is_read(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("review\ngood; or so\n", encoding="utf-8")
    assert formats.read(path).rows == [{"review": "good; or so"}]


def test_a_trailing_delimiter_of_every_line_is_a_column_without_a_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("".join(f"{line},,\n" for line in lines(ROWS, ",").splitlines()))
    assert examples(path) == ROWS


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_cell_may_be_as_long_as_it_likes(tmp_path, suffix):
    long, before = "word " * 40_000 + "end", csv.field_size_limit()
    path = tmp_path / f"rows.{suffix}"
    path.write_text(lines([(long, "a"), *ROWS], {"csv": ",", "tsv": "\t"}[suffix]))
    assert examples(path)[0] == (long, "a")
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_refused_with_what_to_do(tmp_path, encoding):
    path = tmp_path / "rows.csv"
    path.write_text(lines([("\xe9", "a"), *ROWS], ","), encoding=encoding)
    assert refusal(path).endswith("save it as UTF-8")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json"])
def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_text(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    objects = [{"text": text, "label": label} for text, label in ROWS]
    content = {
        "csv": lines(ROWS, ","), "tsv": lines(ROWS, "\t"), "json": json.dumps(objects),
        "jsonl": "".join(f"{json.dumps(each)}\n" for each in objects),
    }  # fmt: skip
    path.write_bytes(b"\xef\xbb\xbf" + content[suffix].replace("\n", "\r\n").encode())
    assert examples(path) == ROWS


def test_what_is_no_row_and_what_takes_several_lines_is_told(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(lines(ROWS, ",") + '\n\n"two\nlines",a\n\n\n')
    task = generation(train=str(path), prompt="text", target="label")
    assert len(all_of(task)) == 21
    assert task.notes == [f"{path}: 1 row has a line break in a quoted text", f"{path}: 2 blank lines are no row"]


# --- json ---


def test_numbers_and_truth_are_the_text_that_is_written(tmp_path):
    written = ["1.10", "1e5", "1E-7", "0.30000000000000004", "-0.0", "12345678901234567890123", "true", "false", "1"]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"text": {value}, "label": "a"}}\n' for value in written))
    assert [text for text, _ in examples(path)] == written


@pytest.mark.parametrize("name", ["rows.json", "rows.ndjson", "rows.JSONL", "rows.jsonl.gz", "ROWS.Json.GZ"])
def test_objects_a_line_are_rows_by_whatever_name(tmp_path, name):
    content = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    assert examples(path) == ROWS


def test_half_of_a_packed_file_is_refused(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(lines(ROWS, ",").encode())[:-20])
    assert refusal(path).startswith(f"{path} cannot be read as csv: it is no whole gzip file (")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", '{"text": "a", "label": "b", "text": "c"}\n', "line 1: there are two columns named 'text'"),
        ("rows.json", '{"text": {"0": "a"}, "label": {"0": "b"}}', "expected a list of objects, one a row, or several"),
        ("rows.json", '{"text": "a"}\n{"text": \n', "line 2: Expecting value"),
        ("rows.json", '[{"text": "a"}]\n[{"text": "b"}]', "line 2: Extra data"),
        ("rows.json", "[" * 100_000, "maximum recursion depth exceeded"),
    ],
)
def test_a_json_that_is_no_table_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    assert message in refusal(path)


# --- parquet ---


def write_parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_binary_columns_are_utf_8_and_narrow_numbers_are_as_short_as_they_are(tmp_path):
    texts = [text.encode() for text, _ in ROWS[:-1]] + ["\xe9".encode()]
    narrow = pyarrow.array([0.1] * 20, pyarrow.float32())
    path = write_parquet(
        tmp_path / "lang=fr" / "rows.parquet", text=pyarrow.array(texts, pyarrow.binary()), label=narrow
    )
    assert examples(path) == [(text.decode(), "0.1") for text in texts]
    with pytest.raises(DataError, match="has no column 'lang'; its columns are text, label"):
        examples(path, target="lang")


def test_binary_that_is_no_text_is_refused_with_its_row(tmp_path):
    path = write_parquet(tmp_path / "rows.parquet", text=[b"a", b"\xff\xfe"] * 10, label=["x"] * 20)
    assert refusal(path) == f"row 2 of {path}: 'text' is binary and not UTF-8 (its byte 0)"


def test_a_date_beyond_those_of_python_is_refused(tmp_path):
    path = write_parquet(
        tmp_path / "rows.parquet", text=["a"], label=["x"], on=pyarrow.array([10**18], pyarrow.timestamp("us"))
    )
    with pytest.raises(DataError, match=r"rows.parquet cannot be read as parquet: date value out of range"):
        examples(path)


def test_a_parquet_with_two_columns_of_one_name_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    columns = [pyarrow.array(["a"]), pyarrow.array(["b"]), pyarrow.array(["c"])]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, names=["text", "label", "text"]), path)
    assert "there are two columns named 'text'" in refusal(path)


# --- several files ---


@pytest.fixture
def shards(tmp_path):
    for number in range(4):
        path = tmp_path / "data" / f"part-0000{number}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(lines(ROWS[5 * number : 5 * number + 5], ","))
    (tmp_path / "data" / "README.md").write_text("Not a table.")
    return tmp_path / "data"


def test_a_folder_and_a_pattern_are_one_table_whose_rows_have_names_of_their_own(shards):
    assert examples(shards) == examples(shards / "part-*.csv") == ROWS
    task = generation(train=str(shards), prompt="text", target="label")
    assert sorted(all_of(task)) == list(range(1, 21))
    assert task.notes == [f"{shards}: 4 files, from part-00000.csv to part-00003.csv"]
    with pytest.raises(DataError, match=r"^row [1-5] of .*part-0000[0-3].csv has no column 'nope'"):
        examples(shards, target="nope")


def test_the_fingerprint_of_one_file_is_that_of_its_bytes_and_of_several_that_of_all(shards):
    def of(path):
        task = generation(train=str(path), prompt="text", target="label")
        return task._files["train"].fingerprint(), task.fingerprint()

    one = shards / "part-00000.csv"
    assert of(one)[0] == hashlib.sha256(one.read_bytes()).hexdigest()
    before = of(shards)
    assert before == of(shards / "*.csv") != of(one)
    (shards / "part-00003.csv").write_text(lines(ROWS[15:19], ","))
    assert before[0] != of(shards)[0]


def test_a_folder_of_two_tables_is_refused(shards):
    (shards / "test.csv").write_text(lines(ROWS, ","))
    with pytest.raises(DataError, match=re.escape(f"name the files of one, as {shards}/part-*.csv")):
        examples(shards)


def test_a_folder_of_folders_is_refused(shards):
    (shards / "part-00009.csv").mkdir()
    with pytest.raises(DataError, match=re.escape("has a folder part-00009.csv; a table is one folder of files")):
        examples(shards)


def test_a_pattern_of_nothing_and_a_folder_of_nothing_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no file is named as .*\*.csv; paths are taken from"):
        examples(tmp_path / "*.csv")
    with pytest.raises(DataError, match=r"the folder .* has no file of .json, .jsonl"):
        examples(tmp_path)
