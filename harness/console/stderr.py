"""stderr while a command is read: Hydra's own output is held back and told in our words, by one process of several."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_own: TextIO | None = None  # the real stderr, while sys.stderr is a buffer


def is_first() -> bool:
    """Whether this process prints for all processes of a run: the only one, or rank 0 of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) <= 1 or int(os.environ.get("RANK", "0")) == 0


@contextmanager
def hold_stderr(explained: Callable[[str], str]) -> Iterator[None]:
    """Around a program: hold back what goes to stderr until `release_stderr` is called.

    If Hydra ends the program before that, `explained(held text)` is printed in place of the held text. Only the first
    process prints it, since all processes were given the same command.
    """
    global _own
    _own, sys.stderr = sys.stderr, io.StringIO()
    try:
        yield
    except SystemExit as stop:
        if _own is not None and stop.code in (1, 2):
            held, sys.stderr = sys.stderr.getvalue(), io.StringIO()
            sys.stderr.write(explained(held))
        elif _own is not None and isinstance(stop.code, str) and not is_first():
            raise SystemExit(1) from None
        raise
    finally:
        release_stderr()


def release_stderr() -> None:
    """Print what is held, and let stderr be stderr again.

    Called once the command is understood: an error after that may be one of this process alone.
    """
    global _own
    if _own is not None:
        held, sys.stderr, _own = sys.stderr.getvalue(), _own, None
        if is_first():
            sys.stderr.write(held)
