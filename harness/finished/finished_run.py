"""A finished run, opened again: its model, its task, and how it reads inputs and writes answers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig, set_seed

from errors import ModelError, SettingError
from harness.adapters import adapt
from harness.modality import modalities
from harness.modality.interface import Modality
from harness.models import bases, pretrained
from harness.plan import config
from harness.store import record, trained
from harness.store.record import Record
from harness.store.stored import Stored
from tasks.base import Task


@dataclass(frozen=True)
class Finished:
    """model: the base with the run's adapter, in evaluation.  task: with the classes that it had then."""

    path: Path
    record: Record
    cfg: DictConfig
    task: Task
    modality: Modality
    model: torch.nn.Module
    dtype: torch.dtype | None = None

    @property
    def class_names(self) -> list[str]:
        return list(self.modality.class_names)

    @property
    def head(self) -> list[str]:
        """Modules that are new with the task."""
        return adapt.head_modules(self.cfg.model.head) if self.modality.num_labels else []

    def load_base(self) -> torch.nn.Module:
        """The base model, without the adapter.

        It is read in the dtype of the training, which may have rounded it, and then converted. A model that generates
        is loaded directly: its modality would read the training data first.
        """
        generates = self.modality.num_labels is None
        base = bases.load(self.cfg.model, self.task.kind) if generates else self.modality.load_model()
        return base if self.dtype is None else base.to(self.dtype)


class KnownClasses:
    """A task whose classes are known already; the task itself would read its training data to count them."""

    def __init__(self, task: Task, num_classes: int, class_names: list[str]):
        self._task = task
        self.num_classes, self.class_names = num_classes, tuple(class_names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


def opened(path: Path, device: torch.device, dtype: torch.dtype | None = None) -> Finished:
    """The run whose folder is `path`. dtype: of the frozen weights, None is as trained.

    Raises SettingError where there is no run that is done, or none with an adapter; ModelError where the base model is
    another by now; RecordError and Damaged where a file is not as it was.
    """
    found = _record(path)
    stored = Stored(path, found)
    if stored.train_section() is None:
        raise SettingError(f"{path} has no adapter, so there is no trained model; force=true trains that run again")
    cfg = OmegaConf.create(found.config)
    _refuse_another_base(cfg, found)
    task = _with_classes(config.instantiate(cfg.task.source), found, stored.adapter)
    set_seed(cfg.seed)  # an adapter may draw numbers when it is built: the same ones as for the training
    modality = modalities.choose(cfg, task)
    opened = Finished(path, found, cfg, task, modality, torch.nn.Module(), dtype)
    model = adapt.adapt(opened.load_base(), config.instantiate(cfg.method.adapter), opened.head).model
    trained.load(model, stored.adapter)
    return replace(opened, model=model.to(device).eval())


def _record(path: Path) -> Record:
    if not (path / record.FILE).is_file():
        below = sorted(path.rglob(record.FILE)) if path.is_dir() else []
        hint = f"; below it there is {below[0].parent}" if below else ""
        raise SettingError(
            f"{path} is no run: there is no {record.FILE} in it; a run is a folder "
            f"runs/TASK/MODEL/METHOD/VARIANT-KEY/seed=N{hint}"
        )
    found = record.read(path / record.FILE)
    if found.status != "done":
        raise SettingError(f"{path} is {found.status}, not done; the command that started it goes on with it")
    return found


def _refuse_another_base(cfg: DictConfig, found: Record) -> None:
    here = {"model": pretrained.fingerprint(cfg.model), **pretrained.tokenizer_fingerprint(cfg.model)}
    for name, digest in here.items():
        if found.fingerprints.get(name, digest) != digest:
            raise ModelError(
                f"the {name} in {cfg.model.checkpoint} is another than that which the run was trained on; "
                "put back the files of that time"
            )


def _with_classes(task: Task, found: Record, adapter: Path) -> Task:
    names = found.adapter.get("classes", [])
    if names:
        return KnownClasses(task, len(names), names)
    if (adapter / "config.json").is_file():
        return KnownClasses(task, AutoConfig.from_pretrained(adapter).num_labels, [])
    return task  # it generates text, or its record is older than names of classes
