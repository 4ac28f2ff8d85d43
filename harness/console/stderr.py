"""What is said of a command: nothing of Hydra's above a sentence of our own, and by one of several processes alone."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

_own: TextIO | None = None  # stderr, while what goes there is held back


def is_first() -> bool:
    """Whether this process is the one of several that speaks for all of them."""
    return int(os.environ.get("WORLD_SIZE", "1")) <= 1 or int(os.environ.get("RANK", "0")) == 0


@contextmanager
def hold_stderr(explained: Callable[[str], str]) -> Iterator[None]:
    """Around a program: what goes to stderr is held back until `release_stderr`.

    Where Hydra ends the program before that, `explained` of what is held is told in its place, and by the first process
    alone: whatever is wrong with a command is wrong for all of them.
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
    """Once the command is understood: what goes wrong from here on may go wrong in this process alone."""
    global _own
    if _own is not None:
        held, sys.stderr, _own = sys.stderr.getvalue(), _own, None
        if is_first():
            sys.stderr.write(held)
