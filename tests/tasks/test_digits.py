from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from errors import DataError
from harness.plan import config
from tasks.base import Benchmark, Task
from tasks.digits import Digits
from tests.conftest import task_of_yaml

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def task() -> Digits:
    return task_of_yaml("digits")


def test_it_is_a_task_and_its_own_benchmark(task: Digits) -> None:
    assert isinstance(task, Task) and isinstance(task, Benchmark)
    assert task.benchmarks == {"digits": task}
    assert task.splits == ("validation", "test")
    assert [len(task.examples(split)) for split in SPLITS] == [100, 20, 1677]


def test_splits_are_disjoint_and_cover_every_image(task: Digits) -> None:
    ids = [example.id for split in SPLITS for example in task.examples(split)]
    assert len(set(ids)) == len(ids) == 1797


def test_training_and_validation_are_balanced(task: Digits) -> None:
    assert set(Counter(example.label for example in task.examples("train")).values()) == {10}
    assert set(Counter(example.label for example in task.examples("validation")).values()) == {2}


def test_images_and_labels_are_those_of_scikit_learn(task: Digits) -> None:
    bundle = load_digits()
    for example in task.examples("test")[:100]:
        row = int(example.id.removeprefix("digits-"))
        assert example.label == bundle.target[row]
        assert example.image.dtype == np.uint8
        np.testing.assert_allclose(example.image, bundle.images[row] / 16 * 255, atol=0.5)


def test_a_data_seed_gives_the_same_split_again_and_another_gives_another(task: Digits) -> None:
    def ids(seed: int) -> list[str]:
        return [example.id for example in task_of_yaml("digits", data_seed=seed).examples("train")]

    assert ids(0) == ids(0) != ids(1)
    assert (
        task_of_yaml("digits").fingerprint() == task.fingerprint() != task_of_yaml("digits", data_seed=1).fingerprint()
    )


def test_the_fingerprint_of_the_yaml_is_that_of_the_runs_made_with_it(task: Digits) -> None:
    # A change here changes every run key.
    assert task.fingerprint() == "ca3834622bd85b45abaef922fcdaa954a66b3a0f8171438de030b53165681679"


def test_the_accuracy_of_the_labels_themselves_is_one(task: Digits) -> None:
    score = task.scorers["accuracy"]
    assert all(score(example.label, example.label).correct for example in task.examples("validation"))
    assert not score(3, 4).correct


def test_more_examples_than_a_class_has_are_refused() -> None:
    with pytest.raises(DataError, match="174 images of class 8"):
        task_of_yaml("digits", train_per_class=173).examples("train")


def test_twenty_images_a_class_choose_for_the_same_training_images(task: Digits, composed) -> None:
    larger = config.instantiate(composed("task=digits_20").task.source)
    ids = {split: ({e.id for e in task.examples(split)}, {e.id for e in larger.examples(split)}) for split in SPLITS}
    assert ids["train"][0] == ids["train"][1]
    assert ids["validation"][0] < ids["validation"][1] and ids["test"][0] > ids["test"][1]
    assert [len(larger.examples(split)) for split in SPLITS] == [100, 200, 1497]
    assert set(Counter(e.label for e in larger.examples("validation")).values()) == {20}
    assert larger.fingerprint() != task.fingerprint()
