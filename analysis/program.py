"""Tables, figures, the page of all results, the README's tables and searched learning rates, all from records alone.

    python -m analysis tables plots              every page and every figure, into analysis/output
    python -m analysis tables comparison         one page by its name, or several
    python -m analysis tables --runs demo/runs --print
    python -m analysis report                    all of it as one page, analysis/output/report.html
    python -m analysis readme                    the tables into README.md and docs/
    python -m analysis search --family micro_math --task micro_gsm --model micro_gemma

Options of each: `python -m analysis COMMAND --help`.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from errors import RecordError
from harness.store.disk import tells_disk_errors
from harness.store.files import write_bytes

OUT = Path("analysis", "output")
# What makes the pages and figures of a command, in the order in which they are made. Imported when it is asked for.
MAKERS = {
    "tables": (
        "pages.results", "checks.params", "pages.paper_tables", "pages.comparison", "pages.fusion",
        "pages.training_strength", "checks.verdicts", "pages.bench", "checks.errata", "checks.others_pages",
        "methods.page", "energy.page",
    ),
    "plots": (
        "figures.pareto", "figures.studies", "figures.strength", "figures.paper", "figures.bench", "figures.patterns",
        "figures.verdicts", "methods.figure", "energy.figure",
    ),
}  # fmt: skip
OTHERS = ("report", "readme", "search")  # which are modules with a command line of their own

Makers = dict[str, Callable[[], Any]]  # a page or a figure by its name, made when it is called


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all that was asked for is there, else 1. Leaves with 2 where the command line is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=[*MAKERS, *OTHERS])
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="names and options of the command")
    options = parser.parse_args(arguments)
    if options.command in OTHERS:
        return importlib.import_module(f"analysis.{options.command}").main(options.rest) or 0
    return build(options.command, options.rest)


@tells_disk_errors()
def build(command: str, arguments: Sequence[str]) -> int:
    """Make the pages or figures that were named, or all. A fault of one does not keep the others from being made."""
    from analysis.load.records import load

    parser = _parser(command)
    options = parser.parse_args(arguments)
    if not options.runs.is_dir():
        parser.error(f"there is no folder {options.runs}; --runs names the one with records")
    names = [name for name in options.names if name not in MAKERS]
    try:
        loaded = load(options.runs)
    except RecordError as error:
        sys.exit(f"error: {error}")
    faults: list[str] = []
    there = {each: makers(each, loaded, faults) for each in MAKERS if each in (command, *options.names)}
    for name in names:
        if not any(name in own for own in there.values()):
            parser.error("; ".join([_no_page(name, there), *faults]))
    loaded.tell()
    for each, own in there.items():
        for name in (name for name in own if not names or name in names):
            _make(each, name, own[name], options, faults)
    if not faults and not any(there.values()):
        what = "record" if "tables" in there else "finished run"
        faults = [f"no {what} below {options.runs}; `python run.py` makes one"]
    for fault in dict.fromkeys(faults):  # several kinds of pages may have the same
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _parser(command: str) -> argparse.ArgumentParser:
    other = next(each for each in MAKERS if each != command)
    p = argparse.ArgumentParser(
        prog=f"python -m analysis {command}",
        description="Records are read once. One that is damaged is named, here and on each page that would use it.",
    )
    named = f"a page or figure, as its files are called without their endings (default: all); {other}: those too"
    p.add_argument("names", nargs="*", metavar="NAME", help=named)
    p.add_argument("--runs", type=Path, default=Path("runs"), help="folder of records (default: %(default)s)")
    p.add_argument("--out", type=Path, help=f"folder to write to (default: {OUT}/tables and {OUT}/figures)")
    p.add_argument("--print", action="store_true", help="show tables in the terminal and write none")
    return p


def makers(command: str, loaded: Any, faults: list[str]) -> Makers:
    """All that a command can make. What keeps a kind of pages from being made is added to `faults`."""
    found: Makers = {}
    for module in MAKERS[command]:
        try:
            found |= importlib.import_module(f"analysis.{module}").makers(loaded)
        except RecordError as error:
            faults.append(str(error))
    return found


def _make(command: str, name: str, maker: Callable[[], Any], options: argparse.Namespace, faults: list[str]) -> None:
    """Write the files of one page or figure, or show it."""
    try:
        page = maker()
        if options.print and command == "tables":
            page.show()
            return
        files = page.files()
    except RecordError as error:
        faults.append(f"{name}: {error}")
        return
    folder = options.out or OUT / page.folder
    for ending, content in files.items():
        write_bytes(folder / f"{name}.{ending}", content)
    endings = ",".join(files)
    print(f"{folder}/{name}.{f'{{{endings}}}' if len(files) > 1 else endings}")


def _no_page(name: str, there: dict[str, Makers]) -> str:
    known = [each for own in there.values() for each in own]
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no page or figure {name!r}; there are {', '.join(known) or 'none'}{meant}"
