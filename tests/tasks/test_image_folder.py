"""A folder of images in both layouts."""

import re
from collections import Counter

import pytest
from omegaconf import OmegaConf
from PIL import Image

from errors import DataError, SettingError
from harness.modality.images import ImageClassification
from tasks.base import Benchmark, Task
from tasks.image_folder import ImageFolder
from tests.conftest import task_of_yaml

SPLITS = ("train", "validation", "test")


def write(folder, number, suffix="png", shade=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        Image.new("RGB", (6, 4), (shade, 10 * i, 0)).save(folder / f"{i:02}.{suffix}")


@pytest.fixture
def flat(tmp_path):
    """root/<class>: 10 cats, 20 dogs."""
    write(tmp_path / "flat/dog", 20, shade=200)
    write(tmp_path / "flat/cat", 10, shade=100)
    return tmp_path / "flat"


@pytest.fixture
def divided(tmp_path):
    """root/train and root/test."""
    for split, number in (("train", 10), ("test", 3)):
        write(tmp_path / "divided" / split / "cat", number, shade=100)
        write(tmp_path / "divided" / split / "dog", number + 1, shade=200)
    return tmp_path / "divided"


def folder(root, **changes) -> ImageFolder:
    return task_of_yaml("image_folder", root=str(root), **changes)


def counts(task):
    return {split: dict(Counter(e.label for e in task.examples(split))) for split in SPLITS}


def message(task):
    with pytest.raises(DataError) as error:
        task.examples("train")
    return str(error.value)


def test_it_is_a_task_and_its_own_benchmark(flat):
    task = folder(flat)
    assert isinstance(task, Task) and isinstance(task, Benchmark)
    assert task.benchmarks == {"image_folder": task}


def test_classes_are_the_folders_in_the_order_of_their_names(flat, divided):
    for root in (flat, divided):
        assert folder(root).classes == ["cat", "dog"]
        assert folder(root).num_classes == 2


def test_without_split_folders_every_class_is_divided_by_the_fractions(flat):
    # 20 % for test, then 10 % of the rest for validation, one image at least.
    assert counts(folder(flat)) == {"train": {0: 7, 1: 14}, "validation": {0: 1, 1: 2}, "test": {0: 2, 1: 4}}
    halves = folder(flat, test_fraction=0.5, validation_fraction=0.4)
    assert counts(halves) == {"train": {0: 3, 1: 6}, "validation": {0: 2, 1: 4}, "test": {0: 5, 1: 10}}


def test_with_train_and_test_folders_validation_is_taken_from_train(divided):
    assert counts(folder(divided)) == {"train": {0: 9, 1: 10}, "validation": {0: 1, 1: 1}, "test": {0: 3, 1: 4}}
    assert all(e.id.startswith("train/") for split in SPLITS[:2] for e in folder(divided).examples(split))
    assert {e.id for e in folder(divided).examples("test")} == {
        *(f"test/cat/{i:02}.png" for i in range(3)), *(f"test/dog/{i:02}.png" for i in range(4)),
    }  # fmt: skip


def test_a_validation_folder_is_used_in_whole(divided):
    write(divided / "validation/dog", 5)
    write(divided / "validation/cat", 4)
    assert counts(folder(divided)) == {"train": {0: 10, 1: 11}, "validation": {0: 4, 1: 5}, "test": {0: 3, 1: 4}}
    assert counts(folder(divided, validation_per_class=2))["validation"] == {0: 2, 1: 2}


def test_numbers_per_class_limit_training_and_replace_the_validation_fraction(flat):
    task = folder(flat, train_per_class=3, validation_per_class=4)
    assert counts(task) == {"train": {0: 3, 1: 3}, "validation": {0: 4, 1: 4}, "test": {0: 2, 1: 4}}


def test_splits_share_no_image_and_lose_none(flat, divided):
    for root in (flat, divided):
        ids = [e.id for split in SPLITS for e in folder(root).examples(split)]
        on_disk = {path.relative_to(root).as_posix() for path in root.rglob("*.png")}
        assert len(ids) == len(set(ids))
        assert set(ids) == on_disk


def test_image_and_label_are_those_of_the_file(flat):
    for split in SPLITS:
        for example in folder(flat).examples(split):
            name, file = example.id.split("/")
            assert example.label == ["cat", "dog"].index(name)
            shade = (100, 200)[example.label]
            assert example.image().getpixel((0, 0)) == (shade, 10 * int(file.removesuffix(".png")), 0)


def test_a_photo_is_turned_as_its_camera_noted(flat):
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in (flat / "cat").glob("*.png"):
        path.unlink()
        Image.new("RGB", (6, 4)).save(path.with_suffix(".JPG"), "jpeg", exif=exif)
    assert folder(flat).examples("train")[0].image().size == (4, 6)


def test_other_files_and_hidden_ones_are_left_out(flat):
    (flat / "cat/notes.txt").write_text("no image")
    (flat / "cat/._00.png").write_bytes(b"no image")
    (flat / ".cache").mkdir()
    (flat / "README.md").write_text("no class")
    assert sum(len(folder(flat).examples(split)) for split in SPLITS) == 30
    assert folder(flat).num_classes == 2


def test_a_data_seed_gives_the_same_split_again_and_another_gives_another(flat):
    def ids(seed):
        return tuple(e.id for e in folder(flat, data_seed=seed).examples("test"))

    assert ids(0) == ids(0)
    assert len({ids(seed) for seed in range(8)}) > 1


def test_fingerprint_is_of_content_names_and_arguments_and_not_of_the_place(flat, tmp_path):
    first = folder(flat).fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", first)
    moved = flat.rename(tmp_path / "moved")
    assert folder(moved).fingerprint() == first
    changes = [
        {"test_fraction": 0.3}, {"validation_fraction": 0.3}, {"train_per_class": 3}, {"validation_per_class": 3},
        {"data_seed": 1},
    ]  # fmt: skip
    prints = {first, *(folder(moved, **change).fingerprint() for change in changes)}
    Image.new("RGB", (6, 4), "white").save(moved / "cat/00.png")
    prints.add(folder(moved).fingerprint())
    (moved / "cat/00.png").rename(moved / "cat/zz.png")
    assert len(prints | {folder(moved).fingerprint()}) == 8


def test_an_absent_folder_is_named():
    assert message(folder("no/such")) == (
        "no folder no/such; task.source.root names one with a folder of images for every class"
    )


def test_a_folder_without_classes_is_named(tmp_path):
    write(tmp_path / "only", 3)
    assert message(folder(tmp_path)) == f"{tmp_path} has 1 folders; expected one for each of two classes or more"


def test_an_empty_class_is_named(flat):
    (flat / "ant").mkdir()
    assert message(folder(flat)).startswith(f"{flat}/ant holds no image; an image ends in .apng, .avif, .bmp, ")


def test_a_train_folder_without_a_test_folder_is_explained(tmp_path):
    write(tmp_path / "train/cat", 3)
    assert message(folder(tmp_path)) == (
        f"{tmp_path} has train and no test: add {tmp_path}/test, "
        "or move the folders of the classes from train up, to have test images split off"
    )


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_class_that_training_lacks_is_named(divided, split):
    for name in ("cat", "dog", "emu"):
        write(divided / split / name, 1)
    assert message(folder(divided)) == f"{divided}/{split} has the class 'emu', of which train has no images"


def test_a_class_too_small_to_be_divided_is_named(flat):
    write(flat / "ant", 2)
    assert message(folder(flat)) == "class 'ant' has 2 images to train on, and other splits take all of them: add some"


def test_an_unreadable_image_is_named_when_it_is_opened(flat):
    broken = folder(flat).examples("test")[0].id
    (flat / broken).write_bytes((flat / broken).read_bytes()[:40])
    cfg = OmegaConf.create({"model": {"image": {"size": 8, "channels": 3, "mean": 0.5, "std": 0.5}}})
    task = folder(flat)
    with pytest.raises(DataError, match=f"the image of example {broken} cannot be read"):
        ImageClassification(cfg, task).pixels(task.examples("test")[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_fraction": 0}, "between 0 and 1, not 0, 0.1"),
        ({"validation_fraction": 1.5}, "between 0 and 1, not 0.2, 1.5"),
        ({"train_per_class": 0}, "at least 1, or null, not 0 and None"),
        ({"validation_per_class": -1}, "at least 1, or null, not None and -1"),
    ],
)
def test_impossible_settings_are_refused(flat, change, said):
    with pytest.raises(SettingError, match=said):
        folder(flat, **change)
