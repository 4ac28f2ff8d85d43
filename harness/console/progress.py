"""Progress bars: on a terminal they move; in a log they print a line now and then."""

import sys

from tqdm.auto import tqdm
from transformers import TrainerCallback

from harness.console.stderr import is_first


def bar(total: int, description: str, initial: int = 0) -> tqdm:
    interactive = sys.stderr.isatty()
    return tqdm(
        total=total, desc=description, initial=initial, mininterval=0.1 if interactive else 15,
        dynamic_ncols=interactive, leave=True, file=sys.stderr, disable=not is_first(),
    )  # fmt: skip


class TrainingBar(TrainerCallback):
    """Optimiser steps with the time left and the latest loss."""

    bar: tqdm | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = bar(state.max_steps, "training", initial=state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{logs['loss']:.4g}", refresh=False)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def close(self) -> None:
        """Called however training ends, so that the next output begins on a line of its own."""
        if self.bar is not None:
            self.bar.close()
