"""Which folders are splits and which are classes, and what a task of folders tells of itself."""

import pytest
from PIL import Image

from errors import DataError
from tests.conftest import task_of_yaml


def write(folder, number, suffix="png", shade=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        Image.new("RGB", (6, 4), (shade, 10 * i, len(folder.parts[-2]))).save(folder / f"{i:02}.{suffix}")


@pytest.fixture
def divided(tmp_path):
    """root/train, 4 cats and 5 dogs, and root/test, 3 and 4."""
    for split, number in (("train", 4), ("test", 3)):
        write(tmp_path / split / "cat", number, shade=100)
        write(tmp_path / split / "dog", number + 1, shade=200)
    return tmp_path


def folder(root, **changes):
    return task_of_yaml("image_folder", root=str(root), **changes)


def message(root):
    with pytest.raises(DataError) as error:
        folder(root).examples("train")
    return str(error.value)


@pytest.mark.parametrize("name", ["val", "valid", "Valid", "dev", "validation"])
def test_a_folder_of_validation_images_is_read_whatever_it_is_called(divided, name):
    for each in ("cat", "dog"):
        write(divided / name / each, 2)
    task = folder(divided)
    assert {e.id.split("/")[0] for e in task.examples("validation")} == {name}
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [9, 4, 7]


def test_folders_as_kaggle_calls_them_are_train_and_test(divided):
    (divided / "train").rename(divided / "Training")
    (divided / "test").rename(divided / "Testing")
    assert folder(divided).class_names == ("cat", "dog")
    assert len(folder(divided).examples("test")) == 7


def test_a_split_in_two_folders_is_refused(divided):
    for name in ("val", "validation"):
        write(divided / name / "cat", 2)
    assert (
        message(divided) == f"{divided} has val and validation, which are both the validation split; put them into one"
    )


def test_split_folders_without_one_to_train_on_are_not_taken_for_classes(tmp_path):
    for split in ("val", "test"):
        write(tmp_path / split / "cat", 2)
    assert message(tmp_path) == (
        f"{tmp_path / 'val'} has folders of its own as a validation split has, and {tmp_path} has no folder train: "
        "call the training images' folder so, or move the folders of the classes up"
    )


def test_a_class_may_be_called_as_a_split_is(tmp_path):
    for name in ("car", "train", "valid"):
        write(tmp_path / name, 5)
    assert folder(tmp_path).class_names == ("car", "train", "valid")


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "webp", "tga", "jp2"])
def test_images_of_every_usual_suffix_are_read(tmp_path, suffix):
    for name in ("cat", "dog"):
        write(tmp_path / name, 5, suffix=suffix)
    assert sum(len(folder(tmp_path).examples(split)) for split in ("train", "validation", "test")) == 10
    assert folder(tmp_path).examples("test")[0].image().size == (6, 4)


def test_what_is_left_out_is_told(divided):
    for name in ("notes.txt", "a.heic", "b.heic", "LICENSE"):
        (divided / "train/cat" / name).write_text("no image")
    (divided / "train/cat/.hidden.png").write_text("no image")
    write(divided / "train/cat/more", 2)
    write(divided / "unsorted", 1)
    assert folder(divided).notes == [
        "left out: 4 files that are no images by their names (.heic 2, no suffix 1, .txt 1)",
        "left out: 3 images that are not directly in the folder of a class (train/cat/more/00.png, ...)",
    ]


def test_test_images_that_are_training_images_are_told(divided):
    train = [example.id for example in folder(divided).examples("train")]
    for name in train[:2]:
        (divided / "test/dog" / f"copy-{name.replace('/', '-')}").write_bytes((divided / name).read_bytes())
    said = folder(divided).notes
    assert len(said) == 1 and said[0].startswith("2 of 9 test images are training images too (test/dog/copy-train-cat-")


def test_an_image_in_the_folders_of_two_classes_is_told(tmp_path):
    for name in ("cat", "dog"):
        for part in ("train", "test"):
            write(tmp_path / "divided" / part / name, 3, shade=100 if name == "cat" else 200)
            write(tmp_path / "divided" / "val" / name, 1, shade=50)
    (tmp_path / "divided/train/dog/copy.png").write_bytes((tmp_path / "divided/train/cat/00.png").read_bytes())
    assert "1 training images are in the folders of several classes" in folder(tmp_path / "divided").notes


def test_images_that_are_scaled_or_laid_over_the_background_are_counted(divided):
    for alpha, name in enumerate(("x", "y")):
        Image.new("RGBA", (6, 4), (9, 9, 9, alpha)).save(divided / f"train/cat/{name}.png")
    frames = [Image.new("L", (6, 4), shade) for shade in (0, 200)]
    frames[0].save(divided / "train/cat/z.gif", save_all=True, append_images=frames[1:])
    assert folder(divided, background="black").notes == [
        "2 images of more than 8 bits or with transparent parts: scaled by their white, and laid over black",
        "of files with several pictures the first is taken: 1",
    ]
