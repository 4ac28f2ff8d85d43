r"""What an answer of MATH consists of, as `math_spelling` writes it: lists, names, units, words and numbers.

math-verify 0.9 (latex2sympy2-extended 1.11) is for formulas, and takes for one what is none: `12 000` is 12 · 0, `3 4`
is 7, `2 3/4` is 5/4, `1e3` is 3e, `204_5` is 204, `2t` is 2 of a unit, `Evelyn` a product of six letters, `(3, 4)` an
interval and equal to {3, 4}. So these are taken apart here, and what it would drop is not read at all: dots, primes,
moduli. Nothing here evaluates a formula.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from tasks.scoring.math_spelling import spelled

# --- the whole ---

_COMMA_NUMBERS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])", re.ASCII)
_NOT_READ = re.compile(r"\\[lc]?dots|\.\.|\\[pb]mod|\d\s+\.?\d|[\w)}]'|[?@]|\\not(?![a-z])", re.ASCII)


def readings(answer: str) -> list[str]:
    """What it may be: nothing where it cannot be read; a number or a list of two where it is `70,110`."""
    latex = introduced(spelled(answer))
    head, _ = without_unit(latex)
    latex = head if head.endswith((")", "]", "\\}")) else latex
    if not latex or _NOT_READ.search(latex):
        return []
    if re.search(r"[(\[]|\\\{", latex):  # the commas of a pair, a set or an interval
        return [latex]
    whole = _COMMA_NUMBERS.sub(lambda number: number[0].replace(",", ""), latex)
    return [whole, latex] if _COMMA_NUMBERS.fullmatch(latex) else [whole]


# --- lists ---


@dataclass(frozen=True)
class Listed:
    """Items between two brackets ("()", "[)", "{}", ...) or none (""), or a ratio (":"). One item is no list."""

    latex: str
    brackets: str
    items: tuple[str, ...]


_COMMA, _COLON = re.compile("[,;]"), re.compile(":")


def listed(latex: str) -> Listed:
    items, brackets = _split(latex, _COMMA), ""
    if len(items) == 1 and len(ratio := _split(latex, _COLON)) > 1:
        items, brackets = ratio, ":"
    elif len(items) == 1:
        value = named(latex)[1] or latex
        opening = re.match(r"[(\[]|\\\{", value)
        if opening and _closes(value):
            inside = _split(value[opening.end() : -opening.end()], _COMMA)
            if len(inside) > 1 or opening[0] == "\\{":
                items, brackets = inside, opening[0][-1] + value[-1]
    return Listed(latex, brackets, tuple(one for item in items for one in _both_signs(item.strip())))


def _both_signs(item: str) -> Iterator[str]:
    r"""`1 \pm 2` is `1 + 2` and `1 - 2`."""
    if not re.search(r"\\(?:pm|mp)(?![a-zA-Z])", item):
        yield item
        return
    for plus, minus in ("+-", "-+"):
        one = re.sub(r"\\mp(?![a-zA-Z])", minus, re.sub(r"\\pm(?![a-zA-Z])", plus, item))
        yield one.strip().removeprefix("+").strip()


def _split(latex: str, separator: re.Pattern[str]) -> list[str]:
    """At separators that stand in no brackets."""
    depths, parts, start = _depths(latex), [], 0
    for found in separator.finditer(latex):
        if not depths[found.start()]:
            parts.append(latex[start : found.start()])
            start = found.end()
    return [*parts, latex[start:]]


def _closes(latex: str) -> bool:
    """Whether the first bracket is closed by the last character."""
    depths = _depths(latex)
    return latex[-1] in ")]}" and not depths[-1] and all(depths[1 if latex[0] == "\\" else 0 : -1])


def _depths(latex: str) -> list[int]:
    """How many brackets are open after each character. A half-open interval closes with another kind."""
    depth, depths = 0, []
    for character in latex:
        depth += (character in "([{") - (character in ")]}")
        depths.append(depth)
    return depths


# --- names, words, units ---

_EQUALS = re.compile(r"(?<![<>!\\:])=|\\in(?![a-zA-Z])")
_APPROXIMATELY = re.compile(r"\\approx(?![a-zA-Z])")
_BESIDE = re.compile(r"\([^()]*\)|[_^]\s*(?:\{[^{}]*\}|\w)|\\(?!text)[a-zA-Z]+", re.ASCII)


def named(item: str) -> tuple[str, str]:
    """(`x`, `5`) of `x = 5`; ("", `5`) of `5`; (`2x`, "") of `2x = 5`, an equation that gives no value."""
    first, *rest = _split(item, _APPROXIMATELY)
    item = first if re.search(r"\d|\\pi|=", first) or not rest else rest[-1]
    name, *values = _split(item, _EQUALS)
    if not values:
        return "", item.strip()
    bare = _BESIDE.sub("", name)
    is_equation = re.search(r"\d", bare, re.ASCII) and re.search(r"[a-zA-Z]", bare)
    return name.strip(), "" if is_equation else values[-1].strip()


_INTRODUCTION = re.compile(r"(?:\s*\\text\{[^{}]*\})+\s*:?\s*(?=[^\s:])")
_INTRODUCING = set(
    "about an answer approximately by coordinates equal equals equation exactly expression final formula fraction "
    "function given hence interval is just matrix number of ordered pair point probability ratio set simply so sum "
    "that the therefore these they thus to total value values vector we".split()
)
_UNIT = re.compile(
    r"(?:[\s/.]*\\text\{[^{}]*\}(?:\s*\^\s*(?:\{\s*-?\d\s*\}|\d))?|\s*\\cdot(?=\s*\\text))+[\s.]*$", re.ASCII
)
_LOOSE_UNIT = re.compile(  # no letters that are variables for the most part
    r"(?<=[\d}]) +(?:[mgshLNJWVKCF]|(?![abcijknpqrtxyz]+\b)[A-Za-z]{2,3})(?:\s*\^\s*(?:\{\s*\d\s*\}|\d))?$", re.ASCII
)
_NO_UNITS = set(
    "squared cubed factorial times plus minus divided over choose to than half hundred thousand million billion "
    "trillion dozen not modulo root".split()
)


def _said(item: str) -> list[str]:
    return re.findall(r"[a-z]+|[^a-z\s]", " ".join(re.findall(r"\\text\{([^{}]*)\}", item)).lower())


def introduced(item: str) -> str:
    """Without words such as "approximately" or "the point" before it; others stay, and make it no formula."""
    found = _INTRODUCTION.match(item)
    return item[found.end() :] if found and _INTRODUCING.issuperset(_said(found[0])) else item


def without_unit(item: str) -> tuple[str, list[str]]:
    r"""(`5`, ["dollars"]) of `5\text{ dollars}`. Words that change what is before them ("squared") are no unit."""
    found = _UNIT.search(item)
    head = item[: found.start()].strip() if found else ""
    if not head or head[-1] in "=<>+-*/" or _NO_UNITS & set(_said(found[0])):
        return item, []
    return head, _said(found[0])


def without_loose_unit(item: str) -> str:
    """`5 m` is 5, which holds beside a number only: elsewhere letters are a product."""
    return _LOOSE_UNIT.sub("", item)


def words(item: str) -> bool:
    """Whether it consists of words alone."""
    return "\\text" in item and not re.sub(r"\\text\{[^{}]*\}|[\s().:-]", "", item)


def flat(item: str) -> str:
    r"""In small letters, without spaces, full stops, `\text` and brackets about it all: how words are compared."""
    bare = re.sub(r"\\text\{([^{}]*)\}", r"\1", item)
    bare = re.sub(r"\s+(?!\d)|(?<!\d)\s+|\.(?!\d)", "", bare, flags=re.ASCII).casefold()
    return bare[1:-1] if re.fullmatch(r"\([^(),]*\)", bare) else bare


# --- numbers ---

_BASED = re.compile(r"(-?)\(?(\d[0-9A-Z]*(?:\.[0-9A-Z]+)?)\)?\s*_\s*(?:\{\s*(\d+)\s*\}|(\d))", re.ASCII)
ROUNDED = 6  # decimals from which on a number may stand for one that has no end


def based(item: str) -> tuple[str, str]:
    """(`204`, `5`) of `204_5`; ("", "") of a number without a base."""
    found = _BASED.fullmatch(item)
    return (found[1] + found[2], found[3] or found[4]) if found else ("", "")


@dataclass(frozen=True)
class Number:
    """An exact value; decimals: how many are written, 0 where it is not written as a decimal."""

    value: Fraction
    decimals: int = 0

    def equals(self, other: "Number") -> bool:
        return self.value == other.value or self._is(other.value) or other._is(self.value)

    def _is(self, other: Fraction) -> bool:
        rest = other.denominator
        for prime in (2, 5):
            while not rest % prime:
                rest //= prime
        return rest > 1 and self.rounds(other)

    def rounds(self, other: Fraction) -> bool:
        """Whether `other`, which has no last decimal, has these when rounded."""
        scale = 10**self.decimals
        has_digits = self.decimals >= ROUNDED and abs(self.value) * scale >= 1000  # beside leading zeros
        return has_digits and abs(self.value - other) * scale * 2 <= 1

    @property
    def latex(self) -> str:
        return f"\\frac{{{self.value.numerator}}}{{{self.value.denominator}}}"


_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s*(?:"
    r"(?:(?P<whole>\d+)\s*)?\\frac\{\s*(?P<a>[-+]?\d+)\s*\}\{\s*(?P<b>[-+]?\d+)\s*\}"
    r"|(?P<c>\d+)\s*/\s*(?P<d>\d+)"
    r"|(?P<digits>\d+(?:\.\d*)?|\.\d+)(?:\\overline\{(?P<period>\d+)\})?"
    r"(?:[eE](?P<e>[-+]?\d{1,3})|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*(?:\{\s*(?P<p>[-+]?\d{1,3})\s*\}|(?P<q>\d)))?)",
    re.ASCII,
)
_DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+", re.ASCII)


def number(item: str) -> Number | None:
    """A whole number, fraction, mixed number or decimal, the last with an exponent or a period; None of all else."""
    found = _NUMBER.fullmatch(item)
    if not found:
        return None
    sign = -1 if found["sign"] == "-" else 1
    if found["digits"]:
        read = _decimal(found)
        return read and Number(sign * read.value, read.decimals)
    over, under = int(found["a"] or found["c"]), int(found["b"] or found["d"])
    if not under or (found["whole"] and min(over, under) < 0):
        return None
    return Number(sign * (int(found["whole"] or 0) + Fraction(over, under)))


def _decimal(found: re.Match[str]) -> Number | None:
    exponent, period = found["e"] or found["p"] or found["q"], found["period"]
    decimals = len(found["digits"].partition(".")[2])
    value = Fraction(found["digits"].rstrip("."))
    if period and "." not in found["digits"]:
        return None
    if period:
        value += Fraction(int(period), 10**decimals * (10 ** len(period) - 1))
    return Number(value * Fraction(10) ** int(exponent or 0), 0 if exponent or period else decimals)


def exact(latex: str) -> str:
    """With every decimal as a fraction: math-verify would round it."""
    return _DECIMAL.sub(lambda decimal: Number(Fraction(decimal[0])).latex, latex)
