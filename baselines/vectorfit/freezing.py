"""Adaptive Vector Freezing (Hegde et al. 2025, arXiv:2503.19530): the most trained vectors rest for a while.

The paper's words: a training strength is measured for every trained vector; periodically the most trained ones are
frozen, so that the others catch up. The equations are our reading of it, not checked against the paper's:

    S_v(t) = mean |v_t - v_0|                             the training strength of a vector v after t steps
    A_v(t) = beta A_v(t - 1) + (1 - beta) S_v(t)          its moving average, A_v(0) = 0

After t = start, start + every, start + 2 every, ... steps, `times` in all, the `count` vectors with the largest A are
frozen and all others thawed, until the next such step; `every` steps after the last of them, all are thawed.
The average is not corrected for its start at 0: this is one factor for all vectors, and only their order matters.

A frozen vector has no gradient when gradients are clipped and when the optimiser steps: its value and the optimiser's
state of it stay as they are, there is no decay, and it takes no share of the clipping norm. A hook drops each gradient
once it is accumulated; another drop comes before the optimiser's step, since DistributedDataParallel puts zeros in the
place of what is missing. To it every parameter took part in the backward pass, so find_unused_parameters is not needed.
All processes hold the same values and choose the same vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from svft.basis.config import is_integer

from .strength import SCORES

AVERAGES = ("every_step", "at_freezing")
PICKS = ("strongest", "random")
FREEZE, THAW = "freeze", "thaw"


class VectorFreezing(TrainerCallback, ExportableState):
    """Freezes the most trained vectors of a model whose tuner has `trained_vectors()`, and records their strengths.

    start, every: optimiser steps before the first freezing, and between two; below 1: shares of all steps.
    count: how many vectors to freeze; below 1: a share of all.
    times: number of freezings; None: to the end of training; 0: none, strengths are only recorded.
    beta: of the moving average; 0: the strength of the moment. average: updated every_step or at_freezing.
    score: l1_mean, l2_mean or relative. l1_mean is our reading: in the paper's figure the strengths of vectors with
    768 and with 3072 entries lie on one scale.
    pick: strongest, or random, which looks at no strength. seed: of random, an integer >= 0.
    log_every: optimiser steps between two recorded strengths; those after the last step are recorded too.
    """

    def __init__(
        self, *, start: float, every: float, count: float, times: int | None, beta: float, score: str, average: str,
        pick: str, seed: int, log_every: int,
    ) -> None:  # fmt: skip
        self.options = {
            "start": start, "every": every, "count": count, "times": times, "beta": beta, "score": score,
            "average": average, "pick": pick, "seed": seed, "log_every": log_every,
        }  # fmt: skip
        _check(self.options)
        self._begin_anew([])
        self.hooks: list[Any] = []

    def _begin_anew(self, names: list[str]) -> None:
        self.averages: torch.Tensor | list[float] = [0.0] * len(names)  # A
        self.frozen: list[int] = []
        self.history: dict[str, list] = {"vectors": names, "steps": [], "values": [], "frozen": [], "frozen_at": []}

    def state(self) -> dict[str, Any]:
        """For trainer_state.json, from which HF Trainer builds the callback of a resumed run. JSON keeps floats."""
        averages = self.averages.tolist() if isinstance(self.averages, torch.Tensor) else self.averages
        return {
            "args": self.options,
            "attributes": {"averages": averages, "frozen": self.frozen, "history": self.history},
        }

    def report(self) -> dict[str, Any]:
        """{training_strength: {vectors: names, steps, values: strengths after these steps, frozen, frozen_at}}.

        frozen: the indices of the vectors frozen from each of the steps frozen_at on; empty where all were thawed.
        """
        return {"training_strength": self.history}

    def on_train_begin(self, args, state, control, model: nn.Module, **kwargs) -> None:
        vectors = list(_tuner(model).trained_vectors())
        names = [vector.name for vector in vectors]
        if state.global_step == 0:
            self._begin_anew(names)
        elif self.history["vectors"] != names:
            raise ValueError(
                f"the checkpoint of step {state.global_step} holds no strengths of this model's trained vectors; start "
                "anew, or resume with restore_callback_states_from_checkpoint=True"
            )
        self.parameters = [vector.parameter for vector in vectors]
        self.starts = [vector.start.to(vector.parameter) for vector in vectors]
        self._fit_to(state.max_steps, names)
        like = self.starts[0]
        self.averages = torch.as_tensor(self.averages, dtype=like.dtype, device=like.device)
        self._freeze(self.frozen)

    def _fit_to(self, max_steps: int, names: list[str]) -> None:
        """Options as numbers of steps and vectors. Raises ValueError where they do not go with this training."""
        if not names:
            raise ValueError("the model has no trained vectors to freeze")
        self.first, self.interval = (_amount(self.options[name], max_steps) for name in ("start", "every"))
        if max_steps <= self.options["start"] >= 1 and self.options["times"] != 0:
            raise ValueError(f"start={self.options['start']} is not before the last of {max_steps} steps")
        self.size = _amount(self.options["count"], len(names))
        if self.size >= len(names):
            raise ValueError(
                f"count={self.options['count']} freezes all of the {len(names)} trained vectors; choose fewer"
            )
        if self.options["score"] == "relative":
            self._refuse_zero_starts(names)

    def _refuse_zero_starts(self, names: list[str]) -> None:
        for name, start in zip(names, self.starts, strict=True):
            if not start.any():
                raise ValueError(
                    f"score='relative' divides by the norm at the start, and '{name}' starts at 0; "
                    "choose l1_mean or l2_mean"
                )

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        for index in self.frozen:
            self.parameters[index].grad = None

    def on_step_end(self, args, state, control, **kwargs) -> None:
        step, event = state.global_step, self._event(state.global_step, state.max_steps)
        logged = step % self.options["log_every"] == 0 or step >= state.max_steps
        averaged = event == FREEZE or self.options["average"] == "every_step"
        if logged or averaged:
            strengths = self._strengths()
        if averaged:
            beta = self.options["beta"]
            self.averages = beta * self.averages + (1 - beta) * strengths
        if logged:
            self.history["steps"].append(step)
            self.history["values"].append(strengths.tolist())
        if event is not None:
            self._freeze(self._chosen(step) if event == FREEZE else [])
            self.history["frozen_at"].append(step)
            self.history["frozen"].append(self.frozen)

    def on_train_end(self, args, state, control, **kwargs) -> None:
        self._freeze([])

    def _event(self, step: int, max_steps: int) -> str | None:
        """What happens between this step and the next."""
        period, within = divmod(step - self.first, self.interval)
        times = self.options["times"]
        if times == 0 or period < 0 or within or step >= max_steps:
            return None
        if times is None or period < times:
            return FREEZE
        return THAW if period == times else None

    def _strengths(self) -> torch.Tensor:
        values = [parameter.detach() for parameter in self.parameters]
        return SCORES[self.options["score"]](values, self.starts)

    def _chosen(self, step: int) -> list[int]:
        """Indices in rising order."""
        if self.options["pick"] == "random":  # a generator for each freezing: no state to lose at an interruption
            generator = np.random.default_rng([self.options["seed"], step])
            chosen = generator.choice(len(self.parameters), self.size, replace=False)
        else:  # stable: among equals the earlier one, on every device
            chosen = torch.sort(self.averages, descending=True, stable=True).indices[: self.size]
        return sorted(chosen.tolist())

    def _freeze(self, indices: list[int]) -> None:
        """These and no others."""
        for hook in self.hooks:
            hook.remove()
        self.frozen = indices
        self.hooks = [self.parameters[i].register_post_accumulate_grad_hook(_drop_gradient) for i in indices]


def _drop_gradient(parameter: torch.Tensor) -> None:
    parameter.grad = None


def _tuner(model: nn.Module) -> Any:
    tuner = getattr(model, "base_model", None)
    if not hasattr(tuner, "trained_vectors"):
        raise ValueError(
            "VectorFreezing goes with an adapter that names its trained vectors, such as that of VectorFitConfig; "
            f"this {type(model).__name__} has none"
        )
    return tuner


def _amount(option: float, whole: int) -> int:
    """Below 1 a share of the whole, rounded, and 1 at least; else the number itself."""
    return max(1, round(option * whole)) if option < 1 else int(option)


def _check(options: dict[str, Any]) -> None:
    for name, choices in (("score", SCORES), ("average", AVERAGES), ("pick", PICKS)):
        if options[name] not in choices:
            raise ValueError(f"{name}={options[name]!r} is not one of {', '.join(choices)}")
    for name in ("start", "every", "count"):
        value = options[name]
        if not _is_number(value) or value <= 0 or (value > 1 and value % 1):
            raise ValueError(f"{name}={value!r} is neither a share, above 0 and below 1, nor a whole number from 1 on")
    if not _is_number(options["beta"]) or not 0 <= options["beta"] < 1:
        raise ValueError(f"beta={options['beta']!r} is not at least 0 and below 1")
    for name, least in (("times", 0), ("seed", 0), ("log_every", 1)):
        value = options[name]
        if not (name == "times" and value is None) and not (is_integer(value) and value >= least):
            raise ValueError(f"{name}={value!r} is not an integer from {least} on")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
