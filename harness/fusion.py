"""Adapters of finished runs, one a task, put together into one adapter of the same model. Nothing is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
from torch import nn

from harness import record, trained
from harness.files import Damaged
from harness.settings import SettingError
from harness.stored import Stored

FUSED = "default"  # the name under which an adapter is saved and loaded without a folder of its own


MODES = {"sum": lambda parts: 1.0, "mean": lambda parts: 1.0 / parts}  # the weight of each


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

    def fingerprint(self) -> str:
        """Of the runs that take part: their keys stand for their configuration, data and base weights."""
        keys = {task: record.read(self.run(task) / record.FILE).key for task in self.parts}
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()

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

        Raises ValueError where a part's adapter is damaged or missing, and where the head is missing.
        """
        if next(model.parameters()).is_meta:
            return model.requires_grad_(False)
        if head and self.task not in self.parts:
            raise ValueError(f"the head is that of the part trained on {self.task}, and the parts are {self._names()}")
        adapters = {task: self._adapter(task) for task in self.parts}
        configs = {task: PeftConfig.from_pretrained(str(folder)) for task, folder in adapters.items()}
        for config in configs.values():
            config.modules_to_save, config.inference_mode = None, False
        first, *others = self.parts
        adapted = get_peft_model(model, configs[first], adapter_name=first)
        for task in others:
            adapted.add_adapter(task, configs[task])
        heads = {}
        for task, folder in adapters.items():
            tensors = trained.tensors(folder / trained.PEFT_WEIGHTS)
            heads[task] = {name: tensors.pop(name) for name in list(tensors) if _in(name, head)}
            set_peft_model_state_dict(adapted, tensors, adapter_name=task)
        adapted.load_state_dict(heads.get(self.task, {}), strict=False)
        weights = [MODES[self.mode](len(adapters))] * len(adapters)
        adapted.base_model.add_weighted_adapter(list(adapters), weights, FUSED, self.combination)
        adapted.set_adapter(FUSED)
        for task in adapters:
            adapted.delete_adapter(task)
        return adapted.requires_grad_(False)

    def _adapter(self, task: str) -> Path:
        run = self.run(task)
        stored = Stored(run, record.read(run / record.FILE))
        folder = stored.adapter
        if not (folder / trained.PEFT_WEIGHTS).exists():
            raise ValueError(
                f"{folder} is not there: that run is done, but its adapter was not kept; force=true trains it again"
            )
        try:
            stored.train_section()
        except Damaged as error:
            raise ValueError(f"{error}; force=true trains that run again") from error
        return folder

    def _names(self) -> str:
        return ", ".join(self.parts)


def _is_done(run: Path) -> bool:
    path = run / record.FILE
    return path.exists() and record.read(path).status == "done"


def _in(name: str, head: Sequence[str]) -> bool:
    return name.startswith(tuple(f"base_model.model.{module}." for module in head))
