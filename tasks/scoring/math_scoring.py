r"""Scorers of MATH (Hendrycks et al. 2021, arXiv:2103.03874): a prediction and a gold answer in, a verdict out.

`math_legacy` answers as MetaMath's `eval_math.py` does (arXiv:2309.12284), so that scores compare with the paper's: it
compares strings after Hendrycks' normalisation, where `3.0` is not `3` and `\leftarrow` is `arrow`.
`math_strict` compares values, by `math_judge` and math-verify, in a process of its own with limits on time and memory.
A gold is as `boxed_answer` gives it.
"""

import re
from functools import cache

from tasks.base import ItemScore
from tasks.scoring.gsm8k import LONGEST_ANSWER, MARKER, OPENING, marked
from tasks.scoring.isolation import NoAnswer, Worker
from tasks.scoring.verdicts import UNPARSED, of_bounded_text

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_TOKEN = re.compile(r"\\[a-zA-Z]+|[^{}]")


def boxed_answer(solution: str) -> str:
    r"""What is in the last `\boxed{}`; empty where there is no box.

    The answer stays in its box where the released script cannot open it, and so has no gold: `\boxed 5`, `\fbox{5}`,
    or a brace that is not closed.
    """
    start = solution.rfind("\\boxed")
    if start < 0:
        start = solution.rfind("\\fbox")
    if start < 0:
        return ""
    box, inside = _take_box(solution[start:])
    return inside if inside and box == f"\\boxed{{{inside}}}" else box


def _take_box(text: str) -> tuple[str, str]:
    """The box at the start of `text`, and what it holds: a group in braces or a token; nothing if it is not closed."""
    head = _BOX.match(text).group()
    rest = text[len(head) :]
    if rest.startswith("{"):
        inside = _group(rest[1:])
        return (f"{head}{{{inside}}}", inside) if inside else (text, "")
    token = _TOKEN.match(rest)
    return (head + token.group(), token.group()) if token else (text, "")


def _group(text: str) -> str:
    """`text` up to the brace that closes a group opened just before it; empty where none does."""
    open_braces = 1
    for at, character in enumerate(text):
        open_braces += (character == "{") - (character == "}")
        if not open_braces:
            return text[:at]
    return ""


# --- legacy: MetaMath's extraction, Hendrycks' equivalence ---


@of_bounded_text
def math_legacy(text: str, gold: str) -> ItemScore:
    r"""What follows the last marker, up to a full stop that ends a line, is equivalent to the gold as a string."""
    _, marker, answer = text.rpartition(MARKER)
    if not marker:
        return UNPARSED
    answer = answer.partition(".\n")[0].strip().removesuffix(".").strip()
    return ItemScore(correct=not _BOX.match(gold) and is_equiv(answer, gold))


class _Unfit(Exception):
    """The normalisation of the released script fails on this string."""


def is_equiv(a: str, b: str) -> bool:
    """Equal after normalisation; equal as they are where the normalisation of either fails."""
    try:
        return _normal(a) == _normal(b)
    except _Unfit:
        return a == b


_REMOVED = ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$")


def _normal(text: str) -> str:
    """Hendrycks' `_strip_string`: every step in its order, for a later one reads what an earlier one has left."""
    text = text.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for removed in _REMOVED:
        text = text.replace(removed, "")
    text = _without_units(text).replace("\\%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = f"0{text}"
    left, equals, right = text.partition("=")
    if equals and "=" not in right and len(left) <= 2:  # "k = 5"
        text = right
    text = _with_braced_roots(text).replace(" ", "")
    text = _with_braced_fractions(text)
    return _with_fraction_for_slash("\\frac{1}{2}" if text == "0.5" else text)


def _without_units(text: str) -> str:
    r"""`5\text{ cm}` is `5`; only units have a space after the brace."""
    before, *rest = text.split("\\text{ ")
    if len(rest) > 1:
        raise _Unfit
    return before


def _with_braced_roots(text: str) -> str:
    r"""`\sqrt3` is `\sqrt{3}`."""
    before, *roots = text.split("\\sqrt")
    if "" in roots:
        raise _Unfit
    return before + "".join("\\sqrt" + (root if root[0] == "{" else f"{{{root[0]}}}{root[1:]}") for root in roots)


def _with_braced_fractions(text: str) -> str:
    r"""`\frac12` is `\frac{1}{2}`, `\frac1{72}` is `\frac{1}{72}`; a `\frac` before a single character stops it all."""
    before, *fractions = text.split("\\frac")
    braced = [before]
    for fraction in fractions:
        if not fraction:
            raise _Unfit
        if fraction[0] != "{":
            if len(fraction) == 1:
                return text
            denominator = fraction[1] if fraction[1] == "{" else f"{{{fraction[1]}}}"
            fraction = f"{{{fraction[0]}}}{denominator}{fraction[2:]}"
        braced.append(fraction)
    return "\\frac".join(braced)


def _with_fraction_for_slash(text: str) -> str:
    r"""`1/2` is `\frac{1}{2}`. `x/2` raises: the released script expects a whole number on each side of one slash."""
    if text.count("/") != 1:
        return text
    try:
        a, b = map(int, text.split("/"))
    except ValueError as error:
        raise _Unfit from error
    return f"\\frac{{{a}}}{{{b}}}" if text == f"{a}/{b}" else text


# --- strict: the value, by lists, words, numbers, and math-verify ---

CPU_SECONDS = 2  # an answer that sympy has not compared by then is seldom one that it ever compares
MEMORY_BYTES = 2 * 1024**3

_DISPLAY = re.compile(r"\\\[(.+?)\\\]|\$\$(.+?)\$\$", re.DOTALL)
_INLINE = re.compile(r"\\[(\[](.+?)\\[)\]]|(?<!\\)\$([^$]+?)(?<!\\)\$", re.DOTALL)
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_SENTENCE_END = re.compile(r"(?<!\.)[.?](?!\S)")


@of_bounded_text
def math_strict(text: str, gold: str) -> ItemScore:
    r"""The answer after the last marker that is followed by one has the value of the gold.

    Marker: "answer is", "answer:", "####" or "\boxed{". The answer is the group in the box, or else the first line with
    text after the marker, up to a full stop. Words after a marker ("so our answer is correct") count where no other
    marker is followed by a number or formula, or where the gold is a word; a box goes before words in any case.

    Read are: numbers, as 1,234 or 1{,}234 or 1 234 or 1\,234 or 1.234.567, decimals, 0.\overline{3}, a/b, \frac{a}{b},
    \frac12, ½, mixed numbers (2 3/4 is 11/4), 1e3, 3 \times 10^5, digits with a base (which one side may leave out);
    formulas of LaTeX, equations, intervals and matrices; `x = 5` for 5, though not `2x = 5`; lists in any order, and
    pairs and intervals in theirs, "and" and "or" and \pm included; words, but for case and full stops. Letters of
    formulas have no case. Disregarded are currency, per cent and degree signs and units (but not "million", nor a.m.
    against p.m.), and an introduction ("approximately", "the point").
    Numbers compare exactly, but a decimal with six decimals or more is also what rounds to it.

    `3 4`, words within a formula, dots, primes and moduli are not read; what is written like the gold, spaces apart,
    is right all the same. Where nothing can be read, or not within CPU_SECONDS and MEMORY_BYTES, there is no answer.
    Each answer that breaks these limits costs its time and a new process, half a second: 5,000 of them would take
    three and a half hours.
    """
    answers = _answers(text)
    if not answers:
        return UNPARSED
    expected = _take_box(gold)[1] if _BOX.match(gold) else gold
    try:
        same = _judge().ask({"gold": expected, "answers": answers})
    except NoAnswer:
        return UNPARSED
    return UNPARSED if same is None else ItemScore(correct=same)


@cache
def _judge() -> Worker:
    return Worker("tasks.scoring.math_judge", cpu_seconds=CPU_SECONDS, memory_bytes=MEMORY_BYTES)


def _answers(text: str) -> list[tuple[str, bool]]:
    """What follows each of the last markers, and whether that is a box; the last comes first."""
    found = [_boxed(text, start) if text[start - 1] == "{" else _sentence(text, start) for start in marked(text)]
    return [(answer, is_boxed) for answer, is_boxed in found if answer.strip() and len(answer) <= LONGEST_ANSWER]


def _boxed(text: str, start: int) -> tuple[str, bool]:
    return _group(text[start : start + LONGEST_ANSWER + 2]), True


def _sentence(text: str, start: int) -> tuple[str, bool]:
    """The formula that opens there, or the line up to a full stop; empty where it has a box, a marker of its own."""
    start = OPENING.match(text, start).end()
    rest = text[start : start + LONGEST_ANSWER + 1]
    display = _DISPLAY.match(rest)
    line = _line(rest)
    end = _SENTENCE_END.search(line)
    said = (display[1] or display[2]) if display else _formulas_apart(line[: end.start()] if end else line)
    return "" if _BOX.search(said) else said, False


def _line(text: str) -> str:
    """The first line, with those that follow while a brace is open."""
    end = text.find("\n")
    while end >= 0 and text.count("{", 0, end) > text.count("}", 0, end):
        end = text.find("\n", end + 1)
    return text if end < 0 else text[:end]


def _formulas_apart(line: str) -> str:
    r"""Where formulas stand between dollar signs or `\( \)`, all else is words, and is put into `\text{}`."""
    parts = _INLINE.split(_BOLD.sub(r"\1", line))
    return "".join(_as_words(part) if at % 3 == 0 and len(parts) > 1 else part or "" for at, part in enumerate(parts))


def _as_words(part: str) -> str:
    return f"\\text{{{part}}}" if re.search("[a-zA-Z]", part) and not re.search(r"[\\{}]", part) else part
