"""Put generated tables into README.md, between `<!-- table:NAME -->` and `<!-- end -->`.

    python -m analysis.readme [--check] [--readme README.md] [--tables analysis/output/tables]

NAME is that of a file NAME.md in the folder of tables. `--check` changes nothing and exits 1 where the text differs.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.tables import OUT
from harness.store.disk import tells_disk_errors
from harness.store.files import write_text

BLOCK = re.compile(r"(<!-- table:(?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, tables: Path) -> str:
    """`text` with each marked block replaced by its table. Raises FileNotFoundError naming the tables there are."""

    def block(match: re.Match) -> str:
        path = tables / f"{match['name']}.md"
        if not path.exists():
            known = ", ".join(sorted(p.stem for p in tables.glob("*.md"))) or "none"
            raise FileNotFoundError(f"no table is named {match['name']!r} in {tables}; there are: {known}")
        return f"{match[1]}{path.read_text(encoding='utf-8')}{match[3]}"

    return BLOCK.sub(block, text)


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m analysis.readme", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the text differs")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--tables", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        text = options.readme.read_text(encoding="utf-8")
        new = filled(text, options.tables)
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check and new != text:
        print(f"{options.readme} is not what the tables say; `python -m analysis.readme` writes it", file=sys.stderr)
        return 1
    if not options.check:
        write_text(options.readme, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
