"""Stopping a run without losing work: during training after the step, with a checkpoint; at any other time at once.

Schedulers ask for it with SIGTERM, or with SIGUSR2 some time before the limit; a person with Ctrl-C. A second Ctrl-C
stops at once, without a checkpoint.
"""

import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Self

from transformers import TrainerCallback
from transformers.trainer_utils import SaveStrategy

from harness.ranks import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class Stopped(SystemExit):
    """The run was asked to stop. Its record stays `running`, and the same command goes on with it."""

    def __init__(self, asked: signal.Signals):
        super().__init__(128 + asked)
        self.signal = asked


class Stop(TrainerCallback):
    """Use as a context around a run, and as a callback of its training, after the one that marks checkpoints.

    Raises Stopped where the run may end.
    """

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self.asked_of_all: signal.Signals | None = None
        self.training = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS} if main else {}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was installed by something else than Python

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again = self.asked is not None and number == signal.SIGINT
        self.asked = signal.Signals(number)
        if again or not self.training:
            raise Stopped(self.asked)

    def on_train_begin(self, args, state, control, **kwargs):
        self.training = True

    def numbers(self) -> list[int]:
        """By rank, for a sum over all of them: of the signal that this one was sent, or 0."""
        own = [0] * distributed.size()
        own[distributed.rank()] = int(self.asked or 0)
        return own

    def note_signals(self, numbers: Sequence[float]) -> None:
        """The sum, in each step, so that all ranks stop after the same one."""
        self.asked_of_all = next((signal.Signals(int(number)) for number in numbers if number), None)

    def on_step_end(self, args, state, control, **kwargs):
        ends = state.epoch == int(state.epoch) or state.global_step >= state.max_steps
        checked_first = args.save_strategy == SaveStrategy.EPOCH and ends
        if self.asked_of_all and not checked_first:  # an epoch that ends here is evaluated, and then saved
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        if self.asked_of_all:
            distributed.barrier()  # rank 0 may still be at marking the checkpoint, and does not outlive the others long
            raise Stopped(self.asked_of_all)

    def on_train_end(self, args, state, control, **kwargs):
        self.training = False
        if agreed := distributed.first(self.asked):
            raise Stopped(agreed)
