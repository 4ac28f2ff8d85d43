"""Answers at the end of a solution, as in GSM-8K's and MetaMathQA's own files; and the first of every split."""

import copy
import json
from pathlib import Path

import pytest
from omegaconf import open_dict

from errors import DataError, SettingError
from harness.plan import config
from tasks.base import ItemScore
from tests.tasks.test_own_text import DATA, all_of, classification, generation

RIGHT, WRONG = ItemScore(correct=True), ItemScore(correct=False)
UNPARSED = ItemScore(correct=False, parsed=False)
GSM8K = {"train": str(DATA / "gsm8k_few_shot_train.jsonl"), "prompt": "question", "target": "answer"}
METAMATHQA = {"train": str(DATA / "metamathqa.json"), "prompt": "query", "target": "response"}


def test_gsm8ks_own_file_is_a_task_by_one_option():
    task = generation(**GSM8K, gold_after="####")
    rows = [json.loads(line) for line in Path(GSM8K["train"]).read_text().splitlines()]
    with_answers = [row for row in rows if row["answer"].rpartition("####")[1]]
    found = all_of(task)
    assert [found[n].gold for n in sorted(found)] == [row["answer"].rpartition("#### ")[2] for row in with_answers]
    assert [found[n].target for n in sorted(found)] == [row["answer"] for row in with_answers]
    exact = task.scorers["exact"]
    assert all(exact(example.target, example.gold) == RIGHT for example in found.values())
    assert exact("So it is 23.\n#### 23", "24") == WRONG
    assert exact("24", "24") == exact("#### ", "24") == UNPARSED
    with pytest.raises(DataError, match="scorer gsm8k_strict cannot read"):
        all_of(generation(**GSM8K, scorers=["gsm8k_strict"]))


@pytest.mark.parametrize("scorer", ["exact", "math_strict"])
def test_metamathqas_own_file_is_a_task_by_one_option(scorer):
    task = generation(**METAMATHQA, gold_after="The answer is:", scorers=[scorer])
    found = all_of(task)
    assert [found[n].gold for n in sorted(found)] == [
        "24",
        "24",
        "1,500",
        "1200",
        "4.5",
        "\\frac{1}{2}",
        "4",
        "33",
        "-2",
    ]
    assert all(task.scorers[scorer](example.target, example.gold) == RIGHT for example in found.values())
    assert task.notes == [
        f"{METAMATHQA['train']}: left out 1 of 10 rows with no answer after 'The answer is:' in 'response' (rows 10)"
    ]


def test_a_marker_that_is_nowhere_is_refused():
    with pytest.raises(DataError, match="there is no answer after '@@@' in 'answer'; task.source.gold_after says"):
        all_of(generation(**GSM8K, gold_after="@@@"))
    with pytest.raises(SettingError, match="gold_after is the text that answers follow"):
        generation(**GSM8K, gold_after=" ")


@pytest.mark.parametrize("task", [classification, generation])
def test_a_limit_keeps_the_first_examples_of_every_split(task):
    whole, short = task(test_share=0.4), task(test_share=0.4, limit=2)
    for split in ("train", "validation", "test"):
        assert short.examples(split) == whole.examples(split)[:2]
    assert len({each.fingerprint() for each in (whole, short, task(test_share=0.4, limit=3))}) == 3
    with pytest.raises(SettingError, match=r"limit >= 1 \(or null\), not 0"):
        task(limit=0)


@pytest.mark.parametrize(
    ("task", "fingerprint"),
    [
        (generation, "d464aaf512e02b7f88e7e193f1f644d970612627b21ed7bbc80ece7185d1c654"),
        (classification, "c171b412ecd7601ceb91a198b7a075f6cdeb3cd4cb6ebb95b7491ae7f74770e7"),
    ],
)
def test_without_the_options_that_came_later_a_fingerprint_is_what_it_was(task, fingerprint):
    # A change here takes every finished run on such data out of sight.
    assert task().fingerprint() == fingerprint


@pytest.mark.parametrize(
    ("name", "later"), [("generation", ["limit", "gold_after"]), ("classification", ["limit", "class_names"])]
)
def test_options_that_came_later_are_in_the_key_only_where_they_are_used(composed, name, later):
    cfg = composed(f"task={name}", "task.source.train=a.csv")
    before = copy.deepcopy(cfg)
    with open_dict(before):
        for option in later:
            assert before.task.source.pop(option) is None
        assert config.identity(cfg) == config.identity(before)
        before.task.source.limit = 3
    assert config.identity(cfg) != config.identity(before)


def test_a_limit_that_a_task_had_from_the_start_is_in_its_key(composed):
    cfg = composed("task=glue_rte", "model=deberta_v3_base")
    without = copy.deepcopy(cfg)
    with open_dict(without):
        del without.task.source.limit
    assert config.identity(cfg) != config.identity(without)
