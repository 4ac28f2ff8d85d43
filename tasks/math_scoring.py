r"""Scorers of MATH (Hendrycks et al. 2021, arXiv:2103.03874): a prediction and a gold answer in, a verdict out.

`math_legacy` answers as MetaMath's `eval_math.py` does (arXiv:2309.12284), so that scores compare with the paper's: it
compares strings after Hendrycks' normalisation, where `3.0` is not `3` and `\leftarrow` is `arrow`.
`math_strict` compares values by math-verify, in a process of its own with limits on time and memory.
A gold is as `boxed_answer` gives it.
"""

import re
from functools import cache

from tasks.base import ItemScore
from tasks.isolation import NoAnswer, Worker
from tasks.scoring import LONGEST_ANSWER, MARKER, STRICT_MARKER, UNPARSED, of_bounded_text

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


# --- strict: the value, by math-verify ---

CPU_SECONDS = 2  # an answer that sympy has not compared by then is seldom one that it ever compares
MEMORY_BYTES = 2 * 1024**3

_OPENING = re.compile(r"(?:\\[\[(]|[\s:*$])*+")  # possessive: nothing is kept to step back to
_DOLLAR = re.compile(r"\\?\$|\\[)\]]")
_SENTENCE_END = re.compile(r"[.?](?!\S)")
_PERCENT = re.compile(r"\s*\\?%$")
_TYPOGRAPHY = re.compile(r"\s+|\\[!,:; ]|\\(?:left|right)(?![a-zA-Z])|[dt](?=frac)|\.$")


@of_bounded_text
def math_strict(text: str, gold: str) -> ItemScore:
    r"""The answer after the last marker has the value of the gold.

    Marker: "answer is", "answer:", "####" or "\boxed{". The answer is the group in the box, or else the first line with
    text after the marker, up to a full stop. Equal but for spaces and the like is right, also where math-verify cannot
    read the gold; for the rest math-verify decides. An answer that it cannot read, or not within CPU_SECONDS and
    MEMORY_BYTES, counts as none. Each such answer costs its time and a new process, half a second: 5,000 of them would
    take three and a half hours. The unit and "%" beside a number are disregarded, as in MATH's own golds.
    """
    answer = _strict_answer(text)
    if not answer or len(answer) > LONGEST_ANSWER:
        return UNPARSED
    expected = _plain(_take_box(gold)[1] if _BOX.match(gold) else gold)
    if _TYPOGRAPHY.sub("", answer) == _TYPOGRAPHY.sub("", expected):
        return ItemScore(correct=True)
    try:
        same = _judge().ask({"gold": expected, "answer": answer})
    except NoAnswer:
        return UNPARSED
    return UNPARSED if same is None else ItemScore(correct=same)


@cache
def _judge() -> Worker:
    return Worker("tasks.math_judge", cpu_seconds=CPU_SECONDS, memory_bytes=MEMORY_BYTES)


def _strict_answer(text: str) -> str:
    """The answer after the last marker, in plain typography; empty where there is none."""
    start = len(text)
    for marker in STRICT_MARKER.finditer(text):
        start = marker.end()
    if text[:start].endswith("{"):
        return _plain(_group(text[start : start + LONGEST_ANSWER + 2]))
    start = _OPENING.match(text, start).end()
    answer = _DOLLAR.sub("", text[start:].partition("\n")[0][: LONGEST_ANSWER + 1])
    end = _SENTENCE_END.search(answer)
    return _plain(answer[: end.start()] if end else answer)


def _plain(answer: str) -> str:
    """Without dollar signs, percent sign and line ends."""
    answer = _DOLLAR.sub("", answer.replace("\u2212", "-").replace("\n", " "))
    return _PERCENT.sub("", answer.strip(" *`"))
