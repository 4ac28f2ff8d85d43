"""Classes of a table of one's own: an accident is refused with its rows, and classes that are named are taken."""

import json

import pytest

from errors import DataError, SettingError
from tests.tasks.test_own_text import all_of, make


def task(tmp_path, labels, **changes):
    """A jsonl with these labels as they stand there."""
    path = tmp_path / "train.jsonl"
    path.write_text("".join(f'{{"text": "text {n}", "label": {label}}}\n' for n, label in enumerate(labels)))
    return make("classification", train=str(path), **changes)


def refusal(tmp_path, labels, **changes):
    with pytest.raises(DataError) as error:
        _ = task(tmp_path, labels, **changes).num_classes
    return str(error.value).removeprefix(f"{tmp_path}/train.jsonl: ")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["1", '"1"', "1.0", "true", "0"] * 5, "'1' (10 rows), '1.0' (5 rows), 'true' (5 rows)"),
        (['"Pos"', '"pos "', '"neg"'] * 5, "'Pos' (5 rows), 'pos ' (5 rows)"),
        (['"neg"'] * 9 + ['"pos"'] * 9 + ['"POS"'], "'pos' (9 rows), 'POS' (1 row)"),
        (['"caf\\u00e9"', '"cafe\\u0301"', '"tea"'] * 5, "'caf\xe9' (5 rows), 'cafe\u0301' (5 rows)"),
        (['"very  good"', '"very good"', '"bad"'] * 5, "'very  good' (5 rows), 'very good' (5 rows)"),
        (['"01"', '"1"', '"2"'] * 5, "'01' (5 rows), '1' (5 rows)"),
        (["false", "0", "true"] * 5, "'false' (5 rows), '0' (5 rows)"),
    ],
)
def test_one_class_written_in_several_ways_is_refused_with_their_rows(tmp_path, labels, said):
    assert refusal(tmp_path, labels) == (
        f"'label' has what may be one class in several ways, {said}; write it in one way, or name the classes: "
        "task.source.class_names=[...]"
    )


@pytest.mark.parametrize(
    ("labels", "mark"),
    [
        (["0", "1", "-1"] * 5, "-1"),
        (["0.0", "1.0", "-1.0"] * 5, "-1.0"),
        (["0", "1", "2", "-1"] * 5, "-1"),
        (['"yes"', '"no"', "-1"] * 5, "-1"),
        (['"entailment"', '"neutral"', '"-"'] * 5, "-"),
        (['"a"', '"b"', '"nan"'] * 5, "nan"),
    ],
)
def test_a_mark_of_rows_without_a_label_is_no_class(tmp_path, labels, mark):
    said = refusal(tmp_path, labels)
    assert said.startswith(
        f"'label' is '{mark}' (5 rows), which marks rows without a label; leave them out of the file"
    )


def test_as_many_classes_as_rows_are_an_id_or_a_number(tmp_path):
    assert refusal(tmp_path, range(100, 120)) == (
        "'label' has 20 classes in 20 rows, as a number or an id would; task.source.regression=true predicts a number, "
        "task.source.label=COLUMN names another column"
    )
    assert task(tmp_path, range(100, 120), regression=True).num_classes == 1
    assert task(tmp_path, [*range(100, 110), *range(100, 110)]).num_classes == 10


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", '"1"', "0"] * 5, ["0", "1"]),  # the same text
        (["true", "false"] * 5, ["false", "true"]),
        (["-1", "1"] * 5, ["-1", "1"]),
        (["-2", "-1", "0", "1"] * 5, ["-2", "-1", "0", "1"]),
        (['"+"', '"-"'] * 5, ["+", "-"]),
        (['"none"', '"NA"', '"unknown"'] * 5, ["NA", "none", "unknown"]),
        (["10", "9", "0"] * 5, ["0", "9", "10"]),
    ],
)
def test_other_classes_are_taken_as_they_are(tmp_path, labels, classes):
    assert list(task(tmp_path, labels).classes) == classes


def test_classes_that_are_named_are_those_in_that_order(tmp_path):
    found = task(tmp_path, ["0", "1", "-1"] * 5, class_names=[1, 0, -1, "other"])
    assert found.classes == {"1": 0, "0": 1, "-1": 2, "other": 3} and found.num_classes == 4
    assert [all_of(found)[number].label for number in (1, 2, 3)] == [1, 0, 2]
    assert found.fingerprint() != task(tmp_path, ["0", "1", "-1"] * 5).fingerprint()
    with pytest.raises(DataError, match=r"row \d+ of .*: class '-1' is none of task.source.class_names: 0, 1$"):
        all_of(task(tmp_path, ["0", "1", "-1"] * 5, class_names=[0, 1]))


@pytest.mark.parametrize("names", [["a"], ["a", "a"], [1, "1"], "ab"])
def test_names_that_are_no_classes_are_refused(tmp_path, names):
    with pytest.raises(SettingError, match=r"class_names are two or more classes, each once, as \[no, yes\]"):
        task(tmp_path, ["0", "1"], class_names=names)


def test_a_class_of_json_is_its_text(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"text": "a", "label": value} for value in (True, False)] * 5))
    assert make("classification", train=str(path)).classes == {"false": 0, "true": 1}
