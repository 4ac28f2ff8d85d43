"""A run that is asked to stop ends where nothing is lost: in training after the step, with a checkpoint; else at once.

Schedulers ask with SIGTERM, or with SIGUSR2 some time before the limit; a person with Ctrl-C, and a second one insists.
"""

import signal
import threading
from types import FrameType
from typing import Self

from transformers import TrainerCallback

from harness import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class Stopped(SystemExit):
    """The run was asked to stop. Its record stays `running`, and the same command goes on with it."""

    def __init__(self, asked: signal.Signals):
        super().__init__(128 + asked)
        self.signal = asked


class Stop(TrainerCallback):
    """Use as a context around a run, and as a callback of its training. Raises Stopped where the run may end."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None
        self.training = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS} if main else {}
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        again = self.asked is not None and number == signal.SIGINT
        self.asked = signal.Signals(number)
        if again or not self.training:
            raise Stopped(self.asked)

    def on_train_begin(self, args, state, control, **kwargs):
        self.training = True

    def on_step_end(self, args, state, control, **kwargs):
        self.asked = distributed.first(self.asked)  # of all ranks, so that they stop after the same step
        if self.asked:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        self.training = False
        if self.asked:
            raise Stopped(self.asked)
