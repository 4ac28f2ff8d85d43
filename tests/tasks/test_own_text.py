"""Text tasks over local files of one's own."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from scipy import stats

from errors import DataError, SettingError
from harness.plan import config
from tasks.base import Benchmark, ClassExample, ItemScore, Task, TextExample
from tasks.own import generation as own_generation
from tasks.scoring import corpus
from tests.conftest import ROOT

DATA = ROOT / "tests" / "tasks" / "data"
QUESTIONS, REVIEWS = DATA / "own_generation.jsonl", DATA / "own_classification.csv"


def make(name: str, **changes):
    """The task of conf/task/<name>.yaml with other values in `source`."""
    cfg = OmegaConf.create({"task": OmegaConf.load(ROOT / "conf" / "task" / f"{name}.yaml")})
    cfg.task.label = name
    cfg.task.source = OmegaConf.merge(cfg.task.source, changes)
    return config.instantiate(cfg.task.source)


def generation(**changes):
    return make("generation", **{"train": str(QUESTIONS), "prompt": "question", "target": "solution", **changes})


def classification(**changes):
    return make("classification", **{"train": str(REVIEWS), "text": "review", "label": "stars", **changes})


def all_of(task):
    """Every example of a task by the number of its row."""
    examples = [e for split in ("train", "validation", "test") for e in task.examples(split)]
    return {int(e.id.rpartition("-")[2]): e for e in examples}


@pytest.mark.parametrize("task", [generation(), classification()])
def test_a_task_of_ones_own_is_a_task_and_its_benchmark(task):
    assert isinstance(task, Task) and isinstance(task, Benchmark)
    assert task.benchmarks == {task.name: task}


# --- generation ---


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("question", "{9} - 1 = ?\n"),
        (["hint", "question"], "take\none\n{9} - 1 = ?\n"),
        ("Q: {question} ({hint})\nA:", "Q: {9} - 1 = ? (take\none)\nA:"),
        ("{{{question}}} {answer}", "{{9} - 1 = ?} 8"),
    ],
)
def test_a_prompt_is_columns_or_a_text_with_columns_in_it(prompt, expected):
    example = all_of(generation(prompt=prompt))[3]
    assert example.prompt == example.eval_prompt == expected
    assert (example.target, example.gold) == ("It is 8.", "It is 8.")


def test_an_empty_column_of_a_prompt_is_kept_empty():
    assert all_of(generation(prompt=["hint", "question"]))[2].prompt == "\n3 + 4 = ?\n"


def test_answers_are_scored_against_the_column_gold():
    task = generation(gold="answer", scorers=["gsm8k_strict", "exact"])
    assert list(task.scorers) == ["gsm8k_strict", "exact"]
    assert all_of(task)[4].gold == "100"
    assert task.scorers["gsm8k_strict"]("The answer is: 100", "100") == ItemScore(correct=True)


@pytest.mark.parametrize(
    ("text", "correct", "parsed"),
    [
        (" paris\n", True, True),
        ("Paris", True, True),
        ("Paris.", False, True),
        ("STRASSE", False, True),
        (" \n", False, False),
    ],
)
def test_exact_ignores_case_and_surrounding_space_alone(text, correct, parsed):
    assert own_generation.exact_text(text, "Paris ") == ItemScore(correct=correct, parsed=parsed)


def test_a_gold_that_a_scorer_cannot_read_names_its_row():
    with pytest.raises(
        DataError, match=r"row \d+ of .*own_generation.jsonl: scorer gsm8k_strict cannot read 'It is \d+.'.*gold=COLUMN"
    ):
        all_of(generation(scorers=["gsm8k_strict"]))


def test_an_unknown_scorer_is_refused_with_the_choices():
    with pytest.raises(
        SettingError,
        match=r"scorers are one or more of exact, gsm8k_strict, gsm8k_legacy, math_strict, math_legacy, not \['bleu'\]",
    ):
        generation(scorers=["bleu"])


# --- classification ---


def test_classes_are_in_order_and_texts_are_exactly_those_of_the_file():
    task = classification(pair="title")
    assert (task.num_classes, task.classes) == (3, {"1": 0, "2": 1, "10": 2})
    with REVIEWS.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            example = all_of(task)[number]
            index = [1, 2, 10].index(int(row["stars"]))
            assert example == ClassExample(f"train-{number}", row["review"], row["title"], index)
    assert {all_of(task)[n].pair for n in (1, 2, 3, 5)} == {"NA", "007", "null", "1e5"}


def test_classes_that_are_words_are_in_the_order_of_the_alphabet(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps([{"text": "x", "label": label} for label in ["b", "a", "c", "a", "10", "9"]]))
    assert make("classification", train=str(path)).classes == {"10": 0, "9": 1, "a": 2, "b": 3, "c": 4}


def test_a_class_that_is_not_in_the_training_file_is_refused(tmp_path):
    test = tmp_path / "test.csv"
    test.write_text("review,stars\nFine,3\n")
    with pytest.raises(DataError, match=r"row 1 of .*test.csv: class '3' is none of the training file's: 1, 2, 10"):
        classification(test=str(test)).examples("test")


def test_one_class_is_not_enough(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,x\nb,x\n")
    with pytest.raises(DataError, match="two or more are needed"):
        _ = make("classification", train=str(path)).num_classes


def test_regression_gives_numbers_and_the_correlations_of_scipy():
    task = classification(label="score", regression=True)
    assert (task.num_classes, task.metric, list(task.scorers)) == (1, "pearson", ["pearson", "spearman"])
    golds = [all_of(task)[n].label for n in range(1, 11)]
    assert golds == [4.5, 1.0, 1.5, 4.0, 0.5, 0.25, 5.0, 1.25, 2.0, 3.0]
    predictions = np.random.default_rng(0).normal(size=10).tolist()
    ranks = np.corrcoef(stats.rankdata(predictions), stats.rankdata(golds))[0, 1]
    assert task.scorers["pearson"].metric(predictions, golds) == pytest.approx(np.corrcoef(predictions, golds)[0, 1])
    assert task.scorers["spearman"].metric(predictions, golds) == pytest.approx(ranks)


def test_a_constant_prediction_has_no_correlation():
    assert corpus.pearson([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0.0
    assert corpus.spearman([1.0], [2.0]) == 0.0


@pytest.mark.parametrize("value", ["many", "nan", "inf"])
def test_a_value_that_is_no_number_is_refused(tmp_path, value):
    path = tmp_path / "train.csv"
    path.write_text(f"text,label\na,1\nb,2\nc,3\nd,{value}\n")
    with pytest.raises(DataError, match=f"row 4 of .*: 'label' is '{value}', expected a number"):
        all_of(make("classification", train=str(path), regression=True))


# --- files and splits ---


def test_shares_are_held_out_of_the_training_rows_by_the_data_seed():
    task, again, other = generation(), generation(), generation(data_seed=1)
    sizes = {split: len(task.examples(split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 7, "validation": 1, "test": 2}
    ids = {split: [e.id for e in task.examples(split)] for split in sizes}
    assert sorted(id for members in ids.values() for id in members) == sorted(f"train-{n}" for n in range(1, 11))
    assert ids == {split: [e.id for e in again.examples(split)] for split in sizes}
    assert ids != {split: [e.id for e in other.examples(split)] for split in sizes}


def test_held_out_rows_leave_the_others_in_the_order_of_the_file():
    numbers = [int(e.id.rpartition("-")[2]) for e in classification(data_seed=3).examples("train")]
    assert numbers == sorted(numbers) and numbers[-1] == 10


def test_files_of_their_own_are_read_whole_and_nothing_is_held_out(tmp_path):
    for name in ("validation", "test"):
        (tmp_path / "a" / name).mkdir(parents=True)
        (tmp_path / "a" / name / "own_generation.jsonl").write_text(QUESTIONS.read_text())
    paths = {name: str(tmp_path / "a" / name / "own_generation.jsonl") for name in ("validation", "test")}
    task = generation(**paths)
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [10, 10, 10]
    assert [task.examples(split)[0].id for split in ("train", "validation", "test")] == [
        "train-1",
        "validation-1",
        "test-1",
    ]
    assert task.fingerprint() == generation(**paths, data_seed=1).fingerprint()


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "tsv", "parquet"])
def test_every_format_gives_the_same_examples(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    frame = pd.read_json(QUESTIONS, lines=True, dtype=str)
    write = {
        "json": lambda: frame.to_json(path, orient="records"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "parquet": lambda: frame.to_parquet(path),
    }
    write[suffix]()
    expected, found = (
        all_of(generation(train=str(train), gold="answer", prompt=["question", "hint"])) for train in (QUESTIONS, path)
    )
    assert found == expected and all(isinstance(e, TextExample) for e in found.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "hint"},
        {"target": "hint"},
        {"gold": "answer"},
        {"stop": ["."]},
        {"test_share": 0.3},
        {"data_seed": 1},
    ],
)
def test_what_changes_the_examples_changes_the_fingerprint(changes):
    assert generation().fingerprint() == generation().fingerprint() != generation(**changes).fingerprint()


def test_another_content_of_a_file_changes_the_fingerprint(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text(QUESTIONS.read_text())
    before = generation(train=str(path)).fingerprint()
    path.write_text(QUESTIONS.read_text().replace("It is 4.", "It is 5."))
    assert before != generation(train=str(path)).fingerprint()


@pytest.mark.parametrize("task", [classification, generation])
@pytest.mark.parametrize("key", ["validation_share", "test_share"])
def test_a_share_that_is_none_is_refused(task, key):
    with pytest.raises(SettingError, match=f"{key} is a share .* not 1"):
        task(**{key: 1})


def test_a_column_that_is_not_there_lists_those_that_are():
    columns = "question, hint, solution, answer"
    with pytest.raises(DataError, match=f"^row 1 of .* has no column 'reply'; its columns are {columns}"):
        all_of(generation(target="reply"))
    with pytest.raises(DataError, match="has no column 'klass'; its columns are review, title, stars, score"):
        _ = classification(label="klass").num_classes


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "rows.txt",
            "x",
            "rows.txt is none of the formats .json, .jsonl, .ndjson, .csv, .tsv, .parquet (all but",
        ),
        ("rows.json", "", "rows.json cannot be read as json: line 1: Expecting value"),
        ("rows.json", "[]", "rows.json has no rows"),
        ("rows.json", '{"text": "a"}', "expected a list of objects"),
        ("rows.jsonl", "", "rows.jsonl has no rows"),
        ("rows.jsonl", '{"text": "a"}\n{"text"', "rows.jsonl cannot be read as jsonl: line 2: Expecting ':' delimiter"),
        ("rows.jsonl", '{"text": "a"}\n3', "line 2 is no object of columns"),
        ("rows.csv", "", "rows.csv has no rows"),
        ("rows.csv", "text,label\n", "rows.csv has no rows"),
        ("rows.csv", "text,label\na\n", "line 2 has 1 field, the header 2"),
        ("rows.csv", "text,label\na,b,c\n", "line 2 has 3 fields, the header 2"),
        ("rows.csv", 'text,label\n"a" b,c\n', "rows.csv cannot be read as csv: line 2: ',' expected"),
        ("rows.csv", b"text,label\n\xff,b\n", "rows.csv cannot be read as csv: byte 11 is not UTF-8; save it as UTF-8"),
        ("rows.parquet", "PAR1", "rows.parquet cannot be read as parquet"),
        ("rows.jsonl", '{"text": "a", "label": null}', "row 1 of .*rows.jsonl: 'label' is null, expected a text"),
        ("rows.csv", "text,label\na,\n", "rows.csv: 'label' is empty in 1 row (1); leave"),
        ("rows.csv", "text,label\na,\nb,x\nc, \n", "rows.csv: 'label' is empty in 2 rows (1, 3); leave"),
        ("rows.csv", "text,label\na,x\nb,y\n", "has 2 rows: too few to hold out {'validation': 0.1, 'test': 0.2}"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named_with_the_reason(tmp_path, file, content, message):
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    pattern = message if ".*" in message else re.escape(message)
    task = make("classification", train=str(path))
    with pytest.raises(DataError, match=pattern):
        _ = task.num_classes and all_of(task)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*nowhere.csv; paths are taken from the folder"):
        generation(train=str(tmp_path / "nowhere.csv")).fingerprint()
