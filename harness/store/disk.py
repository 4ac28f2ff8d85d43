"""Errors of the disk: full, over quota, read-only, forbidden, failing. The user can mend them, so each gets a sentence.

Libraries raise them as errors of their own. They are recognised by the system's error number, or by their words if
there is none.
"""

import errno
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from errors import DiskError

P, R = ParamSpec("P"), TypeVar("R")

ANOTHER = "name another folder, or give yourself the permission to write there"
READ = "give yourself the permission to read it, or name another"
REMEDIES = {
    errno.ENOSPC: "make space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EROFS: "name a folder on a disk that can be written",
    errno.EACCES: ANOTHER,
    errno.EPERM: ANOTHER,
    errno.EIO: "the disk, or the network to it, fails; name a folder on another one",
    errno.ESTALE: "the network disk was mounted anew; start again",
    errno.EPIPE: "who read the output has gone",
}
IN_THE_WAY = {  # reasons of the disk only if something was being written
    errno.EISDIR: "move away the folder that is in the place of a file",
    errno.EEXIST: "move away the file that is in the place of a folder",
    errno.ENOTDIR: "move away the file that is in the place of a folder",
}
EITHER = {errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}  # may come of reading too
_NUMBER = re.compile(r"\(os error (\d+)\)")  # safetensors and other libraries written in Rust
_TORCH = re.compile(r"inline_container\.cc.*(unexpected pos|PytorchStreamWriter|open file failed)|basic_ios::clear")


def refuses(error: BaseException) -> bool:
    """Whether the disk, or a pipe, is the reason of `error`, be it of reading or of writing."""
    return isinstance(error, DiskError) or _number(error) in REMEDIES or _is_torchs(error)


def sentence(error: BaseException, place: Path | None = None) -> str:
    """What to tell the user of an error for which `refuses` is true. `place`: what was written to, if something was."""
    if isinstance(error, DiskError):
        return str(error)
    number = _number(error)
    if number is None and _is_torchs(error) and place is not None and _is_full(place):
        number = errno.ENOSPC
    reason = os.strerror(number) if number else str(error)
    where = place or getattr(error, "filename", None) or "the output"
    remedy = (REMEDIES | IN_THE_WAY).get(number, ANOTHER)
    if place is None and number in EITHER and getattr(error, "filename", None):
        return f"{where} cannot be used: {reason}; {READ if remedy == ANOTHER else remedy}, then start again"
    return f"{where} cannot be written: {reason}; {remedy}, then start the same command again"


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Around code that writes to `place`. If the disk is why that failed, DiskError is raised instead."""
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskError | BlockingIOError) or not (isinstance(error, OSError) or refuses(error)):
            raise
        raise DiskError(sentence(error, place)) from error


def writes(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator for a function whose first argument is the path that it writes: puts `writing` around every call."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with writing(args[0]):
            return function(*args, **kwargs)

    return wrapped


@contextmanager
def tells_disk_errors() -> Iterator[None]:
    """Around a program: at an error of the disk, or of a pipe that nobody reads, it ends with a sentence and code 1."""
    try:
        yield
        sys.stdout.flush()
    except Exception as error:
        if not refuses(error):
            raise
        with suppress(OSError, ValueError):  # a stream of no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's own flush fails again
        sys.exit(f"error: {sentence(error)}")


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = _NUMBER.search(str(error))
    return int(found[1]) if found else None


def _is_torchs(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and bool(_TORCH.search(str(error)))


def _is_full(place: Path) -> bool:
    try:
        return os.statvfs(place).f_bavail == 0
    except OSError:
        return False
