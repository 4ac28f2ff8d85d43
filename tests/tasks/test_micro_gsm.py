import json
import operator
import re

import pytest

from errors import DataError
from tasks.base import Benchmark, Task, TextExample
from tasks.micro.word_problems import LARGEST
from tasks.micro_gsm import MicroGsm
from tests.conftest import ROOT, task_of_yaml

EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def task() -> MicroGsm:
    return task_of_yaml("micro_gsm")


def problem(example: TextExample) -> str:
    return example.prompt.partition("### Instruction:\n")[2].partition("\n\n### Response:")[0]


def test_it_is_a_task_and_a_benchmark_of_its_own(task: MicroGsm) -> None:
    assert isinstance(task, Task)
    assert list(task.benchmarks) == ["micro_gsm", "micro_math"]
    assert task.benchmarks["micro_gsm"] is task
    assert all(isinstance(benchmark, Benchmark) for benchmark in task.benchmarks.values())
    assert [len(task.examples(split)) for split in SPLITS] == [2000, 200, 500]


def test_every_equation_of_a_solution_is_true_and_the_last_one_gives_the_answer(task: MicroGsm) -> None:
    for example in task.examples("train"):
        equations = EQUATION.findall(example.target)
        assert equations
        for a, op, b, c in equations:
            assert OPERATORS[op](int(a), int(b)) == int(c) <= LARGEST
        for (*_, result), (first, *_) in zip(equations, equations[1:], strict=False):
            assert first == result
        assert example.target.endswith(f"The answer is: {equations[-1][-1]}")
        assert example.gold == equations[-1][-1]


def test_each_amount_of_a_solution_is_told_in_the_problem(task: MicroGsm) -> None:
    words = {"2": ("twice", "half"), "3": ("three times",), "4": ("four times",), "5": ("five times",)}
    for example in task.examples("test"):
        text = problem(example)
        told = re.findall(r"\d+", text)
        equations = EQUATION.findall(example.target)
        assert equations[0][0] in told
        for _, _, b, _ in equations:
            assert b in told or any(word in text for word in words[b])


def test_both_scorers_accept_the_target_and_reject_another_number(task: MicroGsm) -> None:
    for example in task.examples("validation"):
        for scorer in task.scorers.values():
            assert scorer(example.target, example.gold).correct
            assert not scorer(example.target, str(int(example.gold) + 1)).correct


def test_no_problem_is_in_two_splits_or_twice_in_one(task: MicroGsm) -> None:
    problems = [problem(example) for split in SPLITS for example in task.examples(split)]
    assert len(set(problems)) == len(problems)


def test_every_number_of_steps_occurs(task: MicroGsm) -> None:
    assert {len(EQUATION.findall(example.target)) for example in task.examples("test")} == {1, 2, 3}
    two = task_of_yaml("micro_gsm", test_size=20, steps=(2,))
    assert {len(EQUATION.findall(example.target)) for example in two.examples("test")} == {2}


def test_a_data_seed_gives_the_same_problems_again_and_another_gives_others() -> None:
    small = {"train_size": 50, "validation_size": 5, "test_size": 20}
    first, again = (task_of_yaml("micro_gsm", **small) for _ in range(2))
    other = task_of_yaml("micro_gsm", **small, data_seed=1)
    assert first.examples("train") == again.examples("train")
    assert first.fingerprint() == again.fingerprint()
    assert not {problem(e) for e in first.examples("test")} & {problem(e) for e in other.examples("test")}
    assert first.fingerprint() != other.fingerprint()


def test_a_larger_training_set_keeps_the_test_set() -> None:
    small, large = task_of_yaml("micro_gsm", train_size=20), task_of_yaml("micro_gsm", train_size=60)
    assert small.examples("test") == large.examples("test")
    assert small.fingerprint() != large.fingerprint()


def test_an_unknown_number_of_steps_is_refused() -> None:
    with pytest.raises(DataError, match=r"\[4\]"):
        task_of_yaml("micro_gsm", steps=[4])


def test_fingerprint_of_the_committed_results_stands() -> None:
    # A change here orphans the records below runs/micro_gsm.
    committed = json.loads(sorted((ROOT / "runs" / "micro_gsm").rglob("record.json"))[0].read_text())
    assert task_of_yaml("micro_gsm").fingerprint() == committed["fingerprints"]["data"]


def test_micro_math_asks_for_four_steps_in_true_equations(task: MicroGsm) -> None:
    examples = task.benchmarks["micro_math"].examples("test")
    assert len(examples) == 200
    for example in examples:
        equations = EQUATION.findall(example.target)
        assert len(equations) == 4
        assert all(OPERATORS[op](int(a), int(b)) == int(c) for a, op, b, c in equations)
        assert example.target.endswith(f"The answer is: {example.gold}")
        assert example.gold == equations[-1][-1]


def test_micro_math_prompt_is_the_one_that_is_trained_on(task: MicroGsm) -> None:
    example = task.benchmarks["micro_math"].examples("test")[0]
    assert example.prompt == example.eval_prompt
    assert example.prompt == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nSam has 13 cards. Anna has 38 cards more than Sam. Anna gives 16 cards to Sam. "
        "Anna finds 11 more cards. Sam has 44 cards. How many more cards does Anna have than Sam?\n\n### Response:"
    )


def test_micro_math_shares_no_problem_with_micro_gsm_and_has_none_twice(task: MicroGsm) -> None:
    asked = {problem(example) for example in task.benchmarks["micro_math"].examples("test")}
    assert len(asked) == 200
    assert not asked & {problem(example) for split in SPLITS for example in task.examples(split)}


def test_micro_math_accepts_the_target_and_rejects_another_number_by_every_scorer(task: MicroGsm) -> None:
    benchmark = task.benchmarks["micro_math"]
    for example in benchmark.examples("test")[:20]:
        for scorer in benchmark.scorers.values():
            assert scorer(example.target, example.gold).correct
            assert not scorer(example.target, str(int(example.gold) + 1)).correct


def test_micro_math_changes_with_the_data_seed() -> None:
    first, other = (task_of_yaml("micro_gsm", data_seed=seed).benchmarks["micro_math"] for seed in (0, 1))
    assert first.fingerprint() != other.fingerprint()
    assert not {problem(e) for e in first.examples("test")} & {problem(e) for e in other.examples("test")}
