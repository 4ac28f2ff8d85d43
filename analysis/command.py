"""What the command lines of this room share: the folder of records, which has to be there, and what is written."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def parser(program: str, doc: str, out: Path, made: str) -> argparse.ArgumentParser:
    """`doc`: of the program's file; `made`: what comes into folder `out`."""
    p = argparse.ArgumentParser(prog=f"python -m {program}", description=doc.split("\n")[0])
    p.add_argument("--runs", type=Path, default=Path("runs"), help="folder of records (default: %(default)s)")
    p.add_argument("--out", type=Path, default=out, help=f"folder for the {made} (default: %(default)s)")
    return p


def parsed(p: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Ends the program with exit code 2 where the folder of records is none: a page of nothing would look like news."""
    options = p.parse_args(arguments)
    if not options.runs.is_dir():
        p.error(f"there is no folder {options.runs}; --runs names the one with records")
    return options
