"""Files that are complete or absent: written to a temporary name, flushed to disk, then renamed.

A sealed file is a JSON object from which one can tell whether it is as it was written: its `schema` is SEALED, and its
`sha256` is the digest of everything else in it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from errors import Damaged
from harness.store.disk import writes

SEALED = 2  # the value of `schema`; objects of schema 1 were written before there were seals


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


@writes
def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path`. If that fails, with DiskError or in a crash, the old file stays as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Half of a surrogate pair cannot be written as UTF-8, but JSON has an escape for it.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    content = json.loads(json.dumps({**values, "schema": SEALED}, allow_nan=False))  # as it will be read
    write_json(path, {**content, "sha256": _seal(content)})


def read_sealed(path: Path, of: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The object in file `path` without its `sha256`.

    `of`: the fields that say what the file belongs to, with the values that they must have. Raises Damaged.
    """
    content = read_json(path)
    seal = content.pop("sha256", None)
    if seal is None:
        raise Damaged(path, "it has no seal")
    if content.get("schema") != SEALED:
        raise Damaged(path, f"its schema is {content.get('schema')!r}, which is not {SEALED}")
    if seal != _seal(content):
        raise Damaged(path, "its content is not that which its sha256 is of")
    for name, value in (of or {}).items():
        if content.get(name) != value:
            raise Damaged(path, f"it is of {name} {content.get(name)!r}, not of {value!r}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The object in file `path`, sealed or not. Raises Damaged where there is none."""
    try:
        text = path.read_bytes().decode("utf-8")
        content = json.loads(text, object_pairs_hook=_no_name_twice, parse_constant=_no_number)
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    except IsADirectoryError as error:
        raise Damaged(path, "it is a folder") from error
    except FileNotFoundError as error:
        raise Damaged(path, "it is not there") from error
    except (ValueError, RecursionError) as error:
        raise Damaged(path, str(error)) from error
    return content


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")).hexdigest()


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is twice in one object")
    return found


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


@writes
def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace folder `path` by what `fill(partial_folder)` writes."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        fill(partial)
        for file in partial.rglob("*"):
            if file.is_file():
                file.chmod(partial.stat().st_mode & 0o666)  # safetensors lets none but the owner read
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
        remove(old)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below `folder`, by its path there."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def checked_sums(folder: Path, expected: Mapping[str, str]) -> dict[str, str]:
    """The `sums` of a folder. Raises Damaged if one of the `expected` files is missing or has another SHA-256."""
    found = sums(folder)
    for name, digest in expected.items():
        if name not in found:
            raise Damaged(folder / name, "it is not there")
        if found[name] != digest:
            raise Damaged(folder / name, f"its SHA-256 is {found[name]}, and was {digest}")
    return found


def remove(path: Path) -> None:
    """Whatever is there: a file, a link, a folder with all that is in it, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed in `folder`. The caller must hold its lock.

    A folder that was moved aside, and whose replacement never came, goes back to its place.
    """
    for path in list(folder.rglob(".*.old")):
        name = path.name.removeprefix(".").rsplit(".", 2)[0]
        if not path.with_name(name).exists():
            os.replace(path, path.with_name(name))
    for path in [*folder.rglob(".*.partial"), *folder.rglob(".*.old")]:
        remove(path)


def folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
