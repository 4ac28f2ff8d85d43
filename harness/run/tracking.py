"""Weights & Biases as a mirror of the record: nothing is ever read back from it."""

import netrc
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from transformers import TrainerCallback

from errors import SettingError
from harness.ranks import distributed
from harness.store.record import Record

MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")  # wandb's own
_HOST = "api.wandb.ai"


def mode(wanted: str) -> str:
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


class Tracker:
    """One W&B run a record, under an id that a resumed run finds again; does nothing when disabled.

    As a context it gives the callbacks that log training, and ends with the record's scores, or as failed.
    """

    def __init__(self, cfg: DictConfig, record: Record, folder: Path):
        self.record = record
        self.run = None
        if mode(cfg.wandb.mode) == "disabled" or not distributed.is_main():
            return
        import wandb

        self.run = wandb.init(
            mode=mode(cfg.wandb.mode), project=cfg.wandb.project, group=cfg.wandb.group, dir=str(folder),
            id=f"{record.key[:16]}-{record.run['seed']}", resume="allow", config=record.config,
            name=f"{record.run['label']} {record.run['task']} seed {record.run['seed']}",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip

    def __enter__(self) -> list[TrainerCallback]:
        return [] if self.run is None else [_LogTraining(self.run)]

    def __exit__(self, kind: type | None, *exception) -> None:
        if self.run is None:
            return
        self.run.summary.update(_flat({"parameters": self.record.parameters, "train": _scalars(self.record.train)}))
        for benchmark, splits in self.record.scores.items():
            for split, entry in splits.items():
                for scorer, score in entry["scorers"].items():
                    self.run.summary[f"{benchmark}/{split}/{scorer}"] = score["mean"]
        self.run.finish(exit_code=0 if kind is None else 1)


class _LogTraining(TrainerCallback):
    def __init__(self, run):
        self.run = run

    def on_log(self, args, state, control, logs=None, **kwargs):
        values = {f"train/{name}": value for name, value in (logs or {}).items()}
        self.run.log({**values, "train/global_step": state.global_step})


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _flat(values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{group}/{name}": value for group, inner in values.items() for name, value in inner.items()}
