"""A child process that answers questions one at a time, and is replaced when one of them breaks it.

For code that reads what a model wrote and may take all time and memory for it, or crash. The time limit is of CPU time,
so that a verdict does not depend on what else the machine does. POSIX only.
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

ROOT = Path(__file__).resolve().parents[1]
READY = "ready"
STALLED_SECONDS = 300.0  # of wall time: the limit where CPU time does not pass


class NoAnswer(Exception):
    """The child spent its time or memory, or crashed, on this question."""


class Worker:
    """Runs `module`, which calls `serve`, as a child; what it is asked and answers is JSON.

    cpu_seconds: for one question.  memory_bytes: address space of the child.
    """

    def __init__(self, module: str, *, cpu_seconds: float, memory_bytes: int) -> None:
        self._command = [sys.executable, "-m", module, str(cpu_seconds), str(memory_bytes)]
        self._child: subprocess.Popen[str] | None = None

    def ask(self, question: Any) -> Any:
        """The child's answer. Raises NoAnswer, and RuntimeError where a child cannot be started."""
        if self._child is None:
            self._child = self._start()
        line = _exchange(self._child, json.dumps(question))
        if not line.endswith("\n"):
            self.close()
            raise NoAnswer
        return json.loads(line)

    def close(self) -> None:
        """End the child; the next question starts another."""
        if self._child is not None:
            _end(self._child)
            self._child = None

    def _start(self) -> subprocess.Popen[str]:
        with tempfile.TemporaryFile("w+") as complaints:
            child = subprocess.Popen(
                self._command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints,
                # The order of a set of strings would differ from child to child, and with it what sympy tries first.
                env=os.environ | {"PYTHONHASHSEED": "0"},
            )  # fmt: skip
            weakref.finalize(self, _end, child)
            if _exchange(child, None) != f"{READY}\n":
                _end(child)
                complaints.seek(0)
                reason = (complaints.read().strip().splitlines() or [f"exit status {child.returncode}"])[-1]
                raise RuntimeError(f"`{' '.join(self._command)}` did not start: {reason}")
        return child


def _exchange(child: subprocess.Popen[str], line: str | None) -> str:
    """Send a line, if any, and wait for one; the empty string where the child ends instead."""
    alarm = threading.Timer(STALLED_SECONDS, child.kill)
    alarm.start()
    try:
        if line is not None:
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
        return child.stdout.readline()
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
    _limit("RLIMIT_AS", memory_bytes)
    print(READY, file=replies, flush=True)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # the kernel ends the process, whatever it is at
        print(json.dumps(answer(json.loads(line))), file=replies, flush=True)


def _limit(name: str, value: int) -> None:
    import resource  # absent on Windows, where the child ends with this line's error

    which = getattr(resource, name)
    _, hard = resource.getrlimit(which)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError):  # macOS refuses a limit on address space; that on time stands
        resource.setrlimit(which, (soft, hard))
