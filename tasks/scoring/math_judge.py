"""Whether an answer is the gold answer, both in LaTeX or plain words: the child process of `math_strict`.

Lists, units, words and numbers are compared here, as `math_reading` takes them apart; formulas by Hugging Face's
math-verify, whose own time limits are signals, which big-integer arithmetic does not heed: those of `isolation` hold.
"""

import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Expr, Rational
from sympy import Number as Numeral
from sympy.core.evalf import PrecisionExhausted

from tasks.scoring.isolation import serve
from tasks.scoring.math_reading import (
    Listed,
    Number,
    based,
    exact,
    flat,
    listed,
    named,
    number,
    readings,
    without_loose_unit,
    without_unit,
    words,
)
from tasks.scoring.math_spelling import spelled, squeezed

# Units are off: with them any letter after a digit is one.
_FORMULA = LatexExtractionConfig(
    boxed_match_priority=-1,
    normalization_config=NormalizationConfig(units=False, malformed_operators=True, nits=True, boxed="none"),
)
DIGITS = 50  # to which two numbers are compared that math-verify calls equal


def judged(question: dict[str, Any]) -> bool | None:
    """Whether the answer is `gold`; None where there is none that can be read.

    question: `gold`, and as `answers` what may be the answer, [text, whether it stood in a box], the likeliest first.
    The first that can be read counts; mere words come last where there is a box, or where the gold is no word.
    """
    gold, answers = question["gold"], question["answers"]
    remarks_last = any(is_boxed for _, is_boxed in answers) or not _is_words(gold)
    for answer, _ in sorted(answers, key=lambda it: remarks_last and not it[1] and _is_words(it[0])):
        verdict = same(gold, answer)
        if verdict is not None:
            return verdict
    return None


def _is_words(answer: str) -> bool:
    return any(all(map(words, reading.items)) for reading in map(listed, readings(answer)))


def same(gold: str, answer: str) -> bool | None:
    """None where `answer` cannot be read. A gold that cannot is the same as what is written alike, and nothing else.

    Numbers compare exactly, but a decimal of six decimals or more is also what rounds to it: 0.333333 is 1/3, and
    18.0000001 is not 18.
    """
    if squeezed(gold) == squeezed(answer) or flat(spelled(gold)) == flat(spelled(answer)):
        return True
    found = [reading for reading in map(listed, readings(answer)) if all(map(_is_read, reading.items))]
    if not found:
        return None
    return any(_same_list(listed(one), other) for one in readings(gold) for other in found)


def _is_read(item: str) -> bool:
    item, _ = without_unit(item)
    _, value = named(item)
    return bool(words(value) or based(value)[0] or number(value)) or _formula(item) is not None


# --- lists ---


def _same_list(gold: Listed, answer: Listed) -> bool:
    """Pairs and intervals in their order, all else in any. Where one side has no brackets the other has ( ) or { }."""
    if len(gold.items) != len(answer.items):
        return _same_formula(gold.latex, answer.latex) if _may_be_list(gold, answer) else False
    if len(gold.items) == 1:
        return _same_item(gold.items[0], answer.items[0])
    both = {gold.brackets, answer.brackets}
    if len(both) > 1 and both not in ({"", "()"}, {"", "{}"}):
        return False
    in_order = gold.brackets not in ("", "{}")
    return (_same_in_order if in_order else _same_in_any_order)(gold.items, answer.items)


def _may_be_list(gold: Listed, answer: Listed) -> bool:
    """Whether one may be what the other is: 1/2 for 1:2, `\\infty` for a list of two, but no number for a list."""
    few, many = sorted((gold, answer), key=lambda it: len(it.items))
    return len(few.items) == 1 and (many.brackets == ":" or number(few.items[0]) is None)


def _same_in_order(golds: Sequence[str], answers: Sequence[str]) -> bool:
    return all(map(_same_item, golds, answers))


def _same_in_any_order(golds: Sequence[str], answers: Sequence[str]) -> bool:
    left = list(answers)
    for gold in golds:
        at = next((at for at, answer in enumerate(left) if _same_item(gold, answer)), None)
        if at is None:
            return False
        del left[at]
    return True


# --- one item ---


def _same_item(gold: str, answer: str) -> bool:
    if flat(gold) == flat(answer):
        return True
    (gold, unit), (answer, other_unit) = without_unit(gold), without_unit(answer)
    if {"am", "pm"} <= {*unit, *other_unit}:
        return False
    (name, value), (other_name, other_value) = named(gold), named(answer)
    if (name and other_name and flat(name) != flat(other_name)) or not (value or other_value):
        return _same_formula(gold, answer)
    return bool(value and other_value) and _same_value(value, other_value)


def _same_in_base(gold: str, answer: str) -> bool:
    """The same digits in the same base; one side may leave the base out."""
    (digits, base), (other_digits, other_base) = based(gold), based(answer)
    same_base = base == other_base or not (base and other_base)
    return same_base and (digits or gold.strip()) == (other_digits or answer.strip())


def _same_value(gold: str, answer: str) -> bool:
    if flat(gold) == flat(answer):
        return True
    if words(gold) or words(answer):
        return False
    if based(gold)[0] or based(answer)[0]:
        return _same_in_base(gold, answer)
    value, other = number(gold), number(answer)
    if value and not other:
        other = number(without_loose_unit(answer))
    elif other and not value:
        value = number(without_loose_unit(gold))
    if value and other:
        return value.equals(other)
    if _rounds(value, answer) or _rounds(other, gold):
        return True
    return _same_formula(value.latex if value else gold, other.latex if other else answer)


def _rounds(decimal: Number | None, latex: str) -> bool:
    """Whether `decimal` is the value of the formula, rounded."""
    formula = _formula(latex) if decimal and decimal.decimals else None
    if not (isinstance(formula, Expr) and formula.is_number and formula.is_real):
        return False
    value = formula.evalf(DIGITS)
    if not isinstance(value, Numeral):
        return False
    value = Rational(value)
    return decimal.rounds(Fraction(int(value.p), int(value.q)))


# --- formulas ---


@lru_cache(maxsize=256)
def _formula(latex: str) -> Any:
    """As math-verify reads it; None where it cannot, or would take a word for a factor or drop the base of a number."""
    if re.search(r"\\text|[\d)]\s*_", latex, re.ASCII):
        return None
    found = parse(f"${exact(latex)}$", [_FORMULA], fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if found else None


def _same_formula(gold: str, answer: str) -> bool:
    one, other = _formula(gold), _formula(answer)
    if one is None or other is None:
        return False
    return bool(verify(one, other, timeout_seconds=None)) and not _differ(one, other)


def _differ(one: Any, other: Any) -> bool:
    """Whether they are two numbers that differ: math-verify takes 1/2004! for 1/2005!, for both are nearly 0."""
    if one == other or not all(isinstance(it, Expr) and it.is_number and it.is_finite for it in (one, other)):
        return False
    try:
        value, other_value = (it.evalf(DIGITS, strict=True) for it in (one, other))
    except PrecisionExhausted:  # of a formula that is 0, it may be
        return False
    return bool(abs(value - other_value) > abs(value) * Rational(1, 10 ** (DIGITS - 10)))


if __name__ == "__main__":
    logging.disable()
    serve(judged)
