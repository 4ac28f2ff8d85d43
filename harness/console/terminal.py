"""How wide tables are: as the terminal, or, where they go to a file, as they need."""

import sys

from rich.console import Console

WIDTH = 140  # of a table that goes to a file


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
