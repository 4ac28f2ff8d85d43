"""One trainer for every method and task: HF Trainer, AdamW, a learning rate for the adapter and one for the head."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import EvalPrediction, ProgressCallback, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from errors import Diverged, SettingError
from harness.console.progress import TrainingBar
from harness.ranks import distributed, sharding, shares
from harness.store import disk, trained
from harness.train import checkpoints, meter, probes
from harness.train.acting import Acting
from harness.train.interruption import Stop
from harness.train.meter import Meter
from harness.train.scores import mean_score
from harness.train.shared_training import SharedTraining
from harness.train.train_settings import VALIDATION, optimizer, training_arguments
from tasks.base import Task

WATCHED = "watched"


def _require_finite(values: dict[str, Any], step: int) -> None:
    """Raises Diverged where a loss or a score of a log entry is not finite: it would be the best, or in no record."""
    for name, value in values.items():
        if name.endswith(("loss", "score")) and not math.isfinite(value):
            raise Diverged(step, f"the {name.removeprefix('eval_').replace('_', ' ')}")


class BenchTrainer(SharedTraining):
    """HF's Trainer, which stops at a loss that is not finite, writes only what is trained, and counts right where it
    resumes. SharedTraining does what several ranks need.

    Of the Trainer's private methods those are overridden for which it has neither a setting nor a callback;
    tests/harness/test_private_names.py names them all. At each one a comment says what the Trainer itself would do.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.unseen_size = self.unseen_errors = 0  # since the last optimiser step
        self.resuming = False

    @property
    def meter(self) -> Meter:
        """Looked up each time: resuming puts a new one, with the earlier counts, in the place of the first."""
        return next(c for c in self.callback_handler.callbacks if isinstance(c, Meter))

    def training_step(self, model, inputs, num_items_in_batch=None):
        # A callback is told of steps and not of their micro-batches or losses, so counting is done here. What the ranks
        # have to tell each other waits for the last micro-batch of a step: one message a step, and all stop together.
        self.unseen_size += 0 if shares.FILLER in inputs else int(self.modality.size(inputs))
        loss = super().training_step(model, self.weighed(inputs), num_items_in_batch)
        self.unseen_errors += int(not torch.isfinite(loss))
        if self.accelerator.sync_gradients:
            self._meet()
            self.meter.unlogged += 1
            self.meter.empty += int(self.step_targets == 0)
        return loss

    def log(self, logs, *args, **kwargs):
        """A loss is the mean over the steps since the last entry that had a target; without any there is none."""
        # The Trainer divides by all steps. Those of no target, as of texts cut off before their answer, add 0 to the
        # sum and would lower the mean.
        meter = self.meter
        if "loss" in logs:
            if meter.empty == meter.unlogged:
                del logs["loss"]
            elif meter.empty:
                logs["loss"] *= meter.unlogged / (meter.unlogged - meter.empty)
            meter.unlogged = meter.empty = 0
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """Draws nothing from the random numbers of the training. Raises Diverged at what is not finite."""
        # In the Trainer an evaluation may draw random numbers, so that looking at validation data changes the dropout
        # masks of the steps after it; and a loss that is no number may count as the best one.
        with probes.random_numbers_kept(self.args.device):
            metrics = super().evaluate(*args, **kwargs)
        _require_finite(metrics, self.state.global_step)
        return metrics

    def floating_point_ops(self, inputs):
        # Nobody reads what the Trainer counts, and it goes through all modules in each micro-batch for that.
        return 0

    def _meet(self) -> None:
        """Add up over the ranks the step's examples and the signals by which ranks are asked to stop.

        Raises Diverged on all ranks where the loss of one is not finite.
        """
        stops = [callback for callback in self.callback_handler.callbacks if isinstance(callback, Stop)]
        asked = [number for stop in stops for number in stop.numbers()]
        size, errors, *asked = distributed.total([self.unseen_size, self.unseen_errors, *asked], self.args.device)
        for stop in stops:
            stop.note_signals(asked)
        self.meter.size += int(size)
        self.unseen_size = self.unseen_errors = 0
        if errors:
            raise Diverged(self.state.global_step + 1)

    def _run_epoch(self, *args, **kwargs):
        # Where the checkpoint is that of the last step, the Trainer would do one more.
        # It also forgets the losses that were summed but not yet logged when the checkpoint was written; `train` sets
        # both counters to the step of the checkpoint just before, so this is the first moment to put them right.
        if self.resuming:
            self.resuming = False
            self._tr_loss += self.meter.losses
            self._globalstep_last_logged -= self.meter.unlogged
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def _save_checkpoint(self, model, trial):
        # Before the callbacks' states are written, the sum of the losses that no log entry has yet goes into one.
        self.meter.losses = fmean(distributed.gather(self._tr_loss.item()))
        with disk.writing(Path(self.args.output_dir)):
            super()._save_checkpoint(model, trial)
        distributed.barrier()  # what all ranks write is there before the checkpoint is marked as complete

    def _save(self, output_dir=None, state_dict=None):
        # The Trainer would save the base too where there is no PEFT adapter, and gather all weights of a sharded model.
        folder = Path(output_dir or self.args.output_dir)
        if self.sharded:
            sharding.save(self.model, folder)
        if self.sharded or not self.args.should_save:
            return
        folder.mkdir(parents=True, exist_ok=True)
        trained.save(self.accelerator.unwrap_model(self.model), folder)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        # What `_save` wrote. The Trainer finds no weights under the name that they have without a PEFT adapter.
        self.resuming = True
        self._load(resume_from_checkpoint)

    def _load_best_model(self):
        # The Trainer goes on with the last weights, with a warning alone, where the file is not there; and the file may
        # have been damaged since it was written, while the run went on.
        distributed.broadcast_from_main(lambda: checkpoints.check(Path(self.state.best_model_checkpoint), {}))
        self._load(self.state.best_model_checkpoint)

    def _load(self, checkpoint: str) -> None:
        if self.sharded:
            sharding.load(self.model, Path(checkpoint))
        else:
            model = self.accelerator.unwrap_model(self.model)
            distributed.call_together(lambda: trained.load(model, Path(checkpoint)))


def fit(
    cfg: DictConfig, model: nn.Module, modality, task: Task, head: Sequence[str], folder: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:  # fmt: skip
    """Train `model` in place and return the record's `train` section. Resumes from the last complete checkpoint.

    `callbacks` with a `report()` add what it returns to the section's `method`; those with a `calibrate(model, steps)`
    are called before the first step (see SharedTraining.first_steps). Raises Diverged where a loss, a score
    or a weight is not finite, and before the training SettingError or ModelError where it could not come right.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return untrained()
    watched = watched_examples(task)
    checked = {VALIDATION: task.examples("validation"), **({WATCHED: watched} if watched else {})}
    last = distributed.broadcast_from_main(lambda: checkpoints.last(folder))
    arguments = training_arguments(cfg, folder)
    rows, selects = modality.rows(task.examples("train")), arguments.load_best_model_at_end
    checked = {name: modality.rows(examples) for name, examples in checked.items()} if selects else None
    distributed.call_together(lambda: _look(cfg, model, modality, rows, checked, arguments))
    if sharding.asked(cfg):
        sharding.shard(model)
    elif distributed.size() > 1:
        arguments.ddp_find_unused_parameters = probes.has_unused(model, modality.collate(rows[:1]), arguments)
    bar = TrainingBar()
    trainer = BenchTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=checked,
        data_collator=modality.collate,
        optimizers=(optimizer(model, head, cfg.train), None),
        compute_metrics=_scorer(modality, task) if modality.num_labels else None,
        callbacks=[Meter(), Acting(modality.collate(rows[:1]), head), checkpoints.MarkComplete(), bar, *callbacks],
        modality=modality,
        sort_in_step=cfg.train.sort_in_step,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    meter.reset_peak(arguments.device)
    if distributed.rank():
        torch.manual_seed(cfg.seed + distributed.rank())  # dropout's masks would be the same on all ranks otherwise
    if last is None:
        _calibrate(trainer, callbacks)
    try:  # a bar that is left open would write into the line of the error
        trainer.train(resume_from_checkpoint=last)
    finally:
        bar.close()
    _require_finite_weights(model, trainer.state.global_step, arguments.device)
    return _section(trainer, selects)


def _calibrate(trainer: BenchTrainer, callbacks: Sequence[TrainerCallback]) -> None:
    """Let methods that ask for it look at the data of the first steps. The random numbers of the training stay."""
    for callback in callbacks:
        if hasattr(callback, "calibrate"):
            with probes.random_numbers_kept(trainer.args.device):
                callback.calibrate(trainer.model, trainer.first_steps())


def _section(trainer: BenchTrainer, selects: bool) -> dict[str, Any]:
    """Raises Diverged where a loss or a score is not finite, as in the checkpoint of an earlier version."""
    history = trainer.state.log_history
    for entry in history:
        _require_finite(entry, entry["step"])
    reports = [callback.report() for callback in trainer.callback_handler.callbacks if hasattr(callback, "report")]
    return {
        "steps": trainer.state.global_step,
        "loss": [[entry["step"], entry["loss"]] for entry in history if "loss" in entry],
        "validation": _checks(history, VALIDATION),
        "watched": _checks(history, WATCHED),
        "best_step": trainer.state.best_global_step if selects else None,
        "step_seconds": max(distributed.gather(trainer.meter.step_seconds)),
        "step_times": trainer.meter.times(),
        "size": trainer.meter.size,
        "peak_bytes": _largest(distributed.gather(meter.peak_bytes(trainer.args.device))),
        **({"method": _in_one_order(reports)} if any(reports) else {}),
    }


def _in_one_order(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The reports in one, names sorted: those of a resumed training come from JSON that the Trainer wrote so."""
    return json.loads(json.dumps({name: value for report in reports for name, value in report.items()}, sort_keys=True))


def _look(cfg: DictConfig, model: nn.Module, modality, rows, checked, arguments: TrainingArguments) -> None:
    """Raise SettingError or ModelError for what would show in the middle of the training, or in a wrong number."""
    if checked and probes.first_with_target(modality, checked[VALIDATION]) is None:
        raise SettingError(
            "train.select_best goes by the validation examples, none of which has anything to learn within "
            f"train.max_length={cfg.train.max_length}; raise that, give others, or say train.select_best=false"
        )
    row = probes.first_with_target(modality, rows)
    if row is not None and cfg.train.batch_size > cfg.train.micro_batch_size:
        probes.require_mean(model, modality, row, arguments)


def _require_finite_weights(model: nn.Module, step: int, device: torch.device) -> None:
    """Raises Diverged, on all ranks: after the last step there is no loss that would tell."""
    held = (p.to_local() if isinstance(p, DTensor) else p for p in model.parameters() if p.requires_grad)
    if distributed.total([sum(not torch.isfinite(p).all() for p in held)], device)[0]:
        raise Diverged(step, "a trained weight")


def _largest(values: Sequence[int | None]) -> int | None:
    """Of one device: whether it is enough is what the number is for."""
    return None if None in values else max(values)


def untrained() -> dict[str, Any]:
    """The `train` section of a method that trains nothing."""
    empty = {name: [] for name in ("loss", "validation", "watched")}
    return {"steps": 0, **empty, "best_step": None, "step_seconds": 0.0, "size": 0, "peak_bytes": None}


def watched_examples(task: Task) -> Sequence[Any]:
    """Examples that are scored at the end of every epoch besides validation and select nothing."""
    return next(iter(task.benchmarks.values())).examples(task.watched) if task.watched else ()


def _scorer(modality, task: Task) -> Callable[[EvalPrediction], dict[str, float]]:
    """The score that tables show, of the logits of an evaluation."""
    scorer = next(iter(next(iter(task.benchmarks.values())).scorers.values()))

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        predictions = modality.predictions_of(prediction.predictions)
        return {"score": mean_score(scorer, predictions, prediction.label_ids.tolist())}

    return compute


def _checks(history: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """[{step, loss, score}], one an epoch; `score` where there is one."""
    found = [entry for entry in history if f"eval_{name}_loss" in entry]
    return [
        {"step": entry["step"]}
        | {key: entry[f"eval_{name}_{key}"] for key in ("loss", "score") if f"eval_{name}_{key}" in entry}
        for entry in found
    ]
