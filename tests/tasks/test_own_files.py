"""Values of a file of one's own that are no text are refused where they are read."""

import pytest

from errors import DataError
from tasks.reading.tables import TableFile


def row(tmp_path, line: str):
    (tmp_path / "own.jsonl").write_text(line + "\n", encoding="utf-8")
    (found,) = TableFile(str(tmp_path / "own.jsonl")).rows()
    return found


def test_half_of_a_surrogate_pair_is_refused_and_a_whole_one_is_a_character(tmp_path):
    found = row(tmp_path, r'{"half": "a\ud800b", "whole": "\ud83d\ude00"}')
    assert found.text("whole") == "\N{GRINNING FACE}"
    with pytest.raises(
        DataError, match=r"^row 1 of .*own.jsonl: 'half' has '\\ud800', which is no character; remove it$"
    ):
        found.text("half")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused_and_the_word_is_a_text(tmp_path, number):
    found = row(tmp_path, f'{{"answer": {number}, "word": "{number}", "size": 0.5}}')
    assert found.text("word") == number and found.text("size") == "0.5"
    with pytest.raises(DataError, match="'answer' is -?(NaN|Infinity), expected a text or a number$"):
        found.text("answer")
