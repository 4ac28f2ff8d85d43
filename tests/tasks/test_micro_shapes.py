from collections import Counter

import numpy as np
import pytest

from errors import SettingError
from tasks.base import Benchmark, Task
from tasks.micro.shapes import CLASSES
from tasks.micro_shapes import MicroShapes
from tests.conftest import task_of_yaml

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def task() -> MicroShapes:
    return task_of_yaml("micro_shapes")


@pytest.fixture(scope="module")
def clean() -> dict[str, list[np.ndarray]]:
    """Images without noise, in [0, 1], by class."""
    images: dict[str, list[np.ndarray]] = {name: [] for name in CLASSES}
    for example in task_of_yaml("micro_shapes", noise=0.0).examples("test"):
        images[list(CLASSES)[example.label]].append(example.image / 255)
    return images


def test_it_is_a_task_of_eight_classes_and_its_own_benchmark(task):
    assert isinstance(task, Task) and isinstance(task, Benchmark)
    assert task.benchmarks == {"micro_shapes": task}
    assert task.num_classes == 8
    assert [len(task.examples(split)) for split in SPLITS] == [80, 16, 400]


def test_every_split_is_balanced(task):
    for split, per_class in zip(SPLITS, (10, 2, 50), strict=True):
        assert Counter(e.label for e in task.examples(split)) == dict.fromkeys(range(8), per_class)


def test_images_are_grey_bytes_of_the_micro_models_size_and_all_different(task):
    images = [example.image for split in SPLITS for example in task.examples(split)]
    assert all(image.shape == (16, 16) and image.dtype == np.uint8 for image in images)
    assert len({image.tobytes() for image in images}) == len(images)


def test_stripes_run_as_their_names_say(clean):
    def varies_along(image, axis):
        return np.abs(np.diff(image, axis=axis)).mean()

    assert all(varies_along(image, 1) > varies_along(image, 0) for image in clean["vertical stripes"])
    assert all(varies_along(image, 0) > varies_along(image, 1) for image in clean["horizontal stripes"])
    for image in clean["diagonal stripes"]:  # from the upper left to the lower right
        assert np.abs(image[1:, 1:] - image[:-1, :-1]).mean() < np.abs(image[1:, :-1] - image[:-1, 1:]).mean()


def test_a_ring_and_a_square_have_a_hole_and_a_disc_a_cross_and_a_triangle_have_none(clean):
    def centre_is_bright(image):
        lit = image > (image.min() + image.max()) / 2
        row, column = np.argwhere(lit).mean(0).round().astype(int)
        return bool(lit[row, column])

    assert not any(centre_is_bright(image) for name in ("ring", "square") for image in clean[name])
    assert all(centre_is_bright(image) for name in ("disc", "cross", "triangle") for image in clean[name])


def test_a_triangle_stands_on_its_base(clean):
    for image in clean["triangle"]:
        lit = image > (image.min() + image.max()) / 2
        rows = np.flatnonzero(lit.any(1))
        middle = rows.mean()
        assert lit[rows[rows > middle]].sum() > lit[rows[rows < middle]].sum()


def test_noise_has_the_stated_deviation():
    # Grey levels away from black and white, where nothing is cut off.
    noisy, clean = (task_of_yaml("micro_shapes", noise=noise).examples("test") for noise in (0.05, 0.0))
    values, truth = (np.stack([e.image for e in examples]) / 255 for examples in (noisy, clean))
    inside = (truth > 0.25) & (truth < 0.75)
    assert inside.sum() > 5000
    assert (values - truth)[inside].std() == pytest.approx(0.05, rel=0.03)


def test_a_data_seed_gives_the_same_images_again_and_another_gives_others(task):
    def images(seed):
        return [example.image.tobytes() for example in task_of_yaml("micro_shapes", data_seed=seed).examples("train")]

    assert images(0) == images(0)
    assert not set(images(0)) & set(images(1))
    assert task_of_yaml("micro_shapes").fingerprint() == task.fingerprint()


def test_every_setting_changes_the_fingerprint():
    changes = [{}, {"train_per_class": 9}, {"validation_per_class": 3}, {"test_per_class": 49}, {"noise": 0.2}]
    prints = {task_of_yaml("micro_shapes", **change).fingerprint() for change in [*changes, {"data_seed": 1}]}
    assert len(prints) == 6


def test_a_larger_split_keeps_the_images_of_the_smaller(task):
    few = {e.id: e.image.tobytes() for e in task_of_yaml("micro_shapes", train_per_class=3).examples("train")}
    many = {e.id: e.image.tobytes() for e in task.examples("train")}
    assert len(few) == 24
    assert few.items() <= many.items()


def test_images_do_not_depend_on_the_python_process(task):
    # A change here changes every run: numbers made before it no longer compare. GENERATOR_VERSION then rises.
    assert task.examples("train")[0].image[0, :8].tolist() == [89, 51, 39, 22, 93, 139, 121, 122]


def test_the_accuracy_of_the_labels_themselves_is_one(task):
    score = task.scorers["accuracy"]
    assert all(score(example.label, example.label).correct for example in task.examples("validation"))
    assert not score(3, 4).correct


@pytest.mark.parametrize("change", [{"train_per_class": 0}, {"test_per_class": -1}, {"noise": 1.5}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(SettingError, match="at least one image a class and 0 <= noise <= 1"):
        task_of_yaml("micro_shapes", **change)
