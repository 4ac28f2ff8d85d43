"""The folder of a run on several devices: rank 0 alone reads and writes it, and tells the others what it found."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from torch import nn

from harness.console.told import sentence
from harness.ranks import distributed
from harness.ranks.distributed import broadcast_from_main
from harness.store import disk
from harness.store.record import Record
from harness.store.run_folder import RunFolder


class Ended(SystemExit):
    """Ends this process after an error of one rank: the ranks are at different places now, so no other run can follow.

    The record has been written.
    """

    def __init__(self) -> None:
        super().__init__(1)


class Elsewhere(Exception):
    """Another rank failed; the message is the reason that it left."""


def folder_class() -> type[RunFolder]:
    return SharedFolder if distributed.size() > 1 else RunFolder


class SharedFolder(RunFolder):
    def __enter__(self) -> Self:
        broadcast_from_main(_silent(super().__enter__))
        self.in_step = True
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        """Tell an error that this rank has alone, and end the process: the other ranks are at another place."""
        if distributed.is_main():
            super().__exit__(kind, error, trace)
        if not isinstance(error, Exception) or distributed.is_of_all_ranks(error):
            return
        if not isinstance(error, Elsewhere):
            _tell(error)
        raise Ended from error

    def prepare(self, force: bool) -> Record | None:
        return broadcast_from_main(lambda: super(SharedFolder, self).prepare(force))

    @contextmanager
    def recording(self, done: Record | None) -> Iterator[Record]:
        """As in one process. An error that one rank has alone is recorded, too, with the reason that it gives.

        If another rank is gone without a reason, as after a kill, the record stays `running`.
        """
        entered = False
        try:
            with super().recording(done) as result:
                entered = True
                try:
                    yield result
                except Exception as error:
                    if distributed.is_of_all_ranks(error):
                        raise
                    self.in_step = False
                    raise _explained(error) from error
                except BaseException:
                    self.in_step = False
                    raise
        except Exception as error:
            if not entered:  # rank 0 found it, and each rank was told
                distributed.of_all_ranks(error)
            raise

    def begin(
        self, result: Record, parameters: dict[str, int], adapter: dict[str, Any], provenance: dict[str, Any]
    ) -> None:
        device = {**provenance["device"], "count": distributed.size()}
        super().begin(result, parameters, adapter, {**provenance, "device": device})

    def finish_training(self, model: nn.Module, train: dict[str, Any]) -> None:
        broadcast_from_main(lambda: super(SharedFolder, self).finish_training(model, train))

    def train_section(self) -> dict[str, Any] | None:
        return broadcast_from_main(super().train_section)

    def stored_predictions(self, benchmark: str, split: str) -> dict[str, Any] | None:
        return broadcast_from_main(lambda: super(SharedFolder, self).stored_predictions(benchmark, split))

    def store_predictions(self, benchmark: str, split: str, values: dict[str, Any]) -> None:
        broadcast_from_main(lambda: super(SharedFolder, self).store_predictions(benchmark, split, values))

    def _write(self, value: Record) -> None:
        if self.in_step:
            broadcast_from_main(lambda: super(SharedFolder, self)._write(value))
        elif distributed.is_main():
            super()._write(value)

    def _discard(self) -> None:
        if distributed.is_main():
            super()._discard()


def _silent(function: Callable[[], Any]) -> Callable[[], None]:
    def called() -> None:
        function()

    return called


def _tell(error: Exception) -> None:
    said = disk.sentence(error) if disk.refuses(error) else sentence(error)
    if said is None:
        traceback.print_exception(error)
    else:
        print(f"error: {said}", file=sys.stderr, flush=True)


def _explained(error: Exception) -> BaseException:
    """The exception to raise for an error of this rank. Its reason is left where the other ranks find it."""
    lost = distributed.is_lost_connection(error)
    # A full disk is no reason to record: the same command goes on with the run once there is space.
    reason = "" if disk.refuses(error) else " ".join(str(error).split()) or type(error).__name__
    told = distributed.told_failure() if lost else distributed.tell_failure(reason)
    if told is not None:
        return Elsewhere(told) if told else Ended()
    if not lost:
        return error
    if distributed.tells_last():
        print(
            "error: another process of this run has ended; unless it told an error of its own, the same command goes "
            "on from what is done",
            file=sys.stderr,
            flush=True,
        )
    return Ended()
