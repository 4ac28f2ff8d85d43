"""Published data in a local file of separated values: fields in their columns, texts as they are, labels as numbers."""

import pytest

from errors import DataError
from tests.tasks.test_glue import glue
from tests.tasks.test_gsm8k import gsm8k


def test_one_field_too_many_shifts_no_columns(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("id,question,answer\n1,Who?,#### 2,#### 3\n2,Why?,#### 4,#### 5\n")
    with pytest.raises(DataError, match=r"test.csv cannot be read as csv: line 2 has 4 fields, the header 3$"):
        gsm8k(gsm8k_source=str(path)).examples("test")


def test_published_columns_in_a_csv_are_texts_and_labels_are_whole_numbers(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('sentence,label\n007,1\nNA,0\n"a, b",1\n1e5,0\n')
    found = glue("cola", train_source=str(path)).examples("train")
    assert [(e.text, e.label) for e in found] == [("007", 1), ("NA", 0), ("a, b", 1), ("1e5", 0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence,label\na,1\nb,0,1\n", r"cannot be read as csv: line 3 has 3 fields, the header 2"),
        ("sentence,label,label\na,1,0\n", r"there are two columns named 'label'"),
        ("sentence,label\na,1.0\n", r"row 1 of .*: 'label' is '1.0', expected int"),
        ("sentence,label\na,yes\n", r"row 1 of .*: 'label' is 'yes', expected int"),
    ],
)
def test_a_csv_of_published_data_with_other_fields_is_refused(tmp_path, content, message):
    path = tmp_path / "train.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        glue("cola", train_source=str(path)).examples("train")
