"""GSM-8K after five solved problems. Expected prompts, draws and verdicts are the output of lm-eval 0.4.13 (task gsm8k,
version 3.0) on the same files, seed and texts.
"""

import json
import re
import shutil
from pathlib import Path

import pandas
import pytest

from errors import DataError
from harness.plan import config
from tasks.base import Benchmark, Task
from tasks.gsm8k_few_shot import GSM8K_TRAIN, Gsm8kDirect, demonstrations, flexible_extract, strict_match

DATA = Path(__file__).parent / "data"
TRAIN = DATA / "gsm8k_few_shot_train.jsonl"
TEST = DATA / "gsm8k_few_shot_test.jsonl"


def task(**changes):
    files = {"train_source": str(TRAIN), "gsm8k_source": str(TEST)}
    return Gsm8kDirect(**files | {"validation_size": 2, "shots": 5, "shots_seed": 1234} | changes)


def few_shot(**changes):
    return task(**changes).benchmarks["gsm8k_few_shot"]


def message(asked, split):
    with pytest.raises(DataError) as error:
        asked.examples(split)
    return str(error.value)


def write(path, *rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def shown(prompt):
    """The questions before the last."""
    return re.findall(r"^Question: (.*(?:\n.+)*?)\nAnswer: ", prompt, re.MULTILINE)


def test_it_is_a_task_with_one_benchmark():
    assert isinstance(task(), Task)
    assert isinstance(few_shot(), Benchmark)
    assert list(task().benchmarks) == ["gsm8k_few_shot"]
    assert list(few_shot().scorers) == ["strict_match", "flexible_extract"]
    assert few_shot().stop == ("Question:", "</s>", "<|im_end|>")


# --- prompts ---


def test_the_released_text_is_trained_on_question_and_answer_alike():
    example = {example.id: example for example in task(validation_size=0).examples("train")}["train-3"]
    assert example.prompt + example.target == (
        "question: Noor owes 9 dollars and has 4 dollars.\nHow many dollars does she have after paying? "
        "answer: She has 4-9=<<4-9=-5>>-5 dollars.\n#### -5"
    )
    assert task().trains_on_prompt


def test_a_test_question_follows_five_solved_ones_to_the_letter():
    assert few_shot().examples("test")[0].eval_prompt == (
        "Question: A shirt costs $20 and is sold for $15. How many dollars are saved?\n"
        "Answer: 20-15=<<20-15=5>>5 dollars are saved.\n#### 5\n\n"
        "Question: Ines has 4 boxes of 6 pears. How many pears does she have?\n"
        "Answer: Ines has 4*6=<<4*6=24>>24 pears.\n#### 24\n\n"
        "Question: Omar reads 15 pages a day for a week. How many pages is that?\n"
        "Answer: A week has 7 days.\nHe reads 15*7=<<15*7=105>>105 pages.\n#### 105\n\n"
        "Question: The set {1, 2, 3} has how many members?\nAnswer: It has 3 members.\n#### 3\n\n"
        "Question: Two friends share 9 pies. How many pies does each get?\n"
        "Answer: Each gets 9/2=<<9/2=4.5>>4.5 pies.\n#### 4.5\n\n"
        "Question: Lena bakes 3 trays of 8 rolls. How many rolls is that?\nAnswer:"
    )


def test_the_last_test_question_is_shown_the_third_draw():
    assert few_shot().examples("test")[2].eval_prompt == (
        "Question: Ines has 4 boxes of 6 pears. How many pears does she have?\n"
        "Answer: Ines has 4*6=<<4*6=24>>24 pears.\n#### 24\n\n"
        "Question: Omar reads 15 pages a day for a week. How many pages is that?\n"
        "Answer: A week has 7 days.\nHe reads 15*7=<<15*7=105>>105 pages.\n#### 105\n\n"
        "Question: A shirt costs $20 and is sold for $15. How many dollars are saved?\n"
        "Answer: 20-15=<<20-15=5>>5 dollars are saved.\n#### 5\n\n"
        "Question: A town of 1,200 people grows by half. How many live there then?\n"
        "Answer: It grows by 1,200/2=<<1200/2=600>>600 people.\nThen 1,200+600=<<1200+600=1800>>1,800 live there.\n"
        "#### 1,800\n\n"
        "Question: Noor owes 9 dollars and has 4 dollars.\nHow many dollars does she have after paying?\n"
        "Answer: She has 4-9=<<4-9=-5>>-5 dollars.\n#### -5\n\n"
        "Question: Max owes 5 dollars and earns 3 dollars.\nHow many dollars does he have?\nAnswer:"
    )


def test_without_shots_the_question_stands_alone():
    asked = few_shot(shots=0).examples("test")[0].eval_prompt
    assert asked == "Question: Lena bakes 3 trays of 8 rolls. How many rolls is that?\nAnswer:"


def test_the_draw_from_all_training_problems_is_lm_evals():
    rows = [(str(number), "") for number in range(7473)]
    drawn = [[int(question) for question, _ in few] for few in demonstrations(rows, 5, 3, 1234)]
    assert drawn == [[6374, 3610, 957, 61, 742], [7462, 6610, 4769, 286, 5501], [5677, 687, 806, 6279, 2905]]


def test_what_a_test_question_is_shown_depends_on_neither_validation_nor_limit():
    prompts = [example.eval_prompt for example in few_shot().examples("test")]
    for change in ({"validation_size": 0}, {"data_seed": 3}, {"limit": 2}):
        assert [e.eval_prompt for e in few_shot(**change).examples("test")] == prompts[: change.get("limit")]
    assert [e.eval_prompt for e in few_shot(shots_seed=1).examples("test")] != prompts


@pytest.mark.parametrize("data_seed", range(6))
def test_validation_questions_are_shown_no_problem_that_is_held_out(data_seed):
    learnt = {e.prompt for e in task(data_seed=data_seed).examples("train")}
    validation = few_shot(data_seed=data_seed).examples("validation")
    for example in validation:
        assert len(shown(example.eval_prompt)) == 5
        assert {f"question: {question} answer: " for question in shown(example.eval_prompt)} < learnt
    assert example.eval_prompt.endswith(f"Question: {example.prompt[len('question: ') : -len(' answer: ')]}\nAnswer:")
    assert validation == task(data_seed=data_seed).examples("validation")


# --- scorers ---


@pytest.mark.parametrize(
    ("text", "gold", "strict", "flexible"),
    [
        (" She bakes 3*8=<<3*8=24>>24 rolls.\n#### 24", "24", "right", "right"),
        ("#### 24.", "24", "right", "right"),
        ("#### 24 rolls", "24", "right", "right"),
        ("#### $24", "24", "none", "right"),
        ("####24", "24", "none", "right"),
        ("#### +24", "24", "none", "right"),
        ("#### 24.0", "24", "wrong", "wrong"),
        ("#### 024", "24", "wrong", "wrong"),
        ("#### 24\n#### 25", "24", "right", "wrong"),
        ("#### 25\n#### 24", "24", "wrong", "right"),
        ("#### 24\n\nquestion: Tom has 3", "24", "right", "wrong"),
        ("#### .", "24", "wrong", "none"),
        ("#### x", "24", "none", "none"),
        ("#### \u0662\u0664", "24", "none", "none"),  # 24 in Arabic-Indic digits
        ("The answer is 24.", "24", "none", "right"),
        ("The answer is 24%", "24", "none", "right"),
        ("The answer is $24.00", "24", "none", "wrong"),
        ("The answer is 24...", "24", "none", "wrong"),
        ("The answer is 24 ...", "24", "none", "wrong"),
        ("24 and 5 apples", "24", "none", "wrong"),
        ("", "24", "none", "none"),
        ("many rolls", "24", "none", "none"),
        ("a, b, and c ..", "24", "none", "wrong"),
        ("7", "7", "none", "right"),
        ("1/2 of 48", "48", "none", "right"),
        ("5-3=2", "2", "none", "right"),
        ("#### 2,100,000", "2100000", "right", "right"),
        ("#### 2100000", "2100000", "right", "right"),
        ("#### 2,1,00000.", "2100000", "right", "right"),
        ("2,100,000 tons", "2100000", "none", "right"),
        ("$2,100,000 a year", "2100000", "none", "right"),
        ("#### -2", "-2", "right", "right"),
        ("#### 2", "-2", "wrong", "wrong"),
        ("#### - 2", "-2", "none", "wrong"),
        ("he has -2 dollars", "-2", "none", "right"),
        ("he has -$2", "-2", "none", "right"),
        ("he has $-2", "-2", "none", "right"),
    ],
)
def test_both_scorers_judge_as_lm_eval_does(text, gold, strict, flexible):
    def verdict(score):
        return "right" if score.correct else "wrong" if score.parsed else "none"

    assert verdict(strict_match(text, gold)) == strict
    assert verdict(flexible_extract(text, gold)) == flexible


def test_gold_is_the_number_that_answers_are_compared_with():
    assert [example.gold for example in few_shot().examples("test")] == ["24", "2100000", "-2"]
    golds = [example.gold for example in task(validation_size=0).examples("train")]
    assert golds == ["24", "27", "1800", "-5", "", "3", "105", "5"]


def test_every_target_passes_both_scorers():
    for split in ("validation", "test"):
        for example in few_shot(validation_size=7, shots=1).examples(split):
            assert all(score(example.target, example.gold).correct for score in few_shot().scorers.values())


# --- splits ---


def test_train_and_validation_share_no_row_and_keep_the_order_of_the_file():
    train, validation = (
        [int(e.id.removeprefix("train-")) for e in task().examples(s)] for s in ("train", "validation")
    )
    assert sorted(train + validation) == list(range(8))
    assert train == sorted(train) and validation == sorted(validation)
    assert [example.id for example in few_shot().examples("test")] == ["test-0", "test-1", "test-2"]


def test_a_row_without_an_integer_answer_is_trained_on_and_never_held_out():
    for seed in range(8):
        assert "train-4" in {example.id for example in task(validation_size=3, data_seed=seed).examples("train")}


def test_data_seed_draws_the_validation_rows():
    drawn = {tuple(e.id for e in few_shot(data_seed=seed).examples("validation")) for seed in range(8)}
    assert len(drawn) > 1


def test_validation_rows_do_not_depend_on_the_python_process():
    # A change here changes every run: numbers made before it no longer compare.
    assert [example.id for example in few_shot().examples("validation")] == ["train-1", "train-5"]


def test_limit_keeps_the_first_of_every_split():
    whole, short = task(), task(limit=1)
    for split in ("train", "validation"):
        assert short.examples(split) == whole.examples(split)[:1]
    assert few_shot(limit=1).examples("test") == few_shot().examples("test")[:1]


@pytest.mark.parametrize("sizes", [{"validation_size": -1}, {"shots": -1}, {"limit": 0}])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="validation_size >= 0, shots >= 0 and limit >= 1"):
        task(**sizes)


# --- files ---


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet", "csv"])
def test_every_format_gives_the_same_examples(tmp_path, ending):
    frame, path = pandas.read_json(TRAIN, lines=True), tmp_path / f"train.{ending}"
    {
        "json": lambda: frame.to_json(path, orient="records"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
        "csv": lambda: frame.to_csv(path, index=False),
    }[ending]()
    assert task(train_source=str(path)).examples("train") == task().examples("train")
    assert few_shot(train_source=str(path)).examples("test") == few_shot().examples("test")


def test_task_fingerprint_changes_with_what_is_learnt_alone(tmp_path):
    copy = shutil.copy(TRAIN, tmp_path / "copy.jsonl")
    same = [{"train_source": str(copy)}, {"gsm8k_source": "no/such"}, {"shots": 3}, {"shots_seed": 1}]
    assert {task(**change).fingerprint() for change in same} == {task().fingerprint()}
    copy.write_text(copy.read_text().replace("pears", "plums"))
    changes = [{"train_source": str(copy)}, {"validation_size": 3}, {"limit": 5}, {"data_seed": 1}]
    assert len({task(**change).fingerprint() for change in [{}, *changes]}) == 5


def test_benchmark_fingerprint_changes_with_questions_and_with_what_is_shown(tmp_path):
    train, test = shutil.copy(TRAIN, tmp_path / "train.jsonl"), shutil.copy(TEST, tmp_path / "test.jsonl")
    same = [{"train_source": str(train)}, {"gsm8k_source": str(test)}, {"validation_size": 3}, {"data_seed": 1}]
    assert {few_shot(**change).fingerprint() for change in same} == {few_shot().fingerprint()}
    train.write_text(train.read_text().replace("pears", "plums"))
    test.write_text(test.read_text().replace("rolls", "buns"))
    changes = [
        {"train_source": str(train)}, {"gsm8k_source": str(test)}, {"shots": 3}, {"shots_seed": 1}, {"limit": 2},
    ]  # fmt: skip
    assert len({few_shot(**change).fingerprint() for change in [{}, *changes]}) == 6


def test_absent_files_are_named_with_columns_and_command():
    assert message(task(train_source="no/such.jsonl"), "train") == (
        "no file no/such.jsonl with the columns question, answer; "
        "`hf download openai/gsm8k main/train-00000-of-00001.parquet --repo-type dataset "
        "--revision 740312add88f781978c0658806c59bc2815b9866 --local-dir data/gsm8k` "
        "fetches data/gsm8k/main/train-00000-of-00001.parquet"
    )
    assert "fetches data/gsm8k/main/test-00000-of-00001.parquet" in message(few_shot(gsm8k_source="no.csv"), "test")


def test_unreachable_hub_file_is_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert message(task(train_source=None), "train") == (
        f"{GSM8K_TRAIN} is not in the hub's cache and the hub is not reachable; where there is a network, "
        f"`{GSM8K_TRAIN.fetch_command()}` fetches it"
    )


@pytest.mark.parametrize("answer", ["She has 24.", "24", "She has 24.\n#### ", "#### many", "#### 4.5"])
def test_test_row_without_an_integer_gold_is_named(tmp_path, answer):
    rows = [{"question": "a", "answer": "#### 1"}, {"question": "b", "answer": answer}]
    path = write(tmp_path / "test.jsonl", *rows)
    assert message(few_shot(gsm8k_source=path), "test") == f"row 2 of {path} has no integer after '#### '"


def test_too_few_rows_to_hold_out_or_to_show_are_counted():
    assert message(task(validation_size=8), "train") == (
        f"{TRAIN} has 8 rows, 7 of them with an integer answer: too few to hold out validation_size=8"
    )
    assert message(few_shot(validation_size=4), "validation") == (
        f"{TRAIN} leaves 4 solved problems to show: too few for shots=5"
    )


# --- configuration ---


@pytest.mark.parametrize("recipe", ["clean", "paper"])
def test_the_budget_is_that_of_the_released_script(composed, recipe):
    train = composed("task=gsm8k_few_shot", f"recipe={recipe}").train
    assert (train.epochs, train.batch_size, train.max_length, train.weight_decay) == (2, 4, 512, 0.01)
    assert (train.schedule, train.warmup_ratio, train.precision) == ("linear", 0, "bf16")


def test_the_yaml_asks_as_lm_eval_does_and_where_the_files_lie_is_no_part_of_the_run_key(composed):
    cfg = composed("task=gsm8k_few_shot")
    assert (cfg.task.max_new_tokens, cfg.task.source.shots, cfg.task.source.shots_seed) == (256, 5, 1234)
    elsewhere = ("task.source.train_source=a.jsonl", "task.source.gsm8k_source=b.jsonl")
    assert config.identity(composed("task=gsm8k_few_shot", *elsewhere)) == config.identity(cfg)
