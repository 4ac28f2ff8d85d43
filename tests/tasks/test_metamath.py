"""MATH on five problems with the columns of the released file, and the three choices over one training."""

import json
from pathlib import Path

import pandas
import pytest

from errors import DataError
from tasks.base import Benchmark
from tasks.math_word import MATH_TEST, RELEASED_STOP, MetaMath

DATA = Path(__file__).parent / "data"
TEST = DATA / "math_test.jsonl"


def metamath(**changes):
    files = {
        "train_source": str(DATA / "metamathqa.json"),
        "gsm8k_source": "never/opened.jsonl",
        "math_source": str(TEST),
    }
    sizes = {"validation_size": 3, "max_new_tokens": {"gsm8k": 512, "math": 2048}}
    return MetaMath(**files | sizes | {"eval_suffix": " Let's think step by step."} | changes)


def math(**changes):
    return metamath(**changes).benchmarks["math"]


def message(benchmark):
    with pytest.raises(DataError) as error:
        benchmark.examples("test")
    return str(error.value)


def test_both_benchmarks_are_there_in_the_order_of_tables():
    task = metamath()
    assert list(task.benchmarks) == ["gsm8k", "math"]
    assert all(isinstance(b, Benchmark) and b.name == name for name, b in task.benchmarks.items())
    assert [tuple(b.splits) for b in task.benchmarks.values()] == [("validation", "test"), ("test",)]
    assert [b.max_new_tokens for b in task.benchmarks.values()] == [512, 2048]
    assert task.benchmarks["math"].stop == RELEASED_STOP
    assert [list(b.scorers) for b in task.benchmarks.values()] == [["legacy", "strict"]] * 2


def test_training_needs_no_test_file():
    task = metamath(math_source="no/such.jsonl")
    assert len(task.examples("train")) == 7
    assert task.benchmarks["gsm8k"].examples("validation") == task.examples("validation")
    assert len(task.fingerprint()) == 64


def test_evaluation_prompt_keeps_the_problem_whole_and_appends_the_suffix():
    assert math().examples("test")[1].eval_prompt == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nLet $x$ be such that\n$2x = 10$.\nWhat is {x}?\n\n"
        "### Response: Let's think step by step."
    )


def test_target_is_the_solution_with_the_closing_line_of_metamathqa():
    assert math().examples("test")[0].target == (
        "The quarters leave $\\frac{2}{4} = \\boxed{\\frac{1}{2}}$.\nThe answer is: \\frac{1}{2}"
    )


def test_gold_is_in_the_last_box():
    assert [example.gold for example in math().examples("test")] == [
        "\\frac{1}{2}", "5", "\\boxed 5", "\\fbox{6}", "\\begin{pmatrix} 1 \\\\ -2 \\end{pmatrix}",
    ]  # fmt: skip
    assert [example.id for example in math().examples("test")] == ["math-0", "math-1", "math-2", "math-3", "math-4"]


def test_every_target_passes_strict_and_legacy_but_for_golds_that_the_released_script_cannot_open():
    scorers = math().scorers
    verdicts = {
        name: [scorer(e.target, e.gold).correct for e in math().examples("test")] for name, scorer in scorers.items()
    }
    assert verdicts == {"legacy": [True, True, False, False, True], "strict": [True] * 5}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_columns_of_the_hub_give_the_same_examples(tmp_path, ending):
    frame = pandas.read_json(TEST, lines=True).rename(columns={"instruction": "problem", "output": "solution"})
    frame = frame.assign(level="Level 5")[["problem", "level", "solution", "type"]]
    path = tmp_path / f"test.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    assert math(math_source=str(path)).examples("test") == math().examples("test")


def test_limit_keeps_the_first():
    assert math(limit=2).examples("test") == math().examples("test")[:2]


def test_fingerprint_is_of_the_own_file_and_prompt():
    same = [{"train_source": "no/such"}, {"gsm8k_source": "no/such"}, {"validation_size": 4}, {"data_seed": 1}]
    assert {math(**change).fingerprint() for change in same} == {math().fingerprint()}
    changes = [{"math_source": MATH_TEST}, {"limit": 2}, {"eval_suffix": ""}, {"stop": ("USER",)}]
    assert len({math(**change).fingerprint() for change in [{}, *changes]}) == 5


def test_absent_file_is_named_with_columns_and_command():
    assert message(math(math_source="no/such.jsonl")) == (
        "no file no/such.jsonl with the columns instruction, output or problem, solution or problem, answer; "
        "`hf download DigitalLearningGmbH/MATH-lighteval data/test-00000-of-00001.parquet --repo-type dataset "
        "--revision main --local-dir data/MATH-lighteval` "
        "fetches data/MATH-lighteval/data/test-00000-of-00001.parquet"
    )


def test_a_row_without_a_gold_answer_is_left_out_and_named(tmp_path):
    path = tmp_path / "test.jsonl"
    solutions = ["\\boxed{1}", "It is 2.", "\\boxed{3}", ""]
    path.write_text("\n".join(json.dumps({"problem": "a", "solution": solution}) for solution in solutions))
    benchmark = math(math_source=str(path))
    assert [(e.id, e.gold) for e in benchmark.examples("test")] == [("math-0", "1"), ("math-2", "3")]
    assert benchmark.notes == [f"{path}: left out 2 of 4 rows with no \\boxed answer in their solution (rows 2, 4)"]


def test_a_file_without_any_gold_answer_is_refused(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"problem": "a", "solution": "It is 2."}))
    assert message(math(math_source=str(path))) == f"the rows of {path} have no \\boxed answer in their solution"


def test_problems_without_solutions_are_asked_alike_and_their_answers_are_gold(tmp_path):
    path, solved = tmp_path / "answers.jsonl", math().examples("test")
    rows = [{"problem": row["instruction"], "answer": example.gold, "level": "Level 3"} for row, example in
            zip(pandas.read_json(TEST, lines=True).to_dict("records"), solved, strict=True)]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    found = math(math_source=str(path)).examples("test")
    assert [(e.id, e.eval_prompt, e.gold) for e in found] == [(e.id, e.eval_prompt, e.gold) for e in solved]
    assert found[0].target == "The answer is: \\frac{1}{2}"


def test_token_limits_are_asked_for_both_benchmarks():
    with pytest.raises(ValueError, match="max_new_tokens is for gsm8k and math, not for gsm8k$"):
        metamath(max_new_tokens={"gsm8k": 512})


@pytest.mark.parametrize(("choice", "benchmarks"), [("metamath", None), ("gsm8k", ["gsm8k"]), ("math", ["math"])])
def test_the_three_choices_are_one_training_and_differ_in_what_is_evaluated(composed, choice, benchmarks):
    cfg, all_of_it = composed(f"task={choice}", "model=gemma2b"), composed("task=metamath", "model=gemma2b")
    assert cfg.evaluate.benchmarks == benchmarks
    assert cfg.task == all_of_it.task
    assert cfg.task.name == "metamath"
    assert cfg.train == all_of_it.train


@pytest.mark.parametrize("choice", ["metamath", "gsm8k", "math"])
def test_the_three_choices_find_the_recipes_of_their_family(composed, choice):
    cfg = composed(f"task={choice}", "model=gemma2b", "recipe=paper", "method=svft_random")
    assert cfg.train.lr == 1e-3  # Table 12
