"""What reading a file returns: its rows, and sentences on how they were read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]
_NUMBERS_TOLD = 5


@dataclass
class Content:
    """notes: sentences on how the file was read, for instance on lines that are no rows."""

    rows: list[Record]
    notes: list[str] = field(default_factory=list)


def several(numbers: Sequence[int | str]) -> str:
    """The first of them, and how many more there are."""
    said = ", ".join(map(str, numbers[:_NUMBERS_TOLD]))
    return said if len(numbers) <= _NUMBERS_TOLD else f"{said} and {len(numbers) - _NUMBERS_TOLD} more"


class DoubledName(ValueError):
    """Two columns of one name."""


def refuse_doubled(names: Iterable[str]) -> None:
    """A name may be empty more than once: no setting can name such a column."""
    doubled = next((name for name, times in Counter(names).items() if times > 1 and name), None)
    if doubled is not None:
        raise DoubledName(f"there are two columns named {doubled!r}; give each a name of its own")


def blank_lines(lines: int) -> list[str]:
    return [f"{lines} blank line{'s are' if lines > 1 else ' is'} no row"] if lines else []
