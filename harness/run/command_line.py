"""What a person at the command line sees when something is wrong: one sentence, and an exit code that is not 0."""

import functools
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from omegaconf import DictConfig

from errors import SettingError
from harness.console.stderr import is_first
from harness.console.told import failures, sentence
from harness.settings.hints import added
from harness.settings.typed import SEVERAL, arguments
from harness.store import disk

T = TypeVar("T")


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


def one_sentence(function: Callable[[DictConfig], T]) -> Callable[[DictConfig], T | None]:
    """Turn what is the user's to mend into one line on stderr; a sweep goes on with its next run.

    Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(function)
    def wrapped(cfg: DictConfig) -> T | None:
        try:
            return function(cfg)
        except Exception as error:
            fail(error)
            return None
        except SystemExit as stopped:
            _tell_of_stop(stopped)
            raise

    return wrapped


def _tell_of_stop(stopped: SystemExit) -> None:
    """The sweep that the run is in ends too."""
    from harness.ranks import distributed
    from harness.train.interruption import Stopped

    if isinstance(stopped, Stopped) and distributed.is_main():
        said = f"stopped by {stopped.signal.name}; the same command goes on from here"
        print(f"\n{said}", file=sys.stderr, flush=True)


def fail(error: Exception) -> None:
    """Tell what is the user's to mend, so that the program goes on and ends with exit code 1; raise anything else."""
    from harness.ranks import distributed

    said = sentence(error)
    if said is None:
        raise error
    failures.append(said)
    if distributed.tells_errors():  # all processes of a run have the same to say
        print(f"error: {said}", file=sys.stderr, flush=True)


@contextmanager
def leaving_together() -> Iterator[None]:
    """Around a program that may be one of several processes. After an error nobody waits for the others."""
    try:
        yield
    except Exception as error:
        if disk.refuses(error) and os.environ.get("RANK", "0") != "0":
            sys.exit(1)  # rank 0 tells of it
        raise
    if "torch" in sys.modules:
        from harness.ranks import distributed

        distributed.leave()


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a program: Ctrl-C before a run has begun, or between two, ends it with the sentence of `Stopped`."""
    try:
        yield
    except KeyboardInterrupt:
        if is_first():
            print("\nstopped by SIGINT; the same command goes on from here", file=sys.stderr, flush=True)
        sys.exit(128 + signal.SIGINT)


def quiet() -> None:
    """Leave the terminal to progress bars and results: no chatter of libraries below a warning."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # what it logs as an error it raises as well
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.*")  # accelerate's own way of asking for it
