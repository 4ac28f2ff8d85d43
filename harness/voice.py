"""Of several processes, rank 0 alone says what is wrong with a command, which is wrong for all of them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_own: TextIO | None = None  # stderr, while this process is silent


@contextmanager
def one_voice() -> Iterator[None]:
    """Around a program: other ranks print no errors until `own_voice`, whatever Hydra has to say of the command."""
    global _own
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and int(os.environ.get("RANK", "0")) > 0:
        _own = sys.stderr
        with open(os.devnull, "w") as sys.stderr:
            try:
                yield
            finally:
                own_voice()
    else:
        yield


def own_voice() -> None:
    """Once the command is understood: what goes wrong from here on may go wrong in this process alone."""
    global _own
    if _own is not None:
        sys.stderr, _own = _own, None
