"""A frame of strings to Markdown, LaTeX (booktabs) or the terminal.

In a cell, `**x**` is bold; an empty string is a missing value.
"""

import re
from collections.abc import Sequence

import pandas as pd

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "†": r"\textsuperscript{\dag}", "‡": r"\textsuperscript{\ddag}",
    "×": r"$\times$", "–": "--", "σ": r"$\sigma$", "μ": r"$\mu$",
}  # fmt: skip
BOLD = re.compile(r"\*\*(.+?)\*\*")


def markdown(frame: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """First column to the left, the others to the right."""
    rule = [":--", *["--:"] * (frame.shape[1] - 1)]
    lines = [[_md(name) for name in frame.columns], rule, *[[_md(cell) for cell in row] for row in frame.to_numpy()]]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([table, *(["\n".join(f"- {_md(note)}" for note in notes)] if notes else [])]) + "\n"


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
    escaped = "".join(TEX.get(character, character) for character in text)
    return BOLD.sub(r"\\textbf{\1}", escaped)


def terminal(title: str, frame: pd.DataFrame, notes: Sequence[str] = ()) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for place, name in enumerate(frame.columns):
        table.add_column(escape(name), justify="right" if place else "left", overflow="fold")
    for row in frame.to_numpy():
        table.add_row(*[BOLD.sub(r"[bold]\1[/bold]", escape(cell)) for cell in row])
    console = Console()
    console.print(table)
    for note in notes:
        console.print(f"  {escape(note)}", style="dim", highlight=False)
    console.print()


def _md(text: str) -> str:
    return text.replace("|", r"\|")
