"""GLUE's own .tsv files, with their columns, labels in words and quotation marks that are text."""

import json
from pathlib import Path

import pytest

from errors import DataError
from tests.tasks.test_glue import glue, path

ENTAILMENT = ("entailment", "not_entailment")
PARSES = "sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse".split()
# The header, and the fields of a row of the hub's columns; CoLA has no header.
ORIGINAL = {
    "cola": ("", lambda n, r: ["gj04", str(r["label"]), "*" * (1 - r["label"]), r["sentence"]]),
    "sst2": ("sentence label", lambda n, r: [r["sentence"], str(r["label"])]),
    "mrpc": (
        "Quality|#1 ID|#2 ID|#1 String|#2 String",
        lambda n, r: [str(r["label"]), "70", "71", r["sentence1"], r["sentence2"]],
    ),
    "stsb": (
        "index genre filename year old_index source1 source2 sentence1 sentence2 score",
        lambda n, r: [str(n), *"abcdef", r["sentence1"], r["sentence2"], str(r["label"])],
    ),
    "qqp": (
        "id qid1 qid2 question1 question2 is_duplicate",
        lambda n, r: [str(n), "1", "2", r["question1"], r["question2"], str(r["label"])],
    ),
    "mnli": (
        f"index promptID pairID genre {' '.join(PARSES)} sentence1 sentence2 label1 gold_label",
        lambda n, r: [
            *(str(n), "1n", "1e", "fiction", *"wxyz", r["premise"], r["hypothesis"], "neutral"),
            ("entailment", "neutral", "contradiction")[r["label"]],
        ],
    ),
    "qnli": (
        "index question sentence label",
        lambda n, r: [str(n), r["question"], r["sentence"], ENTAILMENT[r["label"]]],
    ),
    "rte": (
        "index sentence1 sentence2 label",
        lambda n, r: [str(n), r["sentence1"], r["sentence2"], ENTAILMENT[r["label"]]],
    ),
}  # fmt: skip


def with_marks(subset: str) -> list[dict]:
    """Rows of the hub; some of their texts begin, end, or stand in quotation marks."""
    rows = [json.loads(line) for line in Path(path(subset, "train")).read_text().splitlines()]
    text = next(iter(rows[0]))
    shapes = ('"{}', '{}"', '"{}"', '""{}""', '{} "x" {}')
    return [row | {text: shapes[n % 5].replace("{}", row[text])} for n, row in enumerate(rows)]


def write(folder: Path, subset: str, rows: list[dict]) -> str:
    header, fields = ORIGINAL[subset]
    lines = [fields(n, row) for n, row in enumerate(rows)]
    if header:
        lines.insert(0, header.split("|" if "|" in header else " "))
    file = folder / "train.tsv"
    file.write_text("".join("\t".join(line) + "\n" for line in lines))
    return str(file)


@pytest.mark.parametrize("subset", ORIGINAL)
def test_the_original_files_give_the_examples_of_the_hub(subset, tmp_path):
    rows = with_marks(subset)
    hub = tmp_path / "hub.jsonl"
    hub.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = glue(subset, train_source=str(hub)).examples("train")
    assert glue(subset, train_source=write(tmp_path, subset, rows)).examples("train") == expected


def test_the_hubs_columns_in_a_tsv_are_quoted_as_any_other(tmp_path):
    file = tmp_path / "train.tsv"
    file.write_text('sentence\tlabel\tidx\n"He said ""no""."\t1\t0\nFine.\t0\t1\n')
    assert [e.text for e in glue("cola", train_source=str(file)).examples("train")] == ['He said "no".', "Fine."]


def test_lines_that_a_break_has_cut_are_left_out_and_told_and_many_are_refused(tmp_path):
    rows = with_marks("qqp") * 60
    file = Path(write(tmp_path, "qqp", rows))
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:5], "5\t1\t2\ta question", "and its end\tanother\t1", *lines[5:]]) + "\n")
    task = glue("qqp", train_source=str(file))
    assert len(task.examples("train")) == len(rows)
    assert task.notes == [f"{file}: left out 2 lines that have not 6 fields (lines 6, 7)"]
    file.write_text("\n".join([*lines[:5], *["5\t1\t2\ta question"] * 9, *lines[5:]]) + "\n")
    with pytest.raises(DataError, match=r"9 of \d+ lines have not 6 fields \(lines 6, 7, 8, 9, 10 and 4 more\)"):
        glue("qqp", train_source=str(file)).examples("train")


def test_a_word_that_is_no_class_is_refused_with_those_that_are(tmp_path):
    file = Path(write(tmp_path, "rte", with_marks("rte")))
    file.write_text(file.read_text().replace("not_entailment", "contradiction"))
    with pytest.raises(DataError, match="'label' is 'contradiction', expected entailment, not_entailment"):
        glue("rte", train_source=str(file)).examples("train")


def test_a_file_of_tests_without_labels_names_the_columns(tmp_path):
    file = tmp_path / "test.tsv"
    file.write_text("index\tsentence1\tsentence2\n0\ta\tb\n")
    with pytest.raises(
        DataError, match="has the columns index, sentence1, sentence2; expected sentence1, sentence2, label"
    ):
        glue("rte", dev_source=str(file)).examples("validation")
