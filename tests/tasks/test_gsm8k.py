"""MetaMathQA and GSM-8K on ten training and three test problems with the columns of the released files."""

import json
import re
import shutil
from pathlib import Path

import pandas
import pytest

from errors import DataError
from tasks.base import Benchmark, Task
from tasks.math_word import GSM8K_TEST, METAMATHQA_40K, RELEASED_STOP, MetaMath
from tasks.reading.sources import HubFile

DATA = Path(__file__).parent / "data"
TRAIN = DATA / "metamathqa.json"
TEST = DATA / "gsm8k_test.jsonl"


def metamath(**changes):
    files = {"train_source": str(TRAIN), "gsm8k_source": str(TEST), "math_source": "never/opened.jsonl"}
    sizes = {"validation_size": 3, "max_new_tokens": {"gsm8k": 512, "math": 2048}}
    return MetaMath(**files | sizes | {"eval_suffix": " Let's think step by step."} | changes)


def gsm8k(**changes):
    return metamath(**changes).benchmarks["gsm8k"]


def message(asked, split):
    with pytest.raises(DataError) as error:
        asked.examples(split)
    return str(error.value)


def write_train(folder, *rows):
    path = folder / "train.json"
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.fixture
def nothing_in_the_cache(monkeypatch, tmp_path):
    """No network either, whatever the machine has."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_gsm8k_is_a_benchmark_of_a_task():
    assert isinstance(metamath(), Task)
    assert isinstance(gsm8k(), Benchmark)
    assert gsm8k().max_new_tokens == 512
    assert (
        gsm8k().stop
        == RELEASED_STOP
        == tuple(
            "Question: Question USER: USER ASSISTANT: ASSISTANT Instruction: Instruction Response: Response".split()
        )
    )


def test_training_prompt_puts_the_lines_after_the_first_into_the_input():
    examples = {example.id: example for example in metamath(validation_size=0).examples("train")}
    assert len(examples) == 10
    assert examples["train-3"].prompt == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nA shop sells x mugs in May and 300 in June.\n\n"
        "### Input:\nIf we know the answer is 1500, what is the value of x?\n\n### Response:"
    )
    assert examples["train-3"].target == "We have x+300 = 1500, so x = 1200.\n#### 1200\nThe answer is: 1200"
    assert examples["train-0"].prompt == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nInes has 4 boxes of 6 pears. How many pears does she have?\n\n### Response:"
    )


def test_evaluation_prompt_keeps_the_question_whole_and_appends_the_suffix():
    assert gsm8k().examples("test")[2].eval_prompt == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nMax owes 5 dollars and earns 3 dollars.\nHow many dollars does he have?\n\n"
        "### Response: Let's think step by step."
    )
    assert gsm8k(eval_suffix="").examples("test")[2].eval_prompt.endswith("\n\n### Response:")


def test_gold_is_the_number_after_the_hashes_without_commas():
    assert [example.gold for example in gsm8k().examples("test")] == ["24", "2100000", "-2"]
    assert [example.id for example in gsm8k().examples("test")] == ["test-0", "test-1", "test-2"]


def test_training_gold_is_the_answer_after_the_marker_and_empty_without_one():
    golds = [example.gold for example in metamath(validation_size=0).examples("train")]
    assert golds == ["24", "24", "1500", "1200", "4.5", "\\frac{1}{2}", "4", "33", "-2", ""]


def test_every_target_in_validation_passes_every_scorer():
    task = gsm8k(validation_size=6)
    for example in task.examples("validation"):
        assert all(scorer(example.target, example.gold).correct for scorer in task.scorers.values())


def test_validation_comes_from_grade_school_rows_with_integer_answers():
    ids = {example.id for example in metamath(validation_size=6).examples("validation")}
    assert ids == {f"train-{row}" for row in (0, 1, 2, 3, 7, 8)}


def test_train_and_validation_share_no_row_and_keep_the_order_of_the_file():
    task = metamath()
    train, validation = ([int(e.id.removeprefix("train-")) for e in task.examples(s)] for s in ("train", "validation"))
    assert len(validation) == 3
    assert sorted(train + validation) == list(range(10))
    assert train == sorted(train) and validation == sorted(validation)


def test_data_seed_draws_the_validation_rows():
    def drawn(seed):
        return tuple(example.id for example in metamath(data_seed=seed).examples("validation"))

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(8)}) > 1


def test_validation_rows_do_not_depend_on_the_python_process():
    # A change here changes every run: numbers made before it no longer compare.
    assert [example.id for example in gsm8k().examples("validation")] == ["train-1", "train-2", "train-7"]


def test_limit_keeps_the_first_of_every_split():
    whole, short = metamath(), metamath(limit=2)
    for split in ("train", "validation"):
        assert short.examples(split) == whole.examples(split)[:2]
    for split in ("validation", "test"):
        assert gsm8k(limit=2).examples(split) == gsm8k().examples(split)[:2]


@pytest.mark.parametrize("kwargs", [{"validation_size": -1}, {"limit": 0}])
def test_impossible_sizes_are_refused(kwargs):
    with pytest.raises(ValueError, match="validation_size >= 0 and limit >= 1"):
        gsm8k(**kwargs)


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet", "csv"])
@pytest.mark.parametrize("columns", [("query", "response"), ("question", "answer")])
def test_every_format_and_both_namings_give_the_same_test_examples(tmp_path, ending, columns):
    frame = pandas.read_json(TEST, lines=True).rename(columns=dict(zip(("query", "response"), columns, strict=True)))
    path = tmp_path / f"test.{ending}"
    {
        "json": lambda: frame.to_json(path, orient="records"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
        "csv": lambda: frame.to_csv(path, index=False),
    }[ending]()
    assert gsm8k(gsm8k_source=str(path)).examples("test") == gsm8k().examples("test")


def test_reading_a_file_leaves_nothing_in_the_cache_of_datasets(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    metamath().examples("train")
    assert not list(tmp_path.rglob("*.arrow"))


def test_hub_file_is_read_from_the_cache_without_network(nothing_in_the_cache):
    cache, commit = nothing_in_the_cache, "0123456789" * 4
    snapshot = cache / "datasets--openai--gsm8k" / "snapshots" / commit / "main"
    snapshot.mkdir(parents=True)
    shutil.copy(TEST, snapshot / "test.jsonl")
    source = HubFile("openai/gsm8k", "main/test.jsonl", commit)
    assert gsm8k(gsm8k_source=source).examples("test") == gsm8k().examples("test")


def test_task_fingerprint_changes_with_training_content_and_choice_and_with_nothing_else(tmp_path):
    copy = tmp_path / "copy.json"
    shutil.copy(TRAIN, copy)
    first = metamath().fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", first)
    same = [{"train_source": str(copy)}, {"name": "other"}, {"gsm8k_source": "no/such"}, {"eval_suffix": ""}]
    assert {metamath(**change).fingerprint() for change in same} == {first}
    copy.write_text(copy.read_text().replace("pears", "plums"))
    changes = [
        {"train_source": str(copy)}, {"validation_size": 4}, {"limit": 5}, {"data_seed": 1},
        {"train_source": METAMATHQA_40K},
    ]  # fmt: skip
    assert len({metamath(**change).fingerprint() for change in [{}, *changes]}) == 6


def test_benchmark_fingerprint_changes_with_its_own_file_and_prompt_and_not_with_the_training(tmp_path):
    copy = tmp_path / "copy.jsonl"
    shutil.copy(TEST, copy)
    same = [{"gsm8k_source": str(copy)}, {"train_source": "no/such"}, {"validation_size": 4}, {"data_seed": 1}]
    assert {gsm8k(**change).fingerprint() for change in same} == {gsm8k().fingerprint()}
    copy.write_text(copy.read_text().replace("rolls", "buns"))
    changes = [{"gsm8k_source": str(copy)}, {"limit": 2}, {"eval_suffix": ""}, {"stop": ("USER",)}]
    assert len({gsm8k(**change).fingerprint() for change in [{}, *changes]}) == 5


def test_fingerprint_of_hub_files_needs_no_download(nothing_in_the_cache):
    hub = {"train_source": None, "gsm8k_source": None}
    other = HubFile(GSM8K_TEST.repo_id, GSM8K_TEST.file, "another revision")
    assert gsm8k(**hub).fingerprint() == gsm8k(**hub).fingerprint()
    assert gsm8k(**hub).fingerprint() != gsm8k(**hub | {"gsm8k_source": other}).fingerprint()


def test_absent_training_file_is_named_with_columns_and_command():
    assert message(metamath(train_source="no/such.json"), "train") == (
        "no file no/such.json with the columns type, query, response; "
        "`hf download meta-math/MetaMathQA-40K MetaMathQA-40K.json --repo-type dataset --revision main "
        "--local-dir data/MetaMathQA-40K` fetches data/MetaMathQA-40K/MetaMathQA-40K.json"
    )


def test_absent_test_file_is_named_with_columns_and_command():
    assert message(gsm8k(gsm8k_source="no/such.jsonl"), "test") == (
        "no file no/such.jsonl with the columns query, response or question, answer; "
        "`hf download openai/gsm8k main/test-00000-of-00001.parquet --repo-type dataset "
        "--revision 740312add88f781978c0658806c59bc2815b9866 --local-dir data/gsm8k` "
        "fetches data/gsm8k/main/test-00000-of-00001.parquet"
    )


def test_fingerprint_of_an_absent_file_is_an_error_too():
    for asked in (metamath(train_source="no/such.json"), gsm8k(gsm8k_source="no/such.json")):
        with pytest.raises(DataError, match="no file no/such.json with the columns"):
            asked.fingerprint()


def test_unreachable_hub_file_is_named_with_the_command(nothing_in_the_cache):
    assert message(metamath(train_source=None, gsm8k_source=None), "train") == (
        "meta-math/MetaMathQA-40K/MetaMathQA-40K.json at revision main is not in the hub's cache and the hub is not "
        "reachable; where there is a network, "
        "`hf download meta-math/MetaMathQA-40K MetaMathQA-40K.json --repo-type dataset --revision main` fetches it"
    )


def test_file_that_the_hub_does_not_have_is_named(nothing_in_the_cache):
    assert message(metamath(train_source=HubFile("not a repo/", "a.json", "main")), "train") == (
        "the hub has no not a repo//a.json at revision main, or asks for a login (`hf auth login`) to show it"
    )


def test_missing_columns_are_named_with_those_present(tmp_path):
    path = write_train(tmp_path, {"query": "1 + 1?", "output": "2"})
    assert message(metamath(train_source=path), "train") == (
        f"{path} has the columns query, output; expected type, query, response"
    )
    assert message(gsm8k(gsm8k_source=path), "test") == (
        f"{path} has the columns query, output; expected query, response or question, answer"
    )


def test_value_of_another_type_is_named_with_its_row(tmp_path):
    row = {"type": "GSM_SV", "query": "1 + 1?", "response": "2"}
    path = write_train(tmp_path, row, row | {"response": None})
    assert message(metamath(train_source=path), "train") == (f"row 2 of {path}: 'response' is NoneType, expected str")


def test_empty_file_is_named(tmp_path):
    path = tmp_path / "train.jsonl"
    path.touch()
    assert message(metamath(train_source=str(path)), "train") == (f"{path} has no rows")


def test_file_without_rows_is_named(tmp_path):
    path = write_train(tmp_path)
    assert message(metamath(train_source=path), "train") == (f"{path} has no rows")


def test_file_of_another_format_is_named_with_the_formats(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("1 + 1?")
    assert message(metamath(train_source=str(path)), "train") == (
        f"{path} is none of the formats .json, .jsonl, .ndjson, .csv, .tsv, .parquet (all but the last also as .gz)"
    )


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.json", b'[{"query": "a",\n"response": "b"},\n{"query": oops}]', "json: line 3: Expecting value"),
        ("a.jsonl", b'{"query": "a", "response": "b"}\n\n{"query": oops}\n', "jsonl: line 3: Expecting value"),
        ("a.jsonl", b'{"query": "\xff", "response": "b"}\n', "jsonl: byte 11 is not UTF-8"),
        ("a.parquet", b"no parquet file", "parquet: Parquet magic bytes not found in footer"),
        ("a.csv", b'query,response\na,"b', "csv: line 2: unexpected end of data"),
    ],
)
def test_broken_file_is_named_with_the_place(tmp_path, name, content, where):
    path = tmp_path / name
    path.write_bytes(content)
    said = message(gsm8k(gsm8k_source=str(path)), "test")
    assert said.startswith(f"{path} cannot be read as {where}")
    assert "\n" not in said


@pytest.mark.parametrize("response", ["She has 24.", "She has 24.\n#### ", "#### many", "#### 4.5"])
def test_test_row_without_an_integer_gold_is_named(tmp_path, response):
    path = tmp_path / "test.jsonl"
    rows = [{"query": "a", "response": "#### 1"}, {"query": "b", "response": response}]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert message(gsm8k(gsm8k_source=str(path)), "test") == f"row 2 of {path} has no integer after '#### '"


def test_too_few_rows_for_validation_are_counted():
    assert message(metamath(validation_size=7), "train") == (
        f"{TRAIN} has 10 rows, 6 of them GSM rows with an integer answer: too few to hold out validation_size=7"
    )


def test_validation_leaves_at_least_one_row_to_train_on(tmp_path):
    row = {"type": "GSM_SV", "query": "1 + 1?", "response": "The answer is: 2"}
    path = write_train(tmp_path, row, row)
    assert len(metamath(train_source=path, validation_size=1).examples("train")) == 1
    assert "too few to hold out validation_size=2" in message(metamath(train_source=path, validation_size=2), "train")
