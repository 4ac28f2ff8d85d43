"""A child process that answers questions one at a time, and is replaced when one of them breaks it.

For code that reads what a model wrote and may take all time and memory for it, or crash. The time limit is of CPU time,
so that a verdict does not depend on what else the machine does. The child sees no secrets of its parent's environment,
hears no signal that is meant for the parent, and ends with it. POSIX only.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READY = "ready"
STALLED_SECONDS = 300.0  # of wall time: the limit where CPU time does not pass
LONGEST_REPLY = 2**20  # characters
# Ends that the question brought about: its CPU time is spent; the code raised, RecursionError or MemoryError included.
ITS_OWN_ENDS = (-signal.SIGPROF, 1)
# What the child is given of the environment: where to find Python and its libraries. No tokens, no keys.
ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH",
               "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")  # fmt: skip
# With these a scheduler or a terminal asks the parent to stop. A child that heeded them would end amid an answer.
UNHEARD = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class NoAnswer(Exception):
    """The child spent its time or memory, or crashed, on this question."""


class _Broken(Exception):
    """The child gave no answer, for a reason that may lie outside the question."""


class Worker:
    """Runs `module`, which calls `serve`, as a child; what it is asked and answers is JSON.

    cpu_seconds: for one question.  memory_bytes: address space of the child.
    """

    def __init__(self, module: str, *, cpu_seconds: float, memory_bytes: int) -> None:
        self._command = [sys.executable, "-m", module, str(cpu_seconds), str(memory_bytes)]
        self._child: subprocess.Popen[str] | None = None
        self._owner = os.getpid()
        self._number = 0

    def ask(self, question: Any) -> Any:
        """The child's answer. Raises NoAnswer, and RuntimeError where a child cannot be started.

        A child that ended otherwise than by ITS_OWN_ENDS, or answered something else, may have been killed from without
        or have been spoilt by an earlier question: a fresh one is asked the same, once.
        """
        for _ in range(2):
            with contextlib.suppress(_Broken):
                return self._answer(question)
        raise NoAnswer

    def _answer(self, question: Any) -> Any:
        if self._child is None or self._owner != os.getpid():  # a fork does not share its parent's child
            self._start()
        child, self._number = self._child, self._number + 1
        try:
            reply = _exchange(child, json.dumps([self._number, question]))
        except BaseException:  # a signal's, say: the reply must not be taken for that to the next question
            self.close()
            raise
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            number, answer = json.loads(reply)
            if reply.endswith("\n") and number == self._number:
                return answer
        self.close()
        raise NoAnswer if child.returncode in ITS_OWN_ENDS else _Broken

    def close(self) -> None:
        """End the child; the next question starts another."""
        if self._child is not None:
            self._end()
            self._child = None

    def _start(self) -> None:
        with tempfile.TemporaryFile("w+") as complaints:
            child = self._started(complaints)
            self._end = weakref.finalize(self, _end, child)
            if _exchange(child, None) != f"{READY}\n":
                self._end()
                complaints.seek(0)
                reason = (complaints.read().strip().splitlines() or [f"exit status {child.returncode}"])[-1]
                raise RuntimeError(f"`{' '.join(self._command)}` did not start: {reason}")
        self._child, self._owner = child, os.getpid()

    def _started(self, complaints: Any) -> subprocess.Popen[str]:
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)  # the child inherits it, and never changes it
        try:
            return subprocess.Popen(
                self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
                start_new_session=True, encoding="ascii", errors="replace",
                # The order of a set of strings would differ from child to child, and with it what sympy tries first.
                env=environment | {"PYTHONHASHSEED": "0"},
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def _exchange(child: subprocess.Popen[str], line: str | None) -> str:
    """Send a line, if any, and wait for one; without its end where the child ends instead, or says too much."""
    alarm = threading.Timer(STALLED_SECONDS, child.kill)
    alarm.daemon = True
    alarm.start()
    try:
        if line is not None:
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
        return child.stdout.readline(LONGEST_REPLY)
    except BrokenPipeError:
        return ""
    finally:
        alarm.cancel()


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    child.stdout.close()
    child.wait()


# --- in the child ---


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer line by line until the parent is gone. Arguments on the command line: CPU seconds, bytes."""
    cpu_seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what a library prints is no answer
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)  # bytes of a file
    _limit("RLIMIT_NPROC", 0)  # processes and threads, unless root's
    _limit("RLIMIT_AS", memory_bytes)
    print(READY, file=replies, flush=True)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for line in sys.stdin:
        number, question = json.loads(line)
        # The kernel ends the process, whatever it is at; by wall time too, as a parent that was killed cannot.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        signal.setitimer(signal.ITIMER_REAL, STALLED_SECONDS)
        reply = json.dumps([number, answer(question)])
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(reply, file=replies, flush=True)


def _limit(name: str, value: int) -> None:
    import resource  # absent on Windows, where the child ends with this line's error

    which = getattr(resource, name)
    _, hard = resource.getrlimit(which)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError):  # macOS refuses a limit on address space; that on time stands
        resource.setrlimit(which, (soft, hard))
