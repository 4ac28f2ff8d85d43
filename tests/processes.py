"""run.py in processes of its own, each forked from one that has imported libraries and done nothing else.

Such a process shares no state with any other run, and can be killed, but it spares the seconds that imports take. What
it also shares is the seed of Python's hashes; a test that compares processes runs one of them with `fresh`.
"""

import atexit
import gc
import json
import multiprocessing
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from tests.conftest import ROOT

IMPORTED = (
    "run",
    "harness.adapters.adapt",
    "harness.modality.modalities",
    "harness.models.bases",
    "harness.plan.overview",
    "harness.run.evaluator",
    "harness.run.tracking",
    "harness.store.provenance",
    "harness.store.run_folder",
    "harness.store.trained",
    "harness.train.trainer",
    "tests.processes",
    "transformers.models.gemma.modeling_gemma",
)

PATIENCE = 300  # seconds for what comes in a few unless something is wrong

forked = multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(list(IMPORTED))


def nothing() -> None:
    """What a program does before it begins, unless a test says otherwise."""


def run_here(program: Callable[[], object], cwd: Path, output: Path, environment: Mapping[str, str]) -> None:
    """Calls `program` as this process's only work; what it writes goes to the files stdout and stderr of `output`."""
    gc.freeze()  # as in tests/conftest.py
    os.chdir(cwd)
    os.environ.update(environment)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(output / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    program()


def run_py(arguments: tuple[str, ...], before: Callable[[], None] = nothing) -> None:
    """`before`, and then `python run.py <arguments>`."""
    before()
    sys.argv = [str(ROOT / "run.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


class Forked:
    """`program()` in a process of its own, started in folder `cwd`; to be used in a `with`, whose end kills it.

    program: can be pickled.
    environment: variables besides those that were set when the first process was started.
    """

    def __init__(
        self, program: Callable[[], object], *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = tempfile.TemporaryDirectory()
        output = Path(self._output.name)
        self._process = forked.Process(target=run_here, args=(program, cwd, output, environment or {}))
        self._process.start()

    def __enter__(self) -> Self:
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

    def kill(self) -> None:
        """SIGKILL: the process does nothing more."""
        self._process.kill()
        self._process.join()

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit code."""
        self._process.join(timeout=patience)
        assert not self.running, "the program does not end"
        return self._process.exitcode

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """The program is not to end before that. For what lasts: what passes may be missed."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.running, self.said("stderr")
            assert time.monotonic() < deadline, "what is waited for does not come"
            time.sleep(0.01)

    def said(self, stream: str) -> str:
        """What it wrote to `stream`, which is stdout or stderr."""
        path = Path(self._output.name, stream)
        return path.read_text() if path.exists() else ""


class Program(Forked):
    """`python run.py <arguments>`; `before` is called in the process first, and may break something there."""

    def __init__(self, *arguments: str, before: Callable[[], None] = nothing, **place: Any) -> None:
        super().__init__(partial(run_py, arguments, before), **place)


def ended(process: Forked, arguments: tuple[str, ...] = (), patience: float = PATIENCE) -> subprocess.CompletedProcess:
    with process:
        code = process.wait(patience)
        return subprocess.CompletedProcess(arguments, code, process.said("stdout"), process.said("stderr"))


def call(*arguments: str, cwd: Path = ROOT, before: Callable[[], None] = nothing) -> subprocess.CompletedProcess:
    return ended(Program(*arguments, cwd=cwd, before=before), arguments)


def fresh(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """As a person calls it: an interpreter that has imported nothing."""
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False)


EACH = """
import json, runpy, sys

for sys.argv[1:] in json.loads(sys.argv[2]):
    sys.argv[0] = {run!r}
    try:
        runpy.run_path({run!r}, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""


def fresh_sequence(*commands: Sequence[str]) -> None:
    """As `fresh`, for several commands one after the other in one interpreter. None of them may fail."""
    code = EACH.format(run=str(ROOT / "run.py"))
    command = [sys.executable, "-c", code, "each", json.dumps(commands)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


WITH_PEFT = """
import json, os, sys, traceback
import peft, torch, safetensors.torch

for line in sys.stdin:
    code, sys.argv[1:] = json.loads(line)
    child = os.fork()
    if not child:
        try:
            exec(code, {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@cache
def _with_peft() -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITH_PEFT]
    started = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(started.communicate)  # it ends with its input
    return started


def script(code: str, *arguments: str) -> None:
    """Python code in a process that has imported PEFT and what that needs, and nothing of this project. May not fail.

    It may not print on stdout. sys.argv[1:] are the arguments.
    """
    process = _with_peft()
    process.stdin.write(json.dumps([code, arguments]) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "0\n", "the script failed; what it says is on stderr"


# --- what a program may be told to do to itself, `before` it begins: at a place in it, whatever the machine's speed ---


def signalled(number: signal.Signals, owner: str, name: str, call: int = 1) -> Callable[[], None]:
    """It sends itself `number` when `name` of `owner` ("module" or "module:Class") is called for the `call`-th time."""
    return partial(_watch, owner, name, call, partial(_send, number))


def killed_once_there_is(ending: str) -> Callable[[], None]:
    """It kills itself as soon as it has written a file whose path ends so."""
    return partial(_kill_once_there_is, ending)


def _send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def _watch(owner: str, name: str, call: int, act: Callable[[], None]) -> None:
    place, calls = pkgutil.resolve_name(owner), []
    original = getattr(place, name)

    def watched(*args: object, **kwargs: object) -> object:
        calls.append(name)
        if len(calls) == call:
            act()
        return original(*args, **kwargs)

    setattr(place, name, watched)


def _kill_once_there_is(ending: str) -> None:
    replace = os.replace  # by which harness/store/files.py puts every file and folder in its place

    def watched(source: Path, target: Path) -> None:
        replace(source, target)
        if there_is(Path(target).parent, ending):
            _send(signal.SIGKILL)

    os.replace = watched


def there_is(folder: Path, ending: str) -> bool:
    """Whether the path of a file below `folder` ends so; os.walk, unlike rglob, bears folders that vanish meanwhile."""
    return any(f"{place}/{file}".endswith(f"/{ending}") for place, _, files in os.walk(folder) for file in files)
