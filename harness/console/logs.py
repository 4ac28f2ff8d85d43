"""How far a run is that somebody else watches: read from the end of its log."""

import re
from collections.abc import Sequence
from pathlib import Path

BAR = re.compile(r"^(?P<what>[^|%]*): +\d+%\|.*\| (?P<done>\d+)/(?P<of>\d+)")
TAIL = 100_000  # bytes of a log that are looked at


def tail(log: Path, size: int = TAIL) -> str:
    """Its last `size` bytes; nothing where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def lines(text: str) -> list[str]:
    """Without empty ones; each state of a progress bar is a line."""
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def is_bar(line: str) -> bool:
    return BAR.match(line) is not None


def progress(said: Sequence[str]) -> str | None:
    """The last progress bar, as "training 120/400"."""
    found = next(filter(None, map(BAR.match, reversed(said))), None)
    return found and f"{found['what']} {found['done']}/{found['of']}"


def doing(log: Path) -> str:
    """What it said last, a progress bar or a stage (harness.console.terminal)."""
    said = lines(tail(log, 2000))
    return (progress(said[-1:]) or said[-1]) if said else "starting"
