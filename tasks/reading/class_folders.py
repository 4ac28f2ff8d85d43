"""Where the images of a user's folder are: which folders are splits and which are classes, and what is neither."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from errors import DataError
from tasks.base import SplitName

SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm",
    ".ppm", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
# What folders of splits are called, in any case.
CALLED: Mapping[SplitName, Collection[str]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}

Classes = Mapping[str, list[Path]]  # class -> its images, in the order of their names


def find(root: Path) -> dict[SplitName, Classes]:
    """What the folders hold: train, test and perhaps validation; or all of it as train.

    A folder of a split holds folders of classes, which hold images: a class may be called "train" or "valid" too.
    Raises DataError.
    """
    if not root.is_dir():
        raise DataError(f"no folder {root}; task.source.root names one with a folder of images for every class")
    folders = _splits(root)
    if not folders:
        return {"train": _classes(root)}
    if "train" not in folders:
        split, folder = next(iter(folders.items()))
        raise DataError(
            f"{folder} has folders of its own as a {split} split has, and {root} has no folder train: call the "
            "training images' folder so, or move the folders of the classes up"
        )
    if "test" not in folders:
        raise DataError(
            f"{root} has {folders['train'].name} and no test: add {root / 'test'}, or move the folders of the classes "
            f"from {folders['train'].name} up, to have test images split off"
        )
    found = {split: _classes(folder) for split, folder in folders.items()}
    for split, classes in found.items():
        if unknown := sorted(classes.keys() - found["train"].keys()):
            raise DataError(f"{folders[split]} has the class {unknown[0]!r}, of which train has no images")
    return found


def _splits(root: Path) -> dict[SplitName, Path]:
    """The folders of splits, in the order of CALLED. Raises DataError where a split has two."""
    nested = [folder for folder in _folders(root) if _folders(folder)]
    found = {}
    for split, names in CALLED.items():
        called = [folder for folder in nested if folder.name.lower() in names]
        if len(called) > 1:
            raise DataError(
                f"{root} has {' and '.join(folder.name for folder in called)}, which are both the {split} split; put "
                "them into one"
            )
        if called:
            found[split] = called[0]
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _classes(folder: Path) -> Classes:
    """The images of every visible folder in `folder`. Raises DataError where there is none, or one without images."""
    names = [path.name for path in _folders(folder)]
    if len(names) < 2:
        raise DataError(f"{folder} has {len(names)} folders; expected one for each of two classes or more")
    return {name: _images(folder / name) for name in names}


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if is_image(path) and path.is_file())
    if not images:
        raise DataError(f"{folder} holds no image; an image ends in {', '.join(SUFFIXES)}")
    return images


def left_out(root: Path, used: Collection[Path]) -> Iterator[str]:
    """A sentence on the files below `root` that are no images, and one on images that are in no class's folder."""
    rest = [path for path in _visible(root) if path not in used]
    if strange := [path for path in rest if not is_image(path)]:
        counts = Counter(path.suffix.lower() or "no suffix" for path in strange).most_common()
        kinds = ", ".join(f"{suffix} {number}" for suffix, number in counts)
        yield f"left out: {len(strange)} files that are no images by their names ({kinds})"
    if elsewhere := [path for path in rest if is_image(path)]:
        first = elsewhere[0].relative_to(root).as_posix()
        yield f"left out: {len(elsewhere)} images that are not directly in the folder of a class ({first}, ...)"


def _visible(root: Path) -> list[Path]:
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(root).parts)]
