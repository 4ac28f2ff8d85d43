"""Put generated tables into README.md and docs/*.md, between `<!-- table:NAME -->` and `<!-- end -->`.

    python -m analysis readme [--check] [--readme README.md docs/results.md ...] [--tables analysis/output/tables]

NAME is that of a file NAME.md in the folder of tables; `real_short` is a short form of `real`, made here.
`--check` changes nothing and exits 1 where a page differs.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.writing.markup import markdown
from analysis.writing.numbers import count, estimate, with_interval
from harness.store.disk import tells_disk_errors
from harness.store.files import write_text

OUT = Path("analysis", "output", "tables")
BLOCK = re.compile(r"(<!-- table:(?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    return [Path("README.md"), *sorted(Path("docs").glob("*.md"))]


def filled(text: str, tables: Path) -> str:
    """`text` with each marked block replaced by its table. Raises FileNotFoundError naming the tables there are."""

    def block(match: re.Match) -> str:
        made = short(tables) if match["name"] == "real_short" else _file(tables, match["name"])
        return f"{match[1]}{made}{match[3]}"

    return BLOCK.sub(block, text)


def _file(tables: Path, name: str) -> str:
    path = tables / f"{name}.md"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in tables.glob("*.md"))) or "none"
        raise FileNotFoundError(f"no table is named {name!r} in {tables}; there are: {known}")
    return path.read_text(encoding="utf-8")


def short(tables: Path) -> str:
    """The methods of real.csv: trained parameters, score, and the difference to the row of reference."""
    frame = pd.read_csv(tables / "real.csv")
    lines = [
        {
            "Method": row.label, "Trained": count(row.params), "Accuracy (%)": estimate(row),
            "Difference": "" if pd.isna(row.difference) else with_interval(*_interval(row)), "": row.verdict,
        }
        for row in frame[frame["seeds"] > 0].itertuples()
    ]  # fmt: skip
    note = "Trained: parameters without the head. Brackets: 95 % bootstrap interval over seeds."
    return markdown(pd.DataFrame(lines), [note])


def _interval(row) -> tuple[float, float, float]:
    return row.difference, row.difference_low, row.difference_high


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
