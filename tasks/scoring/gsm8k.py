"""Scorers: a prediction and a gold answer in, a verdict out. A prediction never raises; a malformed gold does.

`gsm8k_legacy` answers as MetaMath's `eval_gsm8k.py` does (arXiv:2309.12284), so that scores compare with the paper's;
it rounds (17.6 passes for 18), stops at the second thousands separator, and needs its marker to the letter.
`gsm8k_strict` reads the same text exactly. Both run in time linear in the text, and read none beyond LONGEST_TEXT.
"""

import re
from collections import deque
from fractions import Fraction

from tasks.base import ItemScore
from tasks.scoring.verdicts import UNPARSED, of_bounded_text

MARKER = "The answer is: "

# --- legacy: MetaMath's extraction ---

_WHOLE_DECIMAL = re.compile(r"(?<=\d)\.0+$", re.ASCII)
_LEGACY_NUMBER = re.compile(r"[\-+]?\d*[\.,/]?\d+")


@of_bounded_text
def gsm8k_legacy(text: str, gold: str) -> ItemScore:
    """First number after the last marker, rounded to an integer (halves to even), against an integer gold.

    A whole number that is written as a decimal, as the 8.0 of SVAMP and MAWPS, is an integer.
    """
    expected = float(int(_WHOLE_DECIMAL.sub("", gold.replace(",", ""))))
    predicted = _legacy_number(text)
    return UNPARSED if predicted is None else ItemScore(correct=float(predicted) == expected)


def _legacy_number(text: str) -> int | None:
    _, marker, answer = text.rpartition(MARKER)
    match = _LEGACY_NUMBER.search(answer) if marker else None
    if match is None:
        return None
    numerator, slash, denominator = match.group().replace(",", "").partition("/")
    try:
        # "3/0" reads as 3 upstream; "3/00" ends the upstream script, as does a number beyond the range of float.
        if slash and denominator != "0":
            return round(int(numerator) / int(denominator))
        return round(float(numerator))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None


# --- strict: the exact value, no rounding ---

STRICT_MARKER = re.compile(r"\banswer(?:\*\*)?(?: is\b|:)|####|\\(?:boxed|fbox)(?![a-z])\s*\{?", re.IGNORECASE)
MARKERS = 8  # of a text, counted from its end, after which an answer is looked for
# Of bold type, of a list. No possessive quantifiers: after a group that fails, Python 3.11.2 goes on in its middle.
OPENING = re.compile(r"[\s:]*(?:\*+(?=\s))?[\s:]*(?:(?<=\n)(?:[-\u2022]|\*(?!\*)) +)?")
_SENTENCE_END = re.compile(r"[.!?;]+(?!\S)")
LONGEST_ANSWER = 1000  # characters
_TYPOGRAPHY = (
    (re.compile("\u2212"), "-"),  # the minus sign
    (
        re.compile("(?:^|(?<=[=(])|(?<=[=(] ))\u2013(?= ?\\\\?[$€£]? ?[.\\d])"),
        "-",
    ),  # the dash of a range, where there is none
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,)(?=\d{3})"), ","),  # LaTeX's thousands separators
    (re.compile(r"\\[,!;: ]|[~\t]"), " "),
    (re.compile(r"(?<!\d)\\?[$€£] ?(?=[-+.\d])"), ""),  # a currency or LaTeX sign; "-$18" keeps its minus
    (re.compile(r"(?<=\d) ?(?=\\[dt]?frac)"), " "),
    (re.compile(r"\\[dt]?frac ?\{ ?(\d+) ?\} ?\{ ?(\d+) ?\}"), r"\1/\2"),
)
_OPERATION = re.compile(r"\\sqrt|\\pi|[√π¼½¾]|[\d)]\}? ?[\^⁰¹²³⁴-⁹]")  # changes the value of the number beside it
_NOT_INSIDE = r"(?<![\w.^])(?<!\^\{)"  # "m2" and "m^2" are units
_DIGIT = re.compile(r"\d", re.ASCII)
_LEFT_OVER = re.compile(rf"{_NOT_INSIDE}\d", re.ASCII)
_NUMBER = re.compile(
    r"(?P<sign>^[-+] ?|(?<![\w)}])[-+])?"
    rf"{_NOT_INSIDE}(?<!/)"
    r"(?:(?:(?P<whole>\d+) )?(?P<fraction>\d+ ?/ ?\d+)"
    r"|(?P<decimal>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d\d?)?|\.\d+))"
    r"(?![.,]?\d|e[-+]?\d)",
    re.ASCII | re.IGNORECASE,
)


@of_bounded_text
def gsm8k_strict(text: str, gold: str) -> ItemScore:
    """The one number after the last marker that a number follows, as an exact fraction, against an exact gold.

    Marker: "answer is", "answer:", "####" or "\\boxed{". The answer is the first line with text after it, up to the
    end of the sentence that holds its first number, and from its last "=" on; the dash of a list is no minus. It
    may carry a currency sign, "%" and units, none of which changes the value (50% is 50, 3 million is 3); thousands
    separators in their places, decimals, fractions ("7/2", "3 1/2", "\\frac{7}{2}") and "1e5" are read. Two
    different numbers ("2 hours and 30 minutes"), a misplaced separator ("1,23") or an operation on the number
    ("2^3") leave no single answer: not parsed.
    """
    expected = Fraction(gold.replace(",", ""))
    predicted = _strict_number(text)
    return UNPARSED if predicted is None else ItemScore(correct=predicted == expected)


def _strict_number(text: str) -> Fraction | None:
    answer = _strict_answer(text)
    if len(answer) >= LONGEST_ANSWER or _OPERATION.search(answer):
        return None
    try:
        values = {_value(match) for match in _NUMBER.finditer(answer)}
    except ZeroDivisionError:
        return None
    if _LEFT_OVER.search(_NUMBER.sub("", answer)):
        return None
    return values.pop() if len(values) == 1 else None


def marked(text: str) -> list[int]:
    """Where the last markers end, of which the last comes first."""
    return list(deque((marker.end() for marker in STRICT_MARKER.finditer(text)), maxlen=MARKERS))[::-1]


def _strict_answer(text: str) -> str:
    """The sentence after the last marker that a number follows; empty where there is none."""
    sentences = (_sentence(text, start) for start in marked(text))
    return next((sentence for sentence in sentences if _DIGIT.search(sentence)), "")


def _sentence(text: str, start: int) -> str:
    """In plain typography."""
    answer = text[OPENING.match(text, start).end() :].partition("\n")[0]
    for pattern, plain in _TYPOGRAPHY:
        answer = pattern.sub(plain, answer)
    answer = answer[: LONGEST_ANSWER + 1]  # _NUMBER takes quadratic time
    number = _NUMBER.search(answer)
    end = _SENTENCE_END.search(answer, number.end()) if number else None
    answer = answer[: end.start()] if end else answer
    return answer.rpartition("=")[2].strip()


def _value(number: re.Match[str]) -> Fraction:
    if number["fraction"]:
        size = Fraction(number["whole"] or 0) + Fraction(number["fraction"].replace(" ", ""))
    else:
        size = Fraction(number["decimal"].replace(",", ""))
    return -size if (number["sign"] or "").startswith("-") else size
