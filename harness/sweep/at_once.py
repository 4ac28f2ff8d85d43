"""Runs of a sweep beside each other, each in a process of its own: a line for each that has ended, and a table of all.

The processes are forked from one that has imported what a run needs and computed nothing: imports are paid for once,
and a run is what it is alone. What it says goes into a log of its own, `logs`/NUMBER.log.
"""

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig

from errors import SettingError
from harness.console import logs, terminal
from harness.console.at_work import AtWork, clock
from harness.console.ending import Ending
from harness.console.told import failures
from harness.settings import limits
from harness.sweep.several import Several

LOOK = 0.5  # seconds between two looks at what runs are doing
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # as in harness.train.interruption, which loads torch
fork = multiprocessing.get_context("fork")


def check(workers: int, logs: str) -> None:
    """Raises SettingError where there can be no such number of processes, or no such folder."""
    limits.check({"hydra": {"launcher": {"workers": workers, "logs": logs}}})
    if workers > 1 and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingError(
            f"hydra.launcher.workers={workers} has runs beside each other, and torchrun splits one run over processes; "
            "only one of them can be asked for"
        )


def threads(workers: int) -> int | None:
    """Of each run, unless it says itself: the cores are shared out. None where the environment says how many."""
    if "OMP_NUM_THREADS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


def log_folder(within: str) -> Path:
    """A new one, for the logs of one sweep."""
    Path(within).mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=time.strftime("%Y-%m-%d_%H-%M-%S_"), dir=within))


def load() -> None:
    """Import what runs need, before any of them is forked."""
    terminal.stage("loading torch and transformers")
    import harness.models.bases
    import harness.plan.overview
    import harness.run.once  # noqa: F401


@dataclass
class Process:
    """A run at work. It sends its Outcome and the folders of runs: once it has a name, and at its end."""

    index: int
    messages: Connection
    log: Path
    process: ForkProcess
    began: float
    has_ended: bool = False


class AtOnce:
    """folder: for the logs of this sweep.  start: does a run."""

    def __init__(
        self, several: Several, workers: int, folder: Path, start: Callable[[DictConfig], Ending | None]
    ) -> None:
        self.several, self.workers, self.folder, self.start = several, workers, folder, start
        self.threads = threads(workers)
        self.at_work: list[Process] = []
        self.asked: signal.Signals | None = None

    def do(self, compose: Sequence[Callable[[], DictConfig]]) -> None:
        """All runs, whatever becomes of one. Raises Stopped where that was asked, once each run at work has stopped."""
        total, waiting = len(compose), deque(enumerate(compose))
        with _shared(), self._told_to_stop(), AtWork(total) as self.shown:
            each = f" on {self.threads} {'thread' if self.threads == 1 else 'threads'} each" if self.threads else ""
            self.shown.say(f"{total} runs, {self.workers} at a time{each}; their logs are in {self.folder}/")
            while self.at_work or (waiting and not self.asked):
                while waiting and len(self.at_work) < self.workers and not self.asked:
                    self._begin(*waiting.popleft())
                self._look()
                self.shown.show(total - len(waiting) - len(self.at_work), [self._doing(one) for one in self.at_work])
        if self.asked:
            from harness.run.command_line import tell_of_stop
            from harness.train.interruption import Stopped

            stopped = Stopped(self.asked)
            tell_of_stop(stopped)
            raise stopped

    # --- in the first process ---

    def _begin(self, index: int, compose: Callable[[], DictConfig]) -> None:
        here, there = fork.Pipe(duplex=False)
        log = self.folder / f"{index + 1}.log"
        process = fork.Process(target=self._work, args=(index, compose, there, log))
        with _held_back():  # a signal meanwhile finds the process in the list, and it its own handlers
            process.start()
            self.at_work.append(Process(index, here, log, process, time.monotonic()))
        there.close()  # so that the end of the process is the end of its messages

    def _look(self) -> None:
        """Note what runs have told, and which have ended; returns after LOOK seconds at the latest."""
        heard = wait([one.messages for one in self.at_work], LOOK)
        for one in [one for one in self.at_work if one.messages in heard]:
            try:
                outcome, folders, one.has_ended = one.messages.recv()
            except EOFError:
                self._end(one)
                continue
            self.several.outcomes[one.index] = outcome
            self.several.folders |= folders

    def _end(self, one: Process) -> None:
        self.at_work.remove(one)
        one.process.join()
        outcome, code = self.several.outcomes[one.index], one.process.exitcode
        if not one.has_ended:
            outcome.status = "stopped"
        if outcome.status == "stopped" and not self.asked:
            ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            outcome.status, outcome.said = "failed", [f"its process was ended {ended}"]
        failures.extend(outcome.said)
        score = f", {'; '.join(outcome.score.splitlines())}" if outcome.score else ""
        log = f", see {one.log}" if outcome.said else ""
        self.shown.say(f"{self._named(one)}: {outcome.status}{score}, {clock(time.monotonic() - one.began)}{log}")

    def _named(self, one: Process) -> str:
        return f"[{one.index + 1} of {len(self.several.jobs)}] {self.several.outcomes[one.index]}"

    def _doing(self, one: Process) -> str:
        return f"{self._named(one)}: {logs.doing(one.log)}"

    @contextmanager
    def _told_to_stop(self) -> Iterator[None]:
        """Hand a signal on to the runs at work, which end in their own way; no other run is begun."""

        def hand_on(number: int, frame: FrameType | None) -> None:
            self.asked = signal.Signals(number)
            for one in self.at_work:
                with suppress(ProcessLookupError):
                    os.kill(one.process.pid, number)

        before = {number: signal.signal(number, hand_on) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    # --- in the process of a run ---

    def _work(self, index: int, compose: Callable[[], DictConfig], messages: Connection, log: Path) -> None:
        for one in self.at_work:
            one.messages.close()
        os.setpgid(0, 0)  # Ctrl-C goes to the first process alone, which hands it on once
        _write_to(log)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number in STOPPING[1:]:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        _end_with_parent()

        def told(ended: bool) -> None:
            with suppress(BrokenPipeError):  # the first process is gone
                messages.send((self.several.outcomes[index], self.several.folders, ended))

        def start(cfg: DictConfig) -> Ending | None:
            told(ended=False)
            return self.start(cfg)

        try:
            self.several.do(index, lambda: self._with_threads(compose()), start)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        finally:
            told(ended=True)

    def _with_threads(self, cfg: DictConfig) -> DictConfig:
        if cfg.threads is None:
            cfg.threads = self.threads
        return cfg


@contextmanager
def _shared() -> Iterator[None]:
    """What was imported is no garbage, and stays shared with the processes; until the end, when libraries clear up."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _held_back() -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _write_to(log: Path) -> None:
    """What this process says, libraries included."""
    file = log.open("w", encoding="utf-8", buffering=1)
    for descriptor in (1, 2):
        os.dup2(file.fileno(), descriptor)
    sys.stdout = sys.stderr = file
    terminal.follow()


def _end_with_parent() -> None:
    """However the first process ends, a run does not outlive it: it stops as if asked to, with a checkpoint."""

    def watch() -> None:
        wait([multiprocessing.parent_process().sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
