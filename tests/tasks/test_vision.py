"""Few-shot images on parquet files with the columns of the four data sets."""

import io
import shutil
from collections import Counter

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from errors import DataError, SettingError
from tasks.base import Benchmark, Task
from tasks.vision import FewShotImages
from tests.conftest import task_of_yaml

CIFAR = ("img", "fine_label")
OTHERS = ("image", "label")
SPLITS = ("train", "validation", "test")


def colour(number: int) -> tuple[int, int, int]:
    """Another one for every number below 4096: an image tells which row it is of."""
    return (number % 16 * 16, number // 16 % 16 * 16, number // 256 * 16)


def write(path, labels, columns=OTHERS, first=0, **extra):
    """Image i of the file is of colour(first + i)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, label = columns
    pictures = [Image.new("RGB", (6, 4), colour(first + number)) for number in range(len(labels))]
    names = datasets.ClassLabel(num_classes=max(labels) + 1)
    features = datasets.Features(
        {image: datasets.Image(), label: names} | {name: datasets.Value("int64") for name in extra}
    )
    table = datasets.Dataset.from_dict({image: pictures, label: labels} | extra, features=features)
    table.to_parquet(path, batch_size=7)  # rows a row group


@pytest.fixture
def cifar(tmp_path):
    """Two columns of labels as there, 5 rows of each of 3 classes to train on."""
    write(tmp_path / "cifar/train.parquet", [2, 0, 1] * 5, CIFAR, coarse_label=[0] * 15)
    write(tmp_path / "cifar/test.parquet", [0, 1, 2, 2, 1, 0, 1, 1, 1, 1], CIFAR, first=100, coarse_label=[0] * 10)
    return str(tmp_path / "cifar")


@pytest.fixture
def resisc(tmp_path):
    write(tmp_path / "resisc/train.parquet", [2, 0, 1] * 5, image_id=list(range(15)))
    write(tmp_path / "resisc/validation.parquet", [1, 0, 2] * 4, first=50, image_id=list(range(12)))
    write(tmp_path / "resisc/test.parquet", [0, 1, 2], first=100, image_id=list(range(3)))
    return str(tmp_path / "resisc")


def few_shot(folder, **changes) -> FewShotImages:
    """The task of a yaml, with small files."""
    yaml = "cifar100" if folder and folder.endswith("cifar") else "resisc45"
    files = {"train": ["train.parquet"], "validation": ["validation.parquet"], "test": ["test.parquet"]}
    if yaml == "cifar100":
        files["validation"] = None
    small = {"folder": folder, "files": files, "num_classes": 3, "train_per_class": 3}
    return task_of_yaml(yaml, **small | changes)


def ids(task, split):
    return [example.id for example in task.examples(split)]


def message(task, split="train"):
    with pytest.raises(DataError) as error:
        task.examples(split)
    return str(error.value)


def test_it_is_a_task_and_its_own_benchmark(cifar):
    task = few_shot(cifar)
    assert isinstance(task, Task) and isinstance(task, Benchmark)
    assert task.benchmarks == {"cifar100": task}
    assert task.splits == ("validation", "test")


@pytest.mark.parametrize(
    ("yaml", "classes", "shards"),
    [
        ("cifar100", 100, 2),
        ("food101", 101, 11),
        ("flowers102", 102, 8),
        ("resisc45", 45, 3),
    ],
)
def test_a_yaml_states_the_classes_and_every_shard(yaml, classes, shards):
    task = task_of_yaml(yaml)
    assert (task.num_classes, task.train_per_class, task.validation_per_class) == (classes, 10, 2)
    files = [shard.file for table in task._tables.values() for shard in table.shards]
    assert len(files) == len(set(files)) == shards
    for table in task._tables.values():  # name-00000-of-00003: all three are there
        assert all(shard.file.endswith(f"-of-{len(table.shards):05}.parquet") for shard in table.shards)


def test_train_and_validation_have_so_many_images_of_every_class_and_test_has_all(cifar, resisc):
    for folder, test in ((cifar, 10), (resisc, 3)):
        task = few_shot(folder)
        assert Counter(e.label for e in task.examples("train")) == {0: 3, 1: 3, 2: 3}
        assert Counter(e.label for e in task.examples("validation")) == {0: 2, 1: 2, 2: 2}
        assert len(task.examples("test")) == test
        assert len({id for split in SPLITS for id in ids(task, split)}) == 15 + test


def test_validation_comes_from_the_training_split_only_where_there_is_no_other(cifar, resisc):
    assert all(id.startswith("train-") for id in ids(few_shot(cifar), "validation"))
    assert all(id.startswith("validation-") for id in ids(few_shot(resisc), "validation"))


@pytest.mark.parametrize("several", [False, True])
def test_image_and_label_of_every_example_are_those_of_its_row(cifar, resisc, tmp_path, several):
    first = {"train": 0, "validation": 50, "test": 100}
    files = {"train": ["train.parquet"], "validation": ["validation.parquet"], "test": ["test.parquet"]}
    labels = {"train": [2, 0, 1] * 5, "validation": [1, 0, 2] * 4, "test": [0, 1, 2]}
    if several:
        write(tmp_path / "resisc/more.parquet", [1, 1, 0, 2], first=103, image_id=list(range(4)))
        files["test"], labels["test"] = ["test.parquet", "more.parquet"], [0, 1, 2, 1, 1, 0, 2]
    task = few_shot(resisc, files=files)
    for split in SPLITS:
        assert len(task.examples(split)) > 2
        for example in reversed(task.examples(split)):
            row = int(example.id.partition("-")[2])
            assert example.label == labels[split][row]
            picture = example.image()
            assert picture.size == (6, 4)
            assert picture.getpixel((0, 0)) == colour(first[split] + row)


def test_decoding_is_that_of_datasets_with_the_rotation_that_a_camera_noted(tmp_path):
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4), "red").save(turned, "jpeg", exif=exif)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [{"bytes": turned.getvalue(), "path": None}] * 3, "label": [0, 0, 0]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    files = {"train": ["a.parquet"], "validation": None, "test": ["a.parquet"]}
    task = few_shot(str(tmp_path), files=files, num_classes=1, train_per_class=1)
    trusted = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "a.parquet"), split="train", streaming=True, features=features
    )
    for split in SPLITS:
        assert task.examples(split)[0].image().size == (4, 6)
        np.testing.assert_array_equal(task.examples(split)[0].image(), next(iter(trusted))["image"])


def test_images_are_not_decoded_to_draw_and_test_images_are_not_even_read(cifar, monkeypatch):
    read = []
    original = pyarrow.parquet.ParquetFile.read_row_group
    monkeypatch.setattr(
        pyarrow.parquet.ParquetFile,
        "read_row_group",
        lambda file, group, columns: read.append(columns) or original(file, group, columns=columns),
    )
    monkeypatch.setattr("datasets.Image.decode_example", None)
    task = few_shot(cifar)
    assert len(task.examples("test")) == 10
    assert read == []
    assert len(task.examples("train")) == 9
    assert read == [["img"]] * 3  # 15 rows in groups of 7, each read once


def test_a_data_seed_draws_the_images(cifar):
    def drawn(seed):
        return tuple(ids(few_shot(cifar, data_seed=seed), "train"))

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(8)}) > 1
    assert ids(few_shot(cifar, data_seed=0), "test") == ids(few_shot(cifar, data_seed=1), "test")


def test_drawn_rows_do_not_depend_on_the_python_process(cifar):
    # A change here changes every run: numbers made before it no longer compare.
    assert ids(few_shot(cifar), "validation") == ["train-0", "train-5", "train-7", "train-10", "train-12", "train-14"]


def test_more_validation_images_leave_the_training_images_as_they_are(cifar):
    assert ids(few_shot(cifar, validation_per_class=1), "train") == ids(few_shot(cifar), "train")


def test_limit_keeps_the_first_of_every_split(cifar):
    for split in SPLITS:
        assert ids(few_shot(cifar, limit=2), split) == ids(few_shot(cifar), split)[:2]


@pytest.mark.parametrize("change", [{"train_per_class": 0}, {"validation_per_class": -1}, {"limit": 0}])
def test_impossible_sizes_are_refused(cifar, change):
    with pytest.raises(SettingError, match=r"train_per_class >= 1, validation_per_class >= 0 and limit >= 1"):
        few_shot(cifar, **change)


def test_fingerprint_is_of_content_and_arguments_and_not_of_the_place(cifar, tmp_path):
    shutil.copytree(cifar, tmp_path / "copy-cifar")
    other = str(tmp_path / "copy-cifar")
    assert few_shot(cifar).fingerprint() == few_shot(other).fingerprint()
    changes = [
        {"data_seed": 1},
        {"limit": 5},
        {"train_per_class": 2},
        {"validation_per_class": 1},
        {"label_column": "x"},
    ]
    prints = {few_shot(cifar, **change).fingerprint() for change in [{}, *changes]}
    write(tmp_path / "copy-cifar/test.parquet", [0, 1, 2], CIFAR, first=7)
    assert len(prints | {few_shot(other).fingerprint()}) == 7


def test_fingerprint_of_hub_files_needs_no_download(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    task = task_of_yaml("food101")
    assert task.fingerprint() != task_of_yaml("food101", revision="other").fingerprint()


def test_hub_files_are_read_from_the_cache_without_network(cifar, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = "0123456789" * 4
    shutil.copytree(cifar, tmp_path / f"cache/datasets--uoft-cs--cifar100/snapshots/{commit}/deep")
    files = {"train": ["deep/train.parquet"], "validation": None, "test": ["deep/test.parquet"]}
    task = few_shot(
        None, repo_id="uoft-cs/cifar100", files=files, revision=commit, image_column="img", label_column="fine_label"
    )
    for split in SPLITS:
        assert ids(task, split) == ids(few_shot(cifar), split)
        for example, local in zip(task.examples(split), few_shot(cifar).examples(split), strict=True):
            assert example.image() == local.image()


def test_absent_local_file_is_named_with_columns_and_command(cifar):
    assert message(few_shot("data/none-cifar")) == (
        "no file data/none-cifar/train.parquet with the columns img (an image, {bytes, path}) and fine_label (its "
        "class, an integer); `hf download uoft-cs/cifar100 --repo-type dataset "
        "--revision aadb3af77e9048adbea6b47c21a81e47dd092ae5 --local-dir data/none-cifar` fetches it"
    )
    with pytest.raises(DataError, match="no file data/none-cifar/train.parquet"):
        few_shot("data/none-cifar").fingerprint()


def test_unreachable_hub_file_is_named_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert message(task_of_yaml("resisc45"), "test") == (
        "timm/resisc45/data/test-00000-of-00001.parquet at revision fe12fc5f1b7606543b0355eda392f1ddc54625c6 is not in "
        "the hub's cache and the hub is not reachable; where there is a network, `hf download timm/resisc45 "
        "--repo-type dataset --revision fe12fc5f1b7606543b0355eda392f1ddc54625c6` fetches it"
    )


def test_other_columns_are_named_with_those_expected(resisc, tmp_path):
    said = message(few_shot(resisc, image_column="img"))
    assert said.startswith(
        f"{resisc}/train.parquet has the columns image: struct<bytes: binary, path: string>, label: "
    )
    assert said.endswith("; expected img (an image, {bytes, path}) and label (its class, an integer)")
    pyarrow.parquet.write_table(pyarrow.table({"image": ["a.png"], "label": [0]}), tmp_path / "resisc/train.parquet")
    assert "has the columns image: string, label: int64; expected" in message(few_shot(resisc))


def test_a_file_that_is_no_parquet_is_named(resisc, tmp_path):
    (tmp_path / "resisc/train.parquet").write_bytes(b"no parquet file")
    assert message(few_shot(resisc)).startswith(f"{resisc}/train.parquet cannot be read as parquet: ")


def test_a_class_out_of_range_is_named_with_its_row(resisc):
    assert message(few_shot(resisc, num_classes=2)) == (
        f"row 1 of {resisc}/train.parquet: 'label' is 2, expected a class from 0 to 1"
    )


def test_a_class_with_too_few_images_is_named(cifar, resisc):
    assert message(few_shot(cifar, train_per_class=4)) == (
        f"{cifar}/train.parquet has 5 images of class 0: too few for train_per_class=4 and validation_per_class=2"
    )
    assert message(few_shot(resisc, validation_per_class=5)) == (
        f"{resisc}/validation.parquet has 4 images of class 0: too few for validation_per_class=5"
    )


def test_a_row_without_an_image_is_named(tmp_path):
    cell = {"bytes": None, "path": "a.png"}
    table = pyarrow.table(
        {"image": [cell] * 3, "label": [0] * 3},
        schema=pyarrow.schema(
            {"image": pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}), "label": pyarrow.int64()}
        ),
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    files = {"train": ["a.parquet"], "validation": None, "test": ["a.parquet"]}
    task = few_shot(str(tmp_path), files=files, num_classes=1, train_per_class=1)
    assert message(task) == f"example 0 of {tmp_path}/a.parquet holds no image in 'image'"
