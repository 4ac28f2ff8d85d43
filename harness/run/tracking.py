"""What mirrors a run for people to watch. The record has everything; nothing is ever read back from a tracker.

Another one is a subclass of Tracker and a file conf/tracker/NAME.yaml with its `_target_`; `tracker=NAME` then chooses
it. Which one it is changes no number, so it is not part of the run key.
"""

import netrc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from errors import SettingError
from harness.ranks import distributed
from harness.store.record import Record

MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")  # wandb's own
_HOST = "api.wandb.ai"


class Tracker:
    """The interface. This one shows nothing; a subclass overrides what it wants to be told.

    The constructor gets the other values of the yaml. It is called on every rank before the run begins, so it should
    check them (raise ValueError or SettingError) and open nothing. The methods are called on rank 0, in this order.
    """

    def start(self, record: Record, folder: Path) -> None:
        """Before training. The record has its key, run, config and parameters by now; `folder` is that of the run."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Every `train.log_every` optimiser steps and at each validation: what HF's Trainer logs (loss, grad_norm,
        learning_rate, epoch; eval_validation_loss, ...)."""

    def finish(self, record: Record, failed: bool) -> None:
        """After the evaluation, or after whatever ended the run; then the record has what was reached until then."""


@contextmanager
def tracked(tracker: Tracker, record: Record, folder: Path) -> Iterator[list[TrainerCallback]]:
    """Around training and evaluation; gives the callbacks that tell the tracker of the training."""
    if not distributed.is_main():
        yield []
        return
    tracker.start(record, folder)
    failed = True
    try:
        yield [_LogTraining(tracker)]
        failed = False
    finally:
        tracker.finish(record, failed)


class _LogTraining(TrainerCallback):
    def __init__(self, tracker: Tracker):
        self.tracker = tracker

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.tracker.log(logs or {}, state.global_step)


class Wandb(Tracker):
    """One W&B run for a record, under an id that a resumed run finds again. Shows nothing when disabled."""

    def __init__(self, *, mode: str, project: str | None, group: str | None):
        self.mode = wandb_mode(mode)
        self.project, self.group = project, group
        self.run = None

    def start(self, record: Record, folder: Path) -> None:
        if self.mode == "disabled":
            return
        import wandb

        self.run = wandb.init(
            mode=self.mode, project=self.project, group=self.group, dir=str(folder),
            id=f"{record.key[:16]}-{record.run['seed']}", resume="allow", config=record.config,
            name=f"{record.run['label']} {record.run['task']} seed {record.run['seed']}",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self.run is not None:
            self.run.log({**{f"train/{name}": value for name, value in values.items()}, "train/global_step": step})

    def finish(self, record: Record, failed: bool) -> None:
        if self.run is None:
            return
        self.run.summary.update(_flat({"parameters": record.parameters, "train": _scalars(record.train)}))
        for benchmark, splits in record.scores.items():
            for split, entry in splits.items():
                for scorer, score in entry["scorers"].items():
                    self.run.summary[f"{benchmark}/{split}/{scorer}"] = score["mean"]
        self.run.finish(exit_code=int(failed))


def wandb_mode(wanted: str) -> str:
    """ "auto" is online where a key is (WANDB_API_KEY or netrc) and offline elsewhere; WANDB_MODE wins over both.

    Raises SettingError where that is none.
    """
    if wanted != "auto":
        return wanted
    chosen = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    if chosen not in MODES:
        raise SettingError(f"WANDB_MODE={chosen} is none of {', '.join(MODES)}; unset it, or give wandb.mode")
    return chosen


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _flat(values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{group}/{name}": value for group, inner in values.items() for name, value in inner.items()}
