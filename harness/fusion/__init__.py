"""Adapters of finished runs, one a task, put together into one adapter of the same model. Nothing is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from errors import SettingError
from harness.fusion.parts import read, relative_to
from harness.layers import linear
from harness.settings import refusals
from harness.store import identity, record

FUSED = "default"  # the name under which an adapter is saved and loaded without a folder of its own

MODES = {"sum": lambda parts: 1.0, "mean": lambda parts: 1.0 / parts}  # the weight of each
TOLERANCE, ROUGH = {torch.float32: 1e-4}, 2e-2  # of one part fused alone, by the dtype of the base; of 16 bits


class Fusion:
    """The tuner's add_weighted_adapter: with combination "cat", Delta W is the sum or the mean of the parts', exactly.

    parts: for each task the run whose adapter takes part, by its variant (`<variant>` or `<variant>-<key>`, as folders
    are called). The classification head is that of the part trained on `task`.
    """

    def __init__(
        self, *, runs_dir: str, model: str, seed: int, task: str, of: str, mode: str, combination: str,
        parts: Mapping[str, str],
    ) -> None:  # fmt: skip
        if mode not in MODES:
            raise ValueError(f"mode={mode!r} is not one of {', '.join(MODES)}")
        if not isinstance(parts, Mapping) or not parts:
            raise ValueError(f"parts={parts!r} is not {{task: variant of the run whose adapter takes part, ...}}")
        self.runs_dir, self.model, self.seed, self.task = Path(runs_dir), model, seed, task
        self.of, self.mode, self.combination, self.parts = of, mode, combination, dict(parts)

    def fingerprint(self, base: str) -> str:
        """Of the runs that take part: their keys stand for their configuration, data and base weights.

        Raises SettingError where one of them was trained on another base than that of this fingerprint.
        """
        records = {task: record.read(self.run(task) / record.FILE) for task in self.parts}
        for task, part in records.items():
            if part.fingerprints["model"] != base:
                raise SettingError(
                    f"the run of {task} in {self.run(task)} was trained on another {self.model} "
                    f"({part.fingerprints['model'][:8]}) than this one ({base[:8]}): its adapter is of no use here"
                )
        keys = {task: part.key for task, part in records.items()}
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()

    def content(self) -> str:
        """As `fingerprint`, of rows in the place of keys: the same wherever the parts' files were."""
        rows = {task: identity.row(record.read(self.run(task) / record.FILE)) for task in self.parts}
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()

    def run(self, task: str) -> Path:
        """The folder of a part's run. Raises SettingError where no finished run, or more than one, is called so."""
        folder, seed, variant = self.runs_dir / task / self.model / self.of, f"seed={self.seed}", self.parts[task]
        candidates = [folder / variant / seed, *sorted(folder.glob(f"{variant}-????????/{seed}"))]
        found = [path for path in candidates if _is_done(path)]
        if not found:
            raise SettingError(
                f"no finished run in {folder} is called {variant} with {seed}; run it first: "
                f"python run.py task={task} model={self.model} method={self.of} seed={self.seed} ..."
            )
        if len(found) > 1:
            names = ", ".join(path.parent.name for path in found)
            raise SettingError(f"several runs in {folder} are called {variant}: give one of {names}")
        return found[0]

    def attach(self, model: nn.Module, head: Sequence[str]) -> nn.Module:
        """The model with the fused adapter, frozen; on the meta device, where nothing can be read, without it.

        Raises ValueError where a part's adapter is damaged or missing, and where the head is missing; SettingError
        where the tuner refuses to put the parts together.
        """
        if next(model.parameters()).is_meta:
            return model.requires_grad_(False)
        if head and self.task not in self.parts:
            raise ValueError(f"the head is that of the part trained on {self.task}, and the parts are {self._names()}")
        parts = {task: relative_to(model, read(self.run(task), head)) for task in self.parts}
        first, *others = parts
        adapted = get_peft_model(model, parts[first].config, adapter_name=first)
        if not hasattr(adapted.base_model, "add_weighted_adapter"):
            raise ValueError(f"method.of={self.of}: PEFT has no way to add the updates of such adapters")
        for task in others:
            adapted.add_adapter(task, parts[task].config)
        for task, part in parts.items():
            set_peft_model_state_dict(adapted, part.tensors, adapter_name=task)
        if head:
            adapted.load_state_dict(parts[self.task].head, strict=False)
        weights = [MODES[self.mode](len(parts))] * len(parts)
        with refusals.told(refusals.packages_of(type(adapted.base_model)) | refusals.packages_of(type(self))):
            for task in parts:
                self._check_alone(adapted, task)
            self._add(adapted, list(parts), weights)
        adapted.set_adapter(FUSED)
        for task in parts:
            adapted.delete_adapter(task)
        return adapted.requires_grad_(False)

    def _add(self, adapted: PeftModel, tasks: list[str], weights: list[float]) -> None:
        """Adds their fusion, all of the model in evaluation: PEFT 0.21.2 adds dropout in training mode."""
        adapted.base_model.add_weighted_adapter(tasks, weights, FUSED, self.combination)
        adapted.eval()

    def _check_alone(self, adapted: PeftModel, task: str) -> None:
        """Raise ValueError where the fusion of this part alone is another function than the part: DoRA's, for one."""
        self._add(adapted, [task], [1.0])
        off = _largest_difference(adapted, task, FUSED)
        adapted.set_adapter(task)
        adapted.delete_adapter(FUSED)
        if off > TOLERANCE.get(next(adapted.parameters()).dtype, ROUGH):
            raise ValueError(
                f"method.of={self.of}: the adapter of {task} alone, fused with combination={self.combination}, is off "
                f"by {off:.1e} of what its layers give out: such adapters are not fused"
            )

    def _names(self) -> str:
        return ", ".join(self.parts)


def _is_done(run: Path) -> bool:
    path = run / record.FILE
    return path.exists() and record.read(path).status == "done"


@torch.no_grad()
def _largest_difference(adapted: PeftModel, one: str, other: str) -> float:
    """Between the outputs of the linear layers with either adapter, on random inputs, as a share of their norm."""
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer) and isinstance(layer.get_base_layer(), linear.KINDS):
            weight = layer.get_base_layer().weight
            inputs = torch.randn(4, linear.inputs(layer.get_base_layer()), generator=generator).to(weight)
            outputs = []
            for name in (one, other):
                layer.set_adapter(name)
                outputs.append(layer(inputs).float())
            largest = max(largest, float((outputs[0] - outputs[1]).norm() / outputs[0].norm()))
    return largest
