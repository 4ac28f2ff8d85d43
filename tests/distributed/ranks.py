"""run.py as torchrun starts it: a process a rank, each forked from one that has the imports."""

import os
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests import processes
from tests.conftest import ROOT


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _run(environment: dict[str, str], arguments: tuple[str, ...], output: Path, before: Callable[[], None]) -> None:
    os.environ.update(environment)
    before()
    processes._run(arguments, ROOT, output, environment)


class Ranks:
    """`torchrun --nproc-per-node=<size> run.py <arguments>`; to be used in a `with`, whose end kills all."""

    def __init__(self, *arguments: str, size: int = 2, timeout: int = 120, before: Callable[[], None] = str) -> None:
        """`before` is called in each rank, with RANK in the environment, and may break something there."""
        self._output = tempfile.TemporaryDirectory()
        self.timeout = timeout
        common = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()),
                  "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
        self.processes = []
        for rank in range(size):
            folder = Path(self._output.name, str(rank))
            folder.mkdir()
            environment = common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            process = processes.forked.Process(target=_run, args=(environment, arguments, folder, before))
            process.start()
            self.processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self._output.cleanup()

    @property
    def running(self) -> bool:
        return all(process.is_alive() for process in self.processes)

    def send(self, rank: int, number: signal.Signals) -> None:
        os.kill(self.processes[rank].pid, number)

    def wait(self) -> list[int]:
        """The exit codes, by rank."""
        for process in self.processes:
            process.join(timeout=self.timeout)
        assert not any(process.is_alive() for process in self.processes), "the ranks do not end"
        return [process.exitcode for process in self.processes]

    def said(self, stream: str, rank: int) -> str:
        path = Path(self._output.name, str(rank), stream)
        return path.read_text() if path.exists() else ""
