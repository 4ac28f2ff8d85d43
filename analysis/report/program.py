"""One page with every number, its test items and its verdict, from records alone.

    python -m analysis report                                     analysis/output/report.html
    python -m analysis report --runs demo/runs --out demo/report.html
    python -m analysis report --figures FOLDER                    its plots too, as SVG, PDF and PNG

It is one file that needs no network: open it from disk, or mail it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from errors import RecordError
from harness.store.disk import tells_disk_errors
from harness.store.files import write_bytes

OUT = Path("analysis", "output", "report.html")


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> int:
    from analysis.content.core import content
    from analysis.load.records import load
    from analysis.report import charts, figures, parts

    p = argparse.ArgumentParser(
        prog="python -m analysis report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--runs", type=Path, default=Path("runs"), help="folder of records (default: %(default)s)")
    p.add_argument("--out", type=Path, default=OUT, help="the file to write (default: %(default)s)")
    p.add_argument("--figures", type=Path, metavar="FOLDER", help="write the plots there, too: SVG, PDF and PNG")
    options = p.parse_args(arguments)
    if not options.runs.is_dir():
        p.error(f"there is no folder {options.runs}; --runs names the one with records")
    try:
        loaded = load(options.runs)
        if not loaded.records:
            raise RecordError(f"no record below {options.runs}; `python run.py` makes one")
        loaded.tell()
        found = content(loaded)
        core = {**found.parts["core"], "licences": parts.licences()}
        page = parts.assembled(found.title, {**found.parts, "core": core, "charts": charts.specifications()})
    except (RecordError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_bytes(options.out, page)
    print(options.out)
    drawn = list(figures.files(found)) if options.figures else []
    for path, file in drawn:
        write_bytes(options.figures / path, file)
        print(options.figures / path)
    if options.figures and not drawn:
        print("no plot was written: no table has two adapters with a score", file=sys.stderr)
    return 0
