"""The command line that the benchmarks share: lists with commas, and one sentence for what cannot be."""

import argparse
import math
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from hydra.errors import HydraException

from bench.methods import METHODS
from errors import SettingError
from harness.run import command_line
from harness.settings import limits
from harness.store import disk, provenance

DIGITS = 15  # of a number that can be asked for


def parser(program: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        f"python -m {program}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_common(
    p: argparse.ArgumentParser, *, tokens: str, repeats: int, warm_up: int, device: str, length: int,
    methods: Sequence[str] = tuple(METHODS),
) -> None:  # fmt: skip
    """`length`: the longest sequence, of which more tokens have to be a multiple."""
    p.add_argument("--tokens", type=_token_counts(length), default=tokens, help=f"with commas between; {tokens}")
    p.add_argument("--methods", type=names(methods, "method"), default=",".join(methods), help="with commas between")
    p.add_argument("--repeats", type=positive, default=repeats, help=f"turns that count; {repeats}")
    p.add_argument("--warm-up", type=count, default=warm_up, help=f"turns before those that count; {warm_up}")
    p.add_argument("--device", default=device, choices=("cpu", "cuda"))
    p.add_argument("--threads", type=threads, default=2, help="of the CPU; 2")
    p.add_argument("--seed", type=count, default=0, help="of weights and inputs; 0")
    p.add_argument("--out", type=Path, default=Path("runs", "bench"), help="folder of the result file")


def names(choices: Sequence[str], what: str) -> Callable[[str], list[str]]:
    """For argparse: some of `choices`, with commas between."""

    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{what} {name!r} is not one of {', '.join(choices)}")
        return chosen

    return parse


def _token_counts(length: int) -> Callable[[str], list[int]]:
    def parse(text: str) -> list[int]:
        counts = [positive(part) for part in text.split(",")]
        for count in counts:
            if count > length and count % length:
                raise argparse.ArgumentTypeError(f"{count} tokens are more than {length} and no multiple of it")
        return counts

    return parse


def count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 on, of at most {DIGITS} digits")
    return int(text)


def positive(text: str) -> int:
    if count(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer above 0")
    return int(text)


def threads(text: str) -> int:
    if not 1 <= count(text) <= limits.THREADS:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to {limits.THREADS}")
    return int(text)


def rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number from 0 on")
    return value


def set_up(a: argparse.Namespace) -> torch.device:
    """Raises SettingError where there is no such device, or the results could not be written."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # weights are random: nothing is to be fetched
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was begun is ended, and cleared up
    _require_room(a.out)
    command_line.quiet()
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    if a.device == "cuda" and not torch.cuda.is_available():
        raise SettingError("torch sees no CUDA device here; --device cpu takes the CPU")
    return provenance.set_up(a.device, a.threads)


def _require_room(folder: Path) -> None:
    """Before minutes are spent on what could not be written. Raises SettingError; makes nothing."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise SettingError(f"--out {folder}: {there} is no folder that can be written to")


@contextmanager
def exits_on_user_errors() -> Iterator[None]:
    """What the user can mend ends the program with its sentence and exit code 2."""
    try:
        yield
    except Exception as error:
        said = None if disk.refuses(error) else command_line.sentence(error)
        if isinstance(error, HydraException):
            said = str(error).split("\n")[0]
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        sys.exit(2)
