"""What every task must do, over every conf/task/*.yaml. A new task is held to all of this by having a yaml."""

import pytest
from omegaconf import open_dict

from harness import config
from tasks.base import ImageExample, ItemScore, Task, TextExample
from tests.conftest import ROOT

TASKS = sorted(path.stem for path in (ROOT / "conf" / "task").glob("*.yaml"))
DATA = ROOT / "tests" / "tasks" / "data"
LOCAL = {  # small files with the real columns, in the place of what would be downloaded
    "gsm8k": {
        "train_source": str(DATA / "metamathqa.json"), "test_source": str(DATA / "gsm8k_test.jsonl"),
        "validation_size": 2,
    },
}  # fmt: skip
EXAMPLE = {"generation": TextExample, "image_classification": ImageExample}


def make(composed, name: str, *overrides: str) -> Task:
    cfg = composed(f"task={name}", *overrides)
    with open_dict(cfg):
        for key, value in LOCAL.get(name, {}).items():
            cfg.task.source[key] = value
    return config.instantiate(cfg.task.source)


@pytest.fixture(params=TASKS)
def name(request):
    return request.param


def test_a_task_has_what_the_harness_relies_on(composed, name):
    task = make(composed, name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task.scorers


def test_splits_are_disjoint_and_of_the_kind_that_the_task_states(composed, name):
    task = make(composed, name)
    splits = {split: task.examples(split) for split in ("train", "validation", "test")}
    assert all(isinstance(e, EXAMPLE[task.kind]) for examples in splits.values() for e in examples)
    assert all(len(examples) > 0 for examples in splits.values())
    ids = [e.id for examples in splits.values() for e in examples]
    assert len(ids) == len(set(ids))


def test_the_same_configuration_gives_the_same_examples_and_fingerprint(composed, name):
    first, second = make(composed, name), make(composed, name)
    assert first.fingerprint() == second.fingerprint()
    assert [e.id for e in first.examples("train")] == [e.id for e in second.examples("train")]


def test_another_data_seed_gives_another_fingerprint(composed, name):
    assert make(composed, name).fingerprint() != make(composed, name, "task.data_seed=1").fingerprint()


def test_a_right_answer_scores_as_right_and_a_wrong_one_as_wrong_by_every_scorer(composed, name):
    task = make(composed, name)
    for example in list(task.examples("validation"))[:20]:
        right = example.target if isinstance(example, TextExample) else example.label
        gold = example.gold if isinstance(example, TextExample) else example.label
        wrong = "I do not know." if isinstance(example, TextExample) else example.label + 1
        for scorer in task.scorers.values():
            assert scorer(right, gold) == ItemScore(correct=True)
            assert not scorer(wrong, gold).correct
