r"""One way to write each thing that an answer of MATH may say: `spelled`, from plain text, signs or LaTeX to LaTeX.

Fractions, spaces, separators of thousands, signs and units that math-verify 0.9 would not read, or take for something
else, get the form that it reads; words are put into `\text{}`. Nothing is left out but currency and typography.
"""

import re

_CHARACTERS = str.maketrans({
    "−": "-", "×": "\\times ", "·": "\\cdot ", "⋅": "\\cdot ", "÷": "\\div ", "π": "\\pi ", "∞": "\\infty ",
    "√": "\\sqrt ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "≈": "\\approx ", "±": "\\pm ", "∪": "\\cup ",
    "∩": "\\cap ", "∈": "\\in ", "°": "^{\\circ}", "∅": "\\emptyset ", "…": "\\ldots ", "’": "'", "′": "'",
    "½": "\\frac{1}{2}", "⅓": "\\frac{1}{3}", "⅔": "\\frac{2}{3}", "¼": "\\frac{1}{4}", "¾": "\\frac{3}{4}",
    "⅕": "\\frac{1}{5}", "⅖": "\\frac{2}{5}", "⅗": "\\frac{3}{5}", "⅘": "\\frac{4}{5}", "⅙": "\\frac{1}{6}",
    "⅚": "\\frac{5}{6}", "⅛": "\\frac{1}{8}", "⅜": "\\frac{3}{8}", "⅝": "\\frac{5}{8}", "⅞": "\\frac{7}{8}",
    "\u00a0": " ", "\u2007": " ", "\u2009": " ", "\u200a": " ", "\u202f": " ", "\u200b": "", "\n": " ", "\t": " ",
})  # fmt: skip
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
_LOWERED = str.maketrans(_RAISED, "0123456789-")
_DEGREES = r"\s*(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree)"
_ANGLE = rf"(\\(?:sin|cos|tan|cot|sec|csc))\s*[({{]?\s*(\d+){_DEGREES}\s*[)}}]?"


def _braced(fraction: re.Match[str]) -> str:
    return "\\frac" + "".join(part if part[0] == "{" else f"{{{part}}}" for part in fraction.groups())


_STEPS = [  # in this order: a later one reads what an earlier one has left
    (rf"[{_RAISED}]+", lambda raised: f"^{{{raised[0].translate(_LOWERED)}}}"),
    (r"\\(?:displaystyle|limits|m?left|m?right|[bB]igg?[lr]?)(?![a-zA-Z])(?:\.(?=\s*$))?", ""),
    (r"(^|[(\[{,=])(\s*)\u2013(?=\s*[\d\\.$])", r"\1\2-"),  # the dash of a range, where it can be but a minus sign
    (r"\.{3,}", r"\\ldots "),
    (r"\\lbrace(?![a-zA-Z])", r"\\{"),
    (r"\\rbrace(?![a-zA-Z])", r"\\}"),
    (r"\\varnothing(?![a-zA-Z])|\\\{\s*\\\}", r"\\emptyset "),
    (r"(?<=[_^])\s*(\d)\s+(?=\.?\d)", r"{\1} "),  # `2^3 5^2` and `\log_2 3` have no numbers that stand side by side
    # Thousands. A comma alone may as well separate the elements of a list: `math_reading.readings`.
    (r"(?<=\d)(?:\{,\}|, ?\\! ?)(?=\d{3}(?!\d))", ""),
    (r"\\!", ""),
    (r"(?<!\\)\\[,;: ]|~|\\q?quad(?![a-zA-Z])", " "),
    (r"(?<![\d.,])[1-9]\d{0,2}(?: \d{3})+(?!\d|[,.]\d)", lambda number: number[0].replace(" ", "")),
    (r"(?<![\d.,])[1-9]\d{0,2}(?:\.\d{3}){2,}(?![\d.,]*\d)", lambda number: number[0].replace(".", "")),
    (r"\\?[$£€¥₹]", ""),
    (r"\\[dtc]?frac(?![a-zA-Z])", r"\\frac"),
    (r"\\frac\s*(\{[^{}]*\}|\d|\\pi)\s*(\{[^{}]*\}|\d)", _braced),
    (r"(?<![\d.,/}])(\d+) (\d+) ?/ ?(\d+)(?![\d.,/]*\d)", r"\1\\frac{\2}{\3}"),  # mixed
    (r"\\?sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
    (r"<=", r"\\le "),
    (r">=", r"\\ge "),
    (r"!=", r"\\ne "),
    (r"\\(?:mathbf|boldsymbol|bm|mathit|mathsf)\s*\{([^{}]*)\}", r"\1"),
    # Degrees matter in an angle; elsewhere they are a unit.
    (_ANGLE, r"\1(\\frac{\2\\pi}{180})"),
    (rf"{_DEGREES}(?:\s*[CF]\b)?", r"\\text{degrees}"),
    (r"\\?%", r"\\text{percent}"),
    (r"\b([AaPp])\.\s?[Mm]\b\.?", r"\1m"),
    (r"(?<=[\w)}])\s*\*\*\s*(?=[\w({-])", "^"),
    (r"\\(?:text(?:bf|it|rm|sf|normal)?|[mh]box|mathrm)(?![a-zA-Z])\s*\{", r"\\text{"),
    (r"\\text\{((?=[^{}]*[\d,])[^{}]*|\s*)\}", r" \1 "),  # a number, a list: read like any other
]
_SPELLING = [(re.compile(pattern, re.ASCII), plain) for pattern, plain in _STEPS]

# Raw letters: words are four or more, or these where they stand alone; fewer are a product, as in `2ab`.
_SHORT = set(
    "and or is are in of the to per day ft kg km lb lbs cm mm ml men min mph oz yd hr hrs sec am pm sq cu odd one two "
    "not no we was get has way".split()
)
_COMMANDS = set("pi theta alpha beta gamma delta lambda sigma omega sin cos tan cot csc log ln".split())
_LEFT = set("sqrt frac infinity sinh cosh tanh arcsin arccos arctan".split())  # math-verify reads them
_TOKEN = re.compile(
    r"\\(?:begin|end|operatorname)\{[^{}]*\}|\\text\{[^{}]*\}|\\[a-zA-Z]+|(?<![_^])(?:(?<![a-zA-Z]))[A-Za-z]+", re.ASCII
)
_CONNECTIVE = re.compile(r"(?:\s*,)?\s*\\text\{\s*,?\s*(?:and|or)\s*\}\s*,?")
_TYPOGRAPHY = " ,;:*`\"'"  # before and after an answer


def spelled(answer: str) -> str:
    r"""In LaTeX, with `\text{}` about each word, unit, degree and per cent sign; "and" and "or" are commas."""
    latex = answer.translate(_CHARACTERS)
    for pattern, plain in _SPELLING:
        latex = pattern.sub(plain, latex)
    latex = _CONNECTIVE.sub(",", _TOKEN.sub(_marked, latex))
    return re.sub(r"\s+", " ", latex).lstrip(_TYPOGRAPHY).rstrip(f"{_TYPOGRAPHY}.")


def _marked(token: re.Match[str]) -> str:
    word, name = token[0], token[0].lower()
    if word.startswith("\\") or name in _LEFT:
        return word
    if name in _COMMANDS:
        return f"\\{name} "
    stands_alone = token.string[token.start() - 1 : token.start()] in ("", *" \t}).,/0123456789")
    return f"\\text{{{word}}}" if len(word) > 3 or (name in _SHORT and stands_alone) else word


_SPACES = re.compile(r"\s+(?!\d)|(?<!\d)\s+|(?<!\\)\\[!,:; ]|\\(?:left|right)(?![a-zA-Z])|[dt](?=frac)|\.$", re.ASCII)


def squeezed(answer: str) -> str:
    """Without what is only typography. A space between two digits stays: `3 4` is not `34`."""
    return _SPACES.sub("", answer)
