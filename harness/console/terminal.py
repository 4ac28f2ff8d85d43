"""What a person at a terminal sees besides results: how far a command is, and tables as wide as the window."""

import sys
from typing import TYPE_CHECKING

from harness.console.stderr import is_first

if TYPE_CHECKING:  # rich is loaded with the first table
    from rich.console import Console

WIDTH = 140  # of a table that goes to a file
_followed = False


def console() -> "Console":
    """As wide as the terminal; a table that goes to a file is as wide as WIDTH."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def stage(doing: str) -> None:
    """Say what begins now and may take more than a few seconds.

    At a terminal, or in a log that is followed; any other keeps the lines of progress bars, results and errors.
    """
    if (sys.stderr.isatty() or _followed) and is_first():
        print(f"{doing} ...", file=sys.stderr, flush=True)


def follow() -> None:
    """Say what begins in a log, too: somebody reads its end meanwhile (harness.console.logs)."""
    global _followed
    _followed = True
