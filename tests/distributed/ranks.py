"""run.py as torchrun starts it: a process a rank, each forked from one that has the imports."""

import os
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from tests import processes
from tests.conftest import ROOT


def reserved_port() -> socket.socket:
    """A bound socket, to be kept while its port is in use.

    Nobody else is given the port; who names it, as rank 0 does, may listen there, since both say SO_REUSEADDR.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def environment(size: int, rank: int, port: socket.socket) -> dict[str, str]:
    """As torchrun sets it, for a store that is rank 0's."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port.getsockname()[1]), "GLOO_SOCKET_IFNAME": "lo"}
    return {**place, "WORLD_SIZE": str(size), "RANK": str(rank), "LOCAL_RANK": str(rank)}


def on_rank(rank: int, act: Callable[[], None]) -> Callable[[], None]:
    """What that rank alone does before it begins."""
    return partial(_on_rank, str(rank), act)


def _on_rank(rank: str, act: Callable[[], None]) -> None:
    if os.environ["RANK"] == rank:
        act()


class Ranks:
    """`torchrun --nproc-per-node=<size> run.py <arguments>`; to be used in a `with`, whose end kills all."""

    def __init__(self, *arguments: str, size: int = 2, timeout: int = 600, before: Callable[[], None] = str) -> None:
        """`before` is called in each rank, with RANK in the environment, and may break something there."""
        self._output = tempfile.TemporaryDirectory()
        self.timeout = timeout
        self._port = reserved_port()
        self.processes = []
        for rank in range(size):
            folder = Path(self._output.name, str(rank))
            folder.mkdir()
            started_as = environment(size, rank, self._port)
            program = partial(processes.run_py, arguments, before)
            process = processes.forked.Process(target=processes.run_here, args=(program, ROOT, folder, started_as))
            process.start()
            self.processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()
        self._port.close()
        self._output.cleanup()

    def wait_for(self, rank: int) -> int:
        """The exit code of one that does not wait for the others."""
        self.processes[rank].join(timeout=self.timeout)
        return self.processes[rank].exitcode

    def wait(self) -> list[int]:
        """The exit codes, by rank."""
        for process in self.processes:
            process.join(timeout=self.timeout)
        assert not any(process.is_alive() for process in self.processes), "the ranks do not end"
        return [process.exitcode for process in self.processes]

    def said(self, stream: str, rank: int) -> str:
        path = Path(self._output.name, str(rank), stream)
        return path.read_text() if path.exists() else ""
