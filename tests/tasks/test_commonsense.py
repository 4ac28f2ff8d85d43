"""Commonsense on nine small files with the columns and the layout of the released ones, content invented."""

import json
import re
import shutil
from pathlib import Path

import pytest

from errors import DataError
from tasks.base import Benchmark, ItemScore, Task
from tasks.commonsense import FOLDERS, Commonsense, questions
from tasks.scoring.commonsense import LABELS, legacy, strict

DATA = Path(__file__).parent / "data" / "commonsense"
ORDER = ["boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc_e", "arc_c", "obqa"]
WRONG, UNPARSED = ItemScore(correct=False), ItemScore(correct=False, parsed=False)


def commonsense(**changes):
    settings = {"root": str(DATA), "validation_size": 3, "loss_on": "prompt_and_answer", "beams": 4}
    return Commonsense(**settings | changes)


def written(text: str) -> dict[str, str]:
    return {"text": text, "likeliest": ""}


def ranked(choice: str) -> dict[str, str]:
    return {"text": "", "likeliest": choice}


def write(root: Path, *rows: dict) -> str:
    root.mkdir(exist_ok=True)
    (root / "commonsense_15k.json").write_text(json.dumps(rows))
    return str(root)


def message(call, *arguments) -> str:
    with pytest.raises(DataError) as error:
        call(*arguments)
    return str(error.value)


# --- legacy and strict ---


@pytest.mark.parametrize(
    ("text", "gold", "verdict"),
    [
        ("the correct answer is true", "true", ItemScore(correct=True)),
        ("the correct answer is false", "true", WRONG),
        (" \n the correct answer is option2\n\nthe correct answer is option1", "option2", ItemScore(correct=True)),
        # The first hit counts, whatever it stands in.
        ("It is true that kettles boil, so the correct answer is false", "false", WRONG),
        ("Of answer1 and answer2 the correct answer is answer2", "answer2", WRONG),
        ("untrue", "true", ItemScore(correct=True)),
        ("the correct answer is answer11", "answer1", ItemScore(correct=True)),
        ("the correct answer is answer5", "answer5", ItemScore(correct=True)),
        ("the correct answer is answer6", "answer1", UNPARSED),
        # Case, a space or a number in words is a miss.
        ("", "true", UNPARSED),
        ("True", "true", UNPARSED),
        ("The correct answer is Ending 3", "ending3", UNPARSED),
        ("the second solution", "solution2", UNPARSED),
        # A label of another set is none of this one.
        ("the correct answer is solution1", "option1", UNPARSED),
        ("the correct answer is answer1", "ending1", UNPARSED),
        ("not option1, ending3", "ending3", ItemScore(correct=True)),
        # The released evaluation reads on to the next response only.
        ("I pass.\n\n### Response:\nthe correct answer is true", "true", UNPARSED),
    ],
)
def test_legacy_takes_the_first_label_of_the_gold_s_kind(text, gold, verdict):
    assert legacy(written(text), gold) == verdict


def released_extraction(folder: str, sentence: str) -> str:
    """The rules of `commonsense_evaluate.py`, spelled out by the folder of a test set."""
    patterns = {
        "boolq": "true|false", "piqa": "solution1|solution2", "hellaswag": "ending1|ending2|ending3|ending4",
        "winogrande": "option1|option2",
    }  # fmt: skip
    found = re.findall(patterns.get(folder, "answer1|answer2|answer3|answer4|answer5"), sentence.strip())
    return found[0] if found else ""


@pytest.mark.parametrize("name", ORDER)
def test_legacy_is_the_released_extraction_on_every_set(name):
    texts = [f"{a} {b}" for a in ("true", "answer3", "Option1", "ending4") for b in ("option2", "solution1", "false")]
    for gold in LABELS[name]:
        for text in [*texts, *(f"so {label}." for labels in LABELS.values() for label in labels)]:
            predicted = released_extraction(FOLDERS[name], text)
            assert legacy(written(text), gold) == ItemScore(correct=predicted == gold, parsed=predicted != "")


def test_strict_asks_for_the_choice_that_names_the_gold_answer_and_reads_no_text():
    assert strict(ranked("the correct answer is answer1"), "answer1") == ItemScore(correct=True)
    assert strict(ranked("the correct answer is answer11"), "answer1") == WRONG
    assert strict({"text": "the correct answer is true", "likeliest": "the correct answer is false"}, "true") == WRONG


def test_a_gold_answer_that_is_no_label_is_an_error_of_the_data():
    with pytest.raises(ValueError, match="the gold answer 'maybe' is none of the labels true, false, solution1"):
        legacy(written("true"), "maybe")


# --- task and benchmarks ---


def test_commonsense_is_a_task_with_eight_benchmarks_in_the_paper_s_order_and_the_one_held_out():
    task = commonsense()
    assert isinstance(task, Task)
    assert all(isinstance(benchmark, Benchmark) for benchmark in task.benchmarks.values())
    assert list(task.benchmarks) == [*ORDER, "commonsense_held_out"]
    assert [name for name, benchmark in task.benchmarks.items() if benchmark.name == name] == list(task.benchmarks)
    assert [tuple(b.splits) for b in task.benchmarks.values()] == [("test",)] * 8 + [("validation",)]
    assert {b.beams for b in task.benchmarks.values()} == {4}
    assert list(task.benchmarks["boolq"].scorers) == ["legacy", "strict", "answer_loss"]


def test_a_training_example_is_the_released_prompt_and_output():
    example = next(e for e in commonsense(validation_size=0).examples("train") if e.id == "train-4")
    instruction = (
        "Please choose the correct answer to fill in the blank to complete the given sentence: "
        "The bag tore because the _ was too thin.\n\nOption1: stone Option2: bag Answer format: option1/option2"
    )
    assert example.prompt + example.target == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.  \n\n"
        f"                ### Instruction:\n                {instruction}\n                \n"
        "                ### Response:\n                the correct answer is option2"
    )
    assert example.eval_prompt == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request. \n\n"
        f"                ### Instruction:\n                {instruction}\n\n"
        "                ### Response:\n                "
    )
    assert example.gold == "option2"


def test_a_choice_continues_the_evaluation_prompt_as_the_target_does_the_training_prompt():
    for benchmark in list(commonsense().benchmarks.values())[:8]:
        for example in benchmark.examples("test"):
            assert example.target in example.choices
            assert example.prompt.endswith("### Response:\n" + " " * 16)
            assert example.eval_prompt.endswith("### Response:\n" + " " * 16)


def test_choices_are_as_many_as_the_question_offers():
    def offered(name):
        return [len(example.choices) for example in commonsense().benchmarks[name].examples("test")]

    assert {name: set(offered(name)) for name in ORDER} == {
        "boolq": {2}, "piqa": {2}, "siqa": {3}, "hellaswag": {4}, "winogrande": {2},
        "arc_e": {3, 4}, "arc_c": {4, 5}, "obqa": {4},
    }  # fmt: skip
    assert offered("arc_e") == [4, 4, 4, 4, 3, 4]
    assert commonsense().benchmarks["arc_e"].examples("test")[4].choices == (
        "the correct answer is answer1", "the correct answer is answer2", "the correct answer is answer3",
    )  # fmt: skip


def test_without_labels_at_the_end_of_the_instruction_the_choices_are_the_golds_of_the_same_kind():
    rows = [
        ("Which? Answer1: a Answer2: b", "", "", "answer2"),
        ("Which? Answer format: answer1/answer2. Choose.", "", "", "answer4"),
        ("Which?\n\nAnswer format: answer1/answer2", "", "", "answer1"),
        ("Which?\n\nAnswer format: answer1/answer2", "", "", "answer4"),  # offers less than its gold answer
        ("Is it?", "", "", "true"),
    ]
    labels = [
        tuple(c.removeprefix("the correct answer is ") for c in e.choices) for e in questions(rows, "x", "a.json")
    ]
    golds = ("answer1", "answer2", "answer4")
    assert labels == [golds, golds, ("answer1", "answer2"), golds, ("true",)]


def test_every_right_answer_passes_every_scorer():
    for benchmark in commonsense().benchmarks.values():
        for example in benchmark.examples(benchmark.splits[0]):
            right = {"text": example.target, "likeliest": example.target}
            assert all(scorer(right, example.gold).correct for scorer in (legacy, strict))


def test_the_loss_of_a_question_is_that_of_the_choice_which_names_its_label():
    scorer = commonsense().benchmarks["boolq"].scorers["answer_loss"]
    prediction = {"log_likelihoods": {"the correct answer is true": -0.25, "the correct answer is false": -1.5}}
    assert (scorer.value(prediction, "true"), scorer.value(prediction, "false")) == (0.25, 1.5)


def test_other_files_of_the_same_columns_can_be_trained_on(tmp_path):
    for folder in ("boolq", "ARC-Easy"):
        (tmp_path / folder).mkdir()
        shutil.copy(DATA / folder / "test.json", tmp_path / folder / "train.json")
    task = commonsense(train_source=f"{tmp_path}/*/train.json", validation_size=0)
    expected = [e.eval_prompt for name in ("arc_e", "boolq") for e in commonsense().benchmarks[name].examples("test")]
    assert [e.eval_prompt for e in task.examples("train")] == expected
    assert task.benchmarks["piqa"].examples("test") == commonsense().benchmarks["piqa"].examples("test")
    assert [file.name for file in task.files()] == [f"{tmp_path}/*/train.json"]


def test_train_and_validation_share_no_row_and_keep_the_order_of_the_file():
    task = commonsense()
    train, validation = ([int(e.id.removeprefix("train-")) for e in task.examples(s)] for s in ("train", "validation"))
    assert len(validation) == 3
    assert sorted(train + validation) == list(range(9))
    assert train == sorted(train) and validation == sorted(validation)
    assert task.benchmarks["commonsense_held_out"].examples("validation") == task.examples("validation")


def test_validation_rows_depend_on_the_data_seed_and_not_on_the_python_process():
    # A change here changes every run: numbers made before it no longer compare.
    assert [example.id for example in commonsense().examples("validation")] == ["train-0", "train-2", "train-4"]
    assert len({tuple(e.id for e in commonsense(data_seed=seed).examples("validation")) for seed in range(8)}) > 1


def test_limit_keeps_the_first_of_every_split():
    whole, short = commonsense(), commonsense(limit=2)
    assert short.examples("train") == whole.examples("train")[:2]
    assert short.examples("validation") == whole.examples("validation")[:2]
    assert short.benchmarks["obqa"].examples("test") == whole.benchmarks["obqa"].examples("test")[:2]


def test_loss_on_says_whether_the_prompt_is_trained_on():
    assert commonsense().trains_on_prompt is True
    assert commonsense(loss_on="answer").trains_on_prompt is False
    with pytest.raises(ValueError, match="loss_on is one of prompt_and_answer, answer, not 'all'"):
        commonsense(loss_on="all")


@pytest.mark.parametrize("change", [{"validation_size": -1}, {"limit": 0}, {"beams": 0}])
def test_impossible_sizes_are_refused(change):
    with pytest.raises(ValueError, match=r"validation_size >= 0, beams >= 1 and limit >= 1 \(or null\), not"):
        commonsense(**change)


# --- files ---


def test_a_test_file_is_read_only_when_its_benchmark_is_asked_for(tmp_path):
    shutil.copy(DATA / "commonsense_15k.json", tmp_path)
    shutil.copytree(DATA / "piqa", tmp_path / "piqa")
    task = commonsense(root=str(tmp_path))
    task.fingerprint()
    assert len(task.examples("train")) == 6
    assert len(task.benchmarks["piqa"].examples("test")) == 6
    assert "boolq/test.json" in message(task.benchmarks["boolq"].examples, "test")


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_an_absent_test_file_is_named_with_columns_and_command(folder):
    name = next(name for name in FOLDERS if FOLDERS[name] == folder)
    assert message(commonsense(root="no/such").benchmarks[name].examples, "test") == (
        f"no file no/such/{folder}/test.json with the columns instruction, input, output, answer; "
        f"`curl -fL --create-dirs -o no/such/{folder}/test.json "
        f"https://raw.githubusercontent.com/AGI-Edgerunners/LLM-Adapters/main/dataset/{folder}/test.json` fetches it"
    )


def test_an_absent_training_file_is_named_with_columns_and_command():
    task = commonsense(root="no/such")
    expected = (
        "no file no/such/commonsense_15k.json with the columns instruction, input, output, answer; "
        "`curl -fL --create-dirs -o no/such/commonsense_15k.json "
        "https://raw.githubusercontent.com/AGI-Edgerunners/LLM-Adapters/main/ft-training_set/commonsense_15k.json` "
        "fetches it"
    )
    assert message(task.examples, "train") == message(task.fingerprint) == expected


def test_an_answer_that_is_no_label_is_named_with_its_row(tmp_path):
    row = {"instruction": "Is it?", "input": "", "output": "the correct answer is true", "answer": "true"}
    root = write(tmp_path, row, row | {"answer": "True"})
    assert message(commonsense(root=root, validation_size=0).examples, "train").startswith(
        f"row 2 of {root}/commonsense_15k.json: 'answer' is 'True', expected one of true, false, solution1, solution2, "
    )


def test_a_file_of_another_set_is_refused_at_its_first_row(tmp_path):
    shutil.copytree(DATA / "piqa", tmp_path / "boolq")
    assert message(commonsense(root=str(tmp_path)).benchmarks["boolq"].examples, "test") == (
        f"row 1 of {tmp_path}/boolq/test.json: 'answer' is 'solution1', not of true, false"
    )


def test_missing_columns_are_named_with_those_present(tmp_path):
    root = write(tmp_path, {"instruction": "Is it?", "output": "true"})
    assert message(commonsense(root=root).examples, "train") == (
        f"{root}/commonsense_15k.json has the columns instruction, output; expected instruction, input, output, answer"
    )


def test_validation_leaves_at_least_one_row_to_train_on():
    assert len(commonsense(validation_size=8).examples("train")) == 1
    assert message(commonsense(validation_size=9).examples, "train") == (
        f"{DATA}/commonsense_15k.json has 9 rows: validation_size=9 leaves none to train on"
    )


def test_fingerprints_follow_content_and_arguments_of_their_own_examples(tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(DATA, root)
    here, there = commonsense(), commonsense(root=str(root), name="other", beams=1)
    assert here.fingerprint() == there.fingerprint()
    before = {name: benchmark.fingerprint() for name, benchmark in here.benchmarks.items()}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in before.values())
    assert len(set(before.values())) == 9
    path = root / "ARC-Easy" / "test.json"
    path.write_text(path.read_text().replace("melts", "thaws"))
    assert there.fingerprint() == here.fingerprint()
    changed = [name for name in ORDER if there.benchmarks[name].fingerprint() != before[name]]
    assert changed == ["arc_e"]
    changes = [{}, {"validation_size": 2}, {"limit": 5}, {"data_seed": 1}]
    assert len({commonsense(**change).fingerprint() for change in changes}) == 4
    assert len({commonsense(**c).benchmarks["commonsense_held_out"].fingerprint() for c in changes}) == 4
