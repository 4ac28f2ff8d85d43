"""What is at work beside each other, at a terminal: how many are done, and a line for each of the others."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from harness.console import terminal

BAR = 30  # characters


class AtWork:
    """A context: what is said stands above, what `show` is given stays below. Without a terminal nothing is shown."""

    def __init__(self, total: int):
        self.total, self.began, self.live = total, time.monotonic(), None

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        if sys.stdout.isatty():
            from rich.live import Live

            # Drawn by hand: a thread that draws would be in the way of forks.
            self.live = self._stack.enter_context(Live(console=terminal.console(), auto_refresh=False, transient=True))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def say(self, line: str) -> None:
        if self.live is None:
            print(line, flush=True)
        else:
            self.live.console.print(line, markup=False, soft_wrap=True)

    def show(self, done: int, lines: Sequence[str]) -> None:
        if self.live is None:
            return
        from rich.text import Text

        full, seconds = round(BAR * done / self.total), round(time.monotonic() - self.began)
        bar = f"{'━' * full}{'╺' * (BAR - full)} {done} of {self.total} runs, {clock(seconds)}"
        self.live.update(Text("\n".join([*lines, bar]), no_wrap=True, overflow="ellipsis"), refresh=True)


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
