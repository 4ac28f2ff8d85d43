"""The programs of this project at the command line: their options, and how they end.

What the user can mend is told in one sentence, and the exit code is then not 0. Anything else is a bug and keeps its
traceback.
"""

import argparse
import functools
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from omegaconf import DictConfig

from errors import SettingError
from harness.console.stderr import hold_stderr, is_first
from harness.console.told import failures, sentence
from harness.run import help
from harness.settings import hints
from harness.settings.hints import added
from harness.settings.typed import SEVERAL, arguments
from harness.store import disk

T = TypeVar("T")


# --- run.py ---


def program(main: Callable[[], object]) -> int:
    """Call Hydra's `main` with what was typed. Returns the exit code: 1 where a run failed."""
    if help.is_asked_for(sys.argv[1:]):  # Hydra's own takes seconds to list what is in conf/
        print(help.text())
        return 0
    with (
        hold_stderr(lambda held: hints.explained(held, sys.argv[1:])),
        disk.tells_disk_errors(),
        leaving_together(),
        interruptible(),
    ):
        sys.argv[1:] = understood(sys.argv[1:])
        main()
    return 1 if failures else 0


def understood(typed: list[str]) -> list[str]:
    """Arguments as Hydra is to read them. Ends the program with a sentence where they cannot be."""
    from harness.plan.experiments import several_runs

    try:
        read = arguments(several_runs(typed))
    except SettingError as error:
        sys.exit(f"error: {error}")
    if SEVERAL.isdisjoint(read) and (unknown := added(read)):  # of several runs each is looked at where it is composed
        sys.exit(f"error: {unknown[0]}")
    return read


def tells_user_errors(function: Callable[[DictConfig], T]) -> Callable[[DictConfig], T | None]:
    """Of the function of one run: `fail` for what it raises, so that a sweep goes on with its next run."""

    @functools.wraps(function)
    def wrapped(cfg: DictConfig) -> T | None:
        try:
            return function(cfg)
        except Exception as error:
            fail(error)
            return None
        except SystemExit as stopped:
            tell_of_stop(stopped)
            raise

    return wrapped


def tell_of_stop(stopped: SystemExit) -> None:
    """Say that the run was stopped by a signal, where that is what ends the program."""
    from harness.ranks import distributed
    from harness.train.interruption import Stopped

    if isinstance(stopped, Stopped) and distributed.is_main():
        said = f"stopped by {stopped.signal.name}; the same command goes on from here"
        print(f"\n{said}", file=sys.stderr, flush=True)


def fail(error: Exception) -> None:
    """Tell an error that the user can mend; the program goes on, and ends with exit code 1. Raise any other error."""
    from harness.ranks import distributed

    said = sentence(error)
    if said is None:
        raise error
    failures.append(said)
    if distributed.tells_errors():  # all processes of a run have the same error
        print(f"error: {said}", file=sys.stderr, flush=True)


@contextmanager
def leaving_together() -> Iterator[None]:
    """Around a program that may be one of several processes: they end together, unless one of them has an error."""
    try:
        yield
    except Exception as error:
        if disk.refuses(error) and os.environ.get("RANK", "0") != "0":
            sys.exit(1)  # rank 0 has the same error and tells it
        raise
    if "torch" in sys.modules:
        from harness.ranks import distributed

        distributed.leave()


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a program: Ctrl-C outside a run ends it with the same sentence as Ctrl-C inside one."""
    try:
        yield
    except KeyboardInterrupt:
        if is_first():
            print("\nstopped by SIGINT; the same command goes on from here", file=sys.stderr, flush=True)
        sys.exit(128 + signal.SIGINT)


# --- the other programs: python -m harness.predict, export, convert, cluster ---


def parser(program: str, about: str) -> argparse.ArgumentParser:
    """For `python -m <program>`. about: its docstring; the first paragraph stands above the options, the rest below."""
    first, _, rest = about.partition("\n\n")
    return argparse.ArgumentParser(
        prog=f"python -m {program}", description=first, epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip


def add_run(options: argparse.ArgumentParser) -> None:
    """The argument `run` of a program that opens a finished run."""
    options.add_argument(
        "run", type=Path, help="the folder of a finished run: runs/TASK/MODEL/METHOD/VARIANT-KEY/seed=N"
    )


def exit_code(work: Callable[[], int | None]) -> int:
    """Of a program that does `work`: what that returns, or 1 after the sentence of what went wrong."""
    with disk.tells_disk_errors():
        try:
            return work() or 0
        except Exception as error:
            if disk.refuses(error):
                raise
            fail(error)
            return 1


# --- all of them ---


def quiet() -> None:
    """Let no library write to the terminal below a warning: progress bars and results have it to themselves."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    # Read by the library where it is loaded, which is for metrics alone. What it logs as an error it raises as well.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("DATASETS_VERBOSITY", "critical")
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # accelerate's own way of asking for it
