"""What a page is before it is written: a table with its notes, or a text of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.writing import markup


@dataclass(frozen=True)
class Table:
    """A table in three forms. numbers: for the CSV; shown: the same as text; title: printed above it where `headed`."""

    numbers: pd.DataFrame
    shown: pd.DataFrame
    notes: Sequence[str]
    title: str = ""
    headed: bool = False
    folder: str = "tables"  # below analysis/output

    def files(self) -> dict[str, bytes]:
        """Their contents by their endings."""
        above = f"**{markup.md(self.title)}**\n\n" if self.headed else ""
        above_tex = f"\\textbf{{{markup.tex(self.title)}}}\\par\n" if self.headed else ""
        texts = {
            "csv": markup.csv(self.numbers),
            "md": above + markup.markdown(self.shown, self.notes),
            "tex": above_tex + markup.latex(self.shown, self.notes),
        }
        return _encoded(texts)

    def show(self) -> None:
        """In the terminal."""
        markup.terminal(self.title, self.shown, self.notes)


@dataclass(frozen=True)
class Text:
    """A page of several tables. texts: contents by the endings of its files, of which one is `md`."""

    texts: Mapping[str, str]
    folder: str = "tables"

    def files(self) -> dict[str, bytes]:
        return _encoded(self.texts)

    def show(self) -> None:
        print(self.texts["md"])


Page = Table | Text


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {ending: text.encode("utf-8") for ending, text in texts.items()}
