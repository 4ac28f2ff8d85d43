"""run.py in processes of its own, each forked from one that has imported libraries and done nothing else.

Such a process shares no state with any other run, and can be killed, but it spares the seconds that imports take. What
it also shares is the seed of Python's hashes; a test that compares processes runs one of them with `fresh`.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT

IMPORTED = ("run", "harness.adapt", "harness.evaluator", "harness.modalities", "harness.models", "harness.plan",
            "harness.provenance", "harness.run_folder", "harness.tracking", "harness.trained", "harness.trainer",
            "transformers.models.gemma.modeling_gemma")  # fmt: skip

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(list(IMPORTED))


def _run(arguments: tuple[str, ...], cwd: Path, output: Path, environment: Mapping[str, str]) -> None:
    os.chdir(cwd)
    os.environ.update(environment)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(output / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    sys.argv = [str(ROOT / "run.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


class Program:
    """`python run.py <arguments>`, started in folder `cwd`; to be used in a `with`, whose end kills it.

    environment: variables besides those that were set when the first program was started.
    """

    def __init__(self, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> None:
        self._output = tempfile.TemporaryDirectory()
        self._process = forked.Process(target=_run, args=(arguments, cwd, Path(self._output.name), environment or {}))
        self._process.start()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._output.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL: the process does nothing more."""
        self._process.kill()
        self._process.join()

    def wait(self) -> int:
        """The exit code."""
        self._process.join(timeout=300)
        assert not self.running, "the program does not end"
        return self._process.exitcode

    def said(self, stream: str) -> str:
        """What it wrote to `stream`, which is stdout or stderr."""
        path = Path(self._output.name, stream)
        return path.read_text() if path.exists() else ""


def call(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    with Program(*arguments, cwd=cwd) as program:
        code = program.wait()
        return subprocess.CompletedProcess(arguments, code, program.said("stdout"), program.said("stderr"))


def fresh(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """As a person calls it: an interpreter that has imported nothing."""
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
