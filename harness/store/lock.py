"""One process at a time in a folder. When a process dies, in whatever way, the kernel frees its lock."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

NAME = ".lock"
TRIES = 1000  # one fails only if another process removes the folder at that moment


class Lock:
    """Held from here until `release`; the folder is made.

    `works` is False if the disk has no locks. Then there is a warning, and another process may be in the folder too.
    Raises BlockingIOError if another process holds the lock, and OSError if the folder cannot be written.
    """

    def __init__(self, folder: Path):
        for attempt in range(TRIES):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = (folder / NAME).open("a")
            except (FileNotFoundError, FileExistsError):  # it is there, and is gone a moment later
                if attempt == TRIES - 1:
                    raise
                continue
            self.works = _lock(self._file, folder)
            if _is_at(self._file, folder / NAME):
                return
            self._file.close()
        raise BlockingIOError(f"{folder} comes and goes")

    def release(self) -> None:
        self._file.close()


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Makes the folder and lets one process at a time in; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a") as file:
        _lock(file, folder, wait=True)
        yield


def _lock(file: TextIO, folder: Path, *, wait: bool = False) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        raise
    except OSError as error:
        print(
            f"warning: {folder} has no file locks ({error.strerror}); do not start the same command twice at a time",
            file=sys.stderr,
        )
        return False
    return True


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether `path` is still this file: the process that had the lock before may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
