"""Put generated tables into README.md and docs/*.md, between `<!-- table:NAME -->` and `<!-- end -->`.

    python -m analysis readme [--check] [--readme README.md docs/results.md ...] [--tables analysis/output/tables]

NAME is that of a file NAME.md in the folder of tables; `side_by_side` is a short form of `comparison`, made here.
`--check` changes nothing and exits 1 where a page differs.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.writing.markup import markdown
from analysis.writing.numbers import count, estimate
from harness.store.disk import tells_disk_errors
from harness.store.files import write_text

OUT = Path("analysis", "output", "tables")
BLOCK = re.compile(r"(<!-- table:(?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    return [Path("README.md"), *sorted(Path("docs").glob("*.md"))]


def filled(text: str, tables: Path) -> str:
    """`text` with each marked block replaced by its table. Raises FileNotFoundError naming the tables there are."""

    def block(match: re.Match) -> str:
        made = side_by_side(tables) if match["name"] == "side_by_side" else _file(tables, match["name"])
        return f"{match[1]}{made}{match[3]}"

    return BLOCK.sub(block, text)


def _file(tables: Path, name: str) -> str:
    path = tables / f"{name}.md"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in tables.glob("*.md"))) or "none"
        raise FileNotFoundError(f"no table is named {name!r} in {tables}; there are: {known}")
    return path.read_text(encoding="utf-8")


def side_by_side(tables: Path) -> str:
    """The methods that every panel of comparison.csv has: trained parameters and scores of all panels beside them."""
    frame = pd.read_csv(tables / "comparison.csv")
    panels = [rows.set_index("label") for _, rows in frame.groupby("panel", sort=False)]
    shared = [label for label in panels[0].index if all(label in rows.index for rows in panels)]
    lines = [
        {"Method": label, "Trained": " / ".join(count(rows.params[label]) for rows in panels)}
        | {f"{rows.metric.iloc[0]} (%)": estimate(rows.loc[label]) for rows in panels}
        for label in shared
    ]
    models = " / ".join(rows.model.iloc[0] for rows in panels)
    return markdown(pd.DataFrame(lines), [f"Trained: parameters without the head, {models}."])


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis readme", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where a page differs")
    parser.add_argument("--readme", type=Path, nargs="+", metavar="PAGE", help="default: README.md and docs/*.md")
    parser.add_argument("--tables", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    asked = options.readme or pages()
    try:
        texts = {page: page.read_text(encoding="utf-8") for page in asked}
        new = {page: filled(text, options.tables) for page, text in texts.items()}
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    differing = [page for page in asked if new[page] != texts[page]]
    for page in differing:
        if options.check:
            print(f"{page} is not what the tables say; `make readme` writes it", file=sys.stderr)
        else:
            write_text(page, new[page])
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
