"""The stages of a run, in their order: identify, load, examine, train, score, compare with the base.

All ranks of a run call each of them together. What one rank refuses is raised on all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from transformers import TrainerCallback, set_seed

from errors import SettingError
from harness.adapters import adapt, starting_point
from harness.adapters.adapt import Adapted
from harness.console import terminal
from harness.modality import fitting, modalities
from harness.modality.modalities import Modality
from harness.models import pretrained
from harness.plan import config, data_files, splits
from harness.plan.splits import AtHand, Wanted
from harness.ranks import distributed, sharding
from harness.retention import inputs, section
from harness.run import data_report, evaluator
from harness.settings import refusals
from harness.store import provenance, trained
from harness.store.record import Record
from harness.store.run_folder import RunFolder
from harness.train import train_settings, trainer
from tasks.base import Task


@dataclass(frozen=True)
class Identified:
    """What a run is made of, and the key that its configuration, data and base weights make.

    adapter: a PEFT config, or an object with `attach`.  callbacks: what else the method puts into the trainer.
    asked: the benchmarks and splits that it is to be scored on.
    """

    task: Task
    adapter: Any
    callbacks: Sequence[TrainerCallback]
    asked: Wanted
    fingerprints: dict[str, str]
    key: str


@dataclass
class Loaded:
    """What is trained and scored.

    head: names of the modules that are new with the task.  said: sentences on data that the model was not made for.
    """

    modality: Modality
    head: list[str]
    adapted: Adapted
    device: torch.device
    said: Sequence[str] = ()


def identify(cfg: DictConfig) -> Identified:
    """Raises UserError for what no run can be made of, and where the ranks are not at the same run."""
    terminal.stage(f"reading what the run is made of: the data, and the checkpoint {cfg.model.checkpoint}")
    this = distributed.call_together(lambda: _identified(cfg))
    distributed.refuse_differing({**this.fingerprints, "configuration": this.key, "seed": str(cfg.seed)})
    return this


def _identified(cfg: DictConfig) -> Identified:
    train_settings.check(cfg)
    if cfg.evaluate.retention:
        inputs.held_out(cfg.model)  # a file that is not there is told before hours of training
    task = config.instantiate(cfg.task.source)
    adapter, callbacks = config.instantiate(cfg.method.adapter), config.callbacks(cfg.method)
    _require_callback(adapter, callbacks)
    sharding.check(cfg, adapter)
    asked = list(splits.wanted(cfg, task))
    base = pretrained.fingerprint(cfg.model)
    fingerprints = {"data": task.fingerprint(), "model": base, **adapt.fingerprint(adapter, base)}
    key = config.identity(cfg, fingerprints)
    # Of files that are in no key: a record says what they were.
    of_files = pretrained.tokenizer_fingerprint(cfg.model) | pretrained.preprocessor_fingerprint(cfg.model)
    return Identified(task, adapter, callbacks, asked, fingerprints | of_files, key)


def _require_callback(adapter: Any, callbacks: Sequence[TrainerCallback]) -> None:
    """Raises SettingError where an adapter is to be trained without the callback that makes it what its name says."""
    needed = getattr(adapter, "needs_callback", None)
    if needed and needed not in {type(callback).__name__ for callback in callbacks}:
        raise SettingError(
            f"this method needs its trainer callback {needed}, which method.callbacks has not; without it something "
            "else would be trained under its name"
        )


def load(cfg: DictConfig, this: Identified, wanted: Wanted, device: torch.device, *, to_train: bool) -> Loaded:
    """The adapted model on its device. Raises UserError where data, model and method do not fit each other."""
    if to_train:
        sharding.check_devices(cfg)
    return distributed.call_together(lambda: _loaded(cfg, this, wanted, device))


def _loaded(cfg: DictConfig, this: Identified, wanted: Wanted, device: torch.device) -> Loaded:
    modalities.look(this.task, wanted)  # what is wrong with the data shows before the model is loaded
    set_seed(cfg.seed)  # before the adapter is built
    modality = modalities.choose(cfg, this.task)
    terminal.stage(f"loading {cfg.model.label}")
    base = modality.load_model()
    head = adapt.head_modules(cfg.model.head) if modality.num_labels else []
    terminal.stage(f"attaching {cfg.method.label}")
    adapted = adapt.adapt(base, this.adapter, head)
    for sentence in adapted.warnings:
        distributed.warn(sentence)
    adapted.classes = list(modality.class_names)
    adapted.model.to(device)
    starts = cfg.method.get("starts")
    adapted.start_distance = starting_point.measured(adapted.model, this.adapter, cfg.method.label, starts)
    if adapted.start_distance is not None:
        distributed.say(f"{cfg.method.label} starts elsewhere: {adapted.start_distance:.2%} of the weights' norm away")
    return Loaded(modality, head, adapted, device)


def examine(this: Identified, loaded: Loaded, there: AtHand, *, to_train: bool) -> data_report.Report:
    """What the data are, told and returned; and whether the longest of them go through the model."""
    report = data_report.of(this.task, there.wanted, there.missing)
    distributed.say("\n".join(data_report.sentences(report)))
    terminal.stage("trying the longest examples on the model")
    model = loaded.adapted.model
    loaded.said = distributed.call_together(lambda: fitting.look(loaded.modality, model, there.wanted, to_train))
    return report


def contents(cfg: DictConfig, this: Identified) -> dict[str, str]:
    """Digests of what the run key knows by a name alone; the same on all ranks."""
    return distributed.broadcast_from_main(lambda: adapt.contents(this.adapter, cfg.model))


def origin(cfg: DictConfig, this: Identified, device: torch.device) -> dict[str, Any]:
    """The record's section `provenance`."""
    folders = {Path(file.name).parent for file in data_files.of(this.task) if file.present}
    if base := pretrained.local_folder(cfg.model.checkpoint):
        folders.add(base)
    return provenance.collect(device) | provenance.sources(sorted(folders))


def train(
    cfg: DictConfig, this: Identified, loaded: Loaded, folder: RunFolder, callbacks: Sequence[TrainerCallback]
) -> None:
    """Leave the trained model in `loaded`, whole on each rank, and the adapter in the run's folder.

    Raises SettingError where one of the method's callbacks refuses a setting, such as the step at which it begins.
    """
    adapted = loaded.adapted
    with refusals.told({type(callback).__module__.partition(".")[0] for callback in this.callbacks}):
        trained_as = trainer.fit(
            cfg, adapted.model, loaded.modality, this.task, loaded.head, folder.checkpoint, callbacks
        )
    adapted.model = sharding.unsharded(adapted.model, lambda: _loaded(cfg, this, (), loaded.device).adapted.model)
    folder.finish_training(adapted.model, trained_as | ({"warnings": loaded.said} if loaded.said else {}))


def score(cfg: DictConfig, loaded: Loaded, folder: RunFolder, result: Record, wanted: Wanted) -> None:
    """Put the adapter that is in the folder into the model, and the score of each benchmark and split into `result`."""
    model = loaded.adapted.model
    distributed.call_together(lambda: trained.load(model, folder.adapter))
    result.train = folder.train_section()
    for benchmark, split in wanted:
        entry = evaluator.evaluate(folder, benchmark, loaded.modality, model, split, cfg.evaluate.batch_size)
        result.scores.setdefault(benchmark.name, {})[split] = entry


def compare(cfg: DictConfig, loaded: Loaded, result: Record) -> None:
    """Put into `result` how far the trained model is from its base, where that is asked for and not there yet."""
    if cfg.evaluate.retention and not result.retention:
        terminal.stage("comparing the weights with those of the base")
        model, device = loaded.adapted.model, loaded.device
        result.retention = distributed.broadcast_from_main(
            lambda: section.measure(model, loaded.modality, loaded.head, device)
        )
