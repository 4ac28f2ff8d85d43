"""Rows of a file are asked as a task's own rows are."""

import json

import pytest

from errors import DataError
from harness.plan import config
from tasks.reading.tables import TableFile
from tests.test_task_contract import LOCAL


def task(composed, name: str):
    cfg = composed(f"task={name}")
    for key, value in LOCAL.get(name, {}).items():
        cfg.task.source[key] = value
    return config.instantiate(cfg.task.source)


def rows(path, values: list[dict]):
    path.write_text("".join(json.dumps(each) + "\n" for each in values))
    return TableFile(str(path)).rows()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("glue_mnli", ("premise", "hypothesis")),
        ("glue_sst2", ("sentence", None)),
        ("micro_rte", ("sentence1", "sentence2")),
    ],
)
def test_texts_and_pairs_are_those_of_the_benchmark(composed, tmp_path, name, columns):
    made = task(composed, name)
    examples = next(iter(made.benchmarks.values())).examples("test")[:5]
    values = [{c: t for c, t in zip(columns, (e.text, e.pair), strict=True) if c} for e in examples]
    asked = made.questions(rows(tmp_path / "rows.jsonl", values))
    assert [(e.text, e.pair) for e in asked] == [(e.text, e.pair) for e in examples]


def test_problems_are_asked_with_the_prompt_of_the_benchmark(composed, tmp_path):
    for name, benchmark in (("metamath", "gsm8k"), ("micro_gsm", "micro_gsm")):
        made = task(composed, name)
        examples = made.benchmarks[benchmark].examples("test")[:3]
        marks = "### Instruction:\n", "\n\n### Response:"
        problems = [e.prompt.partition(marks[0])[2].partition(marks[1])[0] for e in examples]
        asked = made.questions(rows(tmp_path / "rows.jsonl", [{"question": problem} for problem in problems]))
        assert [e.eval_prompt for e in asked] == [e.eval_prompt for e in examples]


def test_questions_of_choices_are_asked_with_the_prompt_and_the_choices_of_the_benchmark(composed, tmp_path):
    for name in ("micro_commonsense", "commonsense"):
        made = task(composed, name)
        for benchmark in list(made.benchmarks.values())[:2]:
            examples = benchmark.examples("test")[:3]
            marks = "### Instruction:", "### Response:"
            texts = [e.eval_prompt.partition(marks[0])[2].partition(marks[1])[0].strip() for e in examples]
            asked = made.questions(rows(tmp_path / "rows.jsonl", [{"instruction": text} for text in texts]))
            assert [(e.eval_prompt, e.choices) for e in asked] == [(e.eval_prompt, e.choices) for e in examples]


def test_the_problems_shown_before_a_question_are_those_before_the_test_question_of_its_number(composed, tmp_path):
    made = task(composed, "gsm8k_few_shot")
    (benchmark,) = made.benchmarks.values()
    examples = benchmark.examples("test")[:3]
    problems = [e.prompt.removeprefix("question: ").removesuffix(" answer: ") for e in examples]
    asked = made.questions(rows(tmp_path / "rows.jsonl", [{"question": problem} for problem in problems]))
    assert [e.eval_prompt for e in asked] == [e.eval_prompt for e in examples]


def test_a_column_that_is_missing_is_named(composed, tmp_path):
    for name, column in (("metamath", "question"), ("glue_sst2", "sentence"), ("generation", "question")):
        with pytest.raises(DataError, match=f"row 1 of .* has no column '{column}'; its columns are other"):
            task(composed, name).questions(rows(tmp_path / "rows.jsonl", [{"other": "text"}]))
