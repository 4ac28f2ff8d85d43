"""Values that many runs share, each kept once and named by its place."""

import base64
from collections.abc import Hashable, Iterable

import numpy as np

NONE = -1  # the place of what is not there


class Interned:
    """Places of values in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}

    def place(self, value: Hashable | None) -> int:
        return NONE if value is None else self._places.setdefault(value, len(self._places))

    def forget(self, length: int) -> None:
        """Be as when `length` values were known."""
        while len(self) > length:
            self._places.popitem()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def values(self) -> list[Hashable]:
        return list(self._places)


def packed(items: str) -> str:
    """`"0110..."`, one character an item, as base64 of bits, the first item in the highest bit of the first byte."""
    bits = np.frombuffer(items.encode(), dtype=np.uint8) - ord("0")
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def columns(rows: Iterable[dict[str, Hashable]]) -> dict[str, dict[str, list]]:
    """Rows as columns: the distinct values of each field, and for each row which of them it has (-1: none)."""
    rows = list(rows)
    found: dict[str, Interned] = {}
    of: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for name, value in row.items():
            of.setdefault(name, [NONE] * len(rows))[number] = found.setdefault(name, Interned()).place(value)
    return {name: {"values": found[name].values, "of": of[name]} for name in sorted(found)}
