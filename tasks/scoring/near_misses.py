r"""Answers that differ little from a gold answer and are wrong: what a scorer must not take for it."""

import re
from collections.abc import Iterator

_PAIR = re.compile(r"\(([^(),]+),([^(),]+)\)")
_FACTOR = re.compile(r"^(?:\d+(?=\s*(?:\\sqrt|\\pi|[a-z]))|\\sqrt(?=\{\d+\}$))|(?<=\d)\s*\\pi$")


def near_misses(gold: str) -> Iterator[tuple[str, str]]:
    r"""(what was changed, the wrong answer): a digit, the sign, the order of a pair, a factor such as `\pi`."""
    yield from ((how, wrong) for how, wrong in _changes(gold) if wrong != gold)


def _changes(gold: str) -> Iterator[tuple[str, str]]:
    digit = re.search(r"\d", gold)
    if digit:
        yield "first digit", gold[: digit.start()] + str(int(digit[0]) % 9 + 1) + gold[digit.end() :]
    if re.search(r"[1-9]", gold) and not re.search(r"[,=<>]|\\(?:pm|cup|in\b|text)|[A-Za-z]{4}", gold):
        yield "sign", gold[1:] if gold.startswith("-") else f"-{gold}"
    pair = _PAIR.fullmatch(gold.replace("\\left", "").replace("\\right", ""))
    if pair and pair[1].strip() != pair[2].strip():
        yield "order", f"({pair[2].strip()}, {pair[1].strip()})"
    if _FACTOR.search(gold) and not gold.startswith("1\\"):
        yield "factor", _FACTOR.sub("", gold, count=1).strip()
