"""A frame of strings to CSV, Markdown, LaTeX (booktabs) or the terminal.

Cells and notes hold what configurations, file names and exceptions say, so all is text and nothing a command: each
writer escapes what its reader would obey, after `plain`.
In a cell, `**x**` is bold; an empty string is a missing value.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{''}", "±": r"$\pm$", "†": r"\textsuperscript{\dag}", "‡": r"\textsuperscript{\ddag}",
    "×": r"$\times$", "–": "--", "σ": r"$\sigma$", "μ": r"$\mu$",
}  # fmt: skip
LONGEST_NAME = 60  # characters; file systems allow 255 bytes, and a character takes up to four
BOLD = re.compile(r"\*\*(.+?)\*\*")

_BREAK = re.compile("[\t-\r\x85\u2028\u2029]+")
# Control characters, the terminal's escape among them, and those that turn the direction of writing.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORMULA = ("=", "+", "-", "@")
_MARKDOWN = re.compile(
    r"\\(?=[!-/:-@\[-`{-~])"  # a backslash that would escape what follows
    r"|[|`*]|(?<![^\W_])_|_(?![^\W_])|~(?=~)"  # an underscore in a word is one
    r"|\](?=[(:\[])"  # the end of a link's text
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)"  # a tag, an entity
)
_MARKDOWN_BLOCK = re.compile(r"(\d*)([#>+\-.)])")  # at the start of a line: a heading, a list, a quotation


def plain(text: str) -> str:
    """`text` on one line: a space for line ends and tabs, U+FFFD for half a surrogate pair, no control characters."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _BREAK.sub(" ", text)))


def file_name(text: str) -> str:
    """`text` as the name of a file without its ending: of letters, digits, ".", "_" and "-", and in no other folder."""
    return re.sub(r"[^\w.-]", "-", text)[:LONGEST_NAME].lstrip(".")


def csv(frame: pd.DataFrame) -> str:
    """Numbers to ten digits; text that a spreadsheet would take for a formula has an apostrophe before it."""
    safe = pd.DataFrame({place: _column(frame.iloc[:, place]) for place in range(frame.shape[1])}, index=frame.index)
    return safe.to_csv(index=False, header=[_csv(name) for name in frame.columns], lineterminator="\n")


def _column(values: pd.Series) -> pd.Series:
    if pd.api.types.is_integer_dtype(values):
        return values
    return pd.Series([_csv(value) for value in values], index=values.index, dtype=object)


def _csv(value: Any) -> Any:
    if isinstance(value, float):
        return number(value)
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def number(value: float) -> str:
    """Ten significant digits, and whole numbers whole: further digits are what rounding left, and differ by machine."""
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else f"{value:.10g}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def markdown(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """First column to the left, the others to the right."""
    rule = [":--", *["--:"] * (frame.shape[1] - 1)]
    lines = [[md(name) for name in frame.columns], rule, *[[md(cell) for cell in row] for row in frame.to_numpy()]]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([table, *(["\n".join(f"- {_note(note)}" for note in notes)] if notes else [])]) + "\n"


def md(text: str) -> str:
    """`text` with every character that Markdown or HTML would read as markup escaped, and `**x**` as bold."""
    parts = [_MARKDOWN.sub(_escaped, part) for part in BOLD.split(plain(text))]
    return "".join(f"**{part}**" if place % 2 else part for place, part in enumerate(parts))


def _escaped(match: re.Match[str]) -> str:
    return {"<": "&lt;", "&": "&amp;"}.get(match[0], f"\\{match[0]}")


def _note(text: str) -> str:
    text = md(text).lstrip()
    block = _MARKDOWN_BLOCK.match(text)
    return f"{block[1]}\\{text[block.start(2) :]}" if block else text


def latex(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """Needs \\usepackage{booktabs}."""
    rows = [" & ".join(tex(cell) for cell in row) + r" \\" for row in [frame.columns, *frame.to_numpy()]]
    table = [
        rf"\begin{{tabular}}{{l{'r' * (frame.shape[1] - 1)}}}", r"\toprule", rows[0], r"\midrule", *rows[1:],
        r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    return "\n".join([*table, *[rf"\par\footnotesize {tex(note)}" for note in notes]]) + "\n"


def tex(text: str) -> str:
    """`text` with every character that LaTeX would read as a command escaped, and `**x**` as bold."""
    escaped = BOLD.sub(r"\\textbf{\1}", "".join(TEX.get(character, character) for character in plain(text)))
    start = escaped.lstrip()
    # `\\` and `\midrule` would take it for their argument.
    return f"{{{start[0]}}}{start[1:]}" if start.startswith(("[", "*")) else escaped


def terminal(title: str, frame: pd.DataFrame, notes: Sequence[str] = ()) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(plain(title), style="table.title"), title_justify="left", header_style="bold")
    for place, name in enumerate(frame.columns):
        table.add_column(Text(plain(name)), justify="right" if place else "left", overflow="fold")
    for row in frame.to_numpy():
        table.add_row(*[_rich(cell) for cell in row])
    console = Console()
    console.print(table)
    for note in notes:
        console.print(Text(f"  {plain(note)}"), style="dim", highlight=False)
    console.print()


def _rich(cell: str) -> Any:
    from rich.text import Text

    parts = BOLD.split(plain(cell))
    return Text.assemble(*[(part, "bold" if place % 2 else "") for place, part in enumerate(parts)])
