"""Whether everything that is trained has an effect, in training and in evaluation. Checked once, in the first step.

A model may read the weight of a layer itself and never call the adapter around it. Without this check such a run would
end with a record as if the adapter had been trained.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

from errors import DoesNotAct
from harness.ranks import distributed, sharding
from svft import acting


class Acting(TrainerCallback):
    """Raises DoesNotAct after the first optimiser step. What one rank has seen called counts for all ranks.

    Each adapted module has to be called, and each trained tensor of it, and of the head, to get a gradient; in
    evaluation each has to be called again and to act on the output (svft/acting.py). Of other weights that are trained,
    as in full fine-tuning, a model may leave some unused (a mask token, a pooler): those are told and recorded.

    batch: one row or a few, for the evaluation. head: the modules that are new with the task.
    """

    def __init__(self, batch: dict[str, torch.Tensor], head: Sequence[str]):
        self.batch, self.head = batch, head
        self.unused: list[str] = []
        self.watching = ExitStack()

    def on_train_begin(self, args, state, control, model: nn.Module, **kwargs) -> None:
        self.modules = acting.adapted_modules(model)
        self.called = self.watching.enter_context(acting.calls(self.modules))
        self.taught = self.watching.enter_context(acting.gradients(model))
        self.looked = False

    def on_step_end(self, args, state, control, model: nn.Module, **kwargs) -> None:
        if self.looked:
            return
        self.looked = True
        self.watching.close()
        seen = distributed.gather((self.called, self.taught))
        called, taught = (set().union(*names) for names in zip(*seen, strict=True))
        inert = acting.inert_in_training(model, self.modules, called, taught)
        self._refuse(inert)
        self._look_at_others(model, taught)
        self._refuse(distributed.first(acting.inert_in_evaluation(model, self.modules, lambda: self._evaluated(model))))

    def on_train_end(self, args, state, control, **kwargs) -> None:
        self.watching.close()

    def report(self) -> dict[str, Any]:
        return {"without_gradient": self.unused} if self.unused else {}

    def _refuse(self, inert: acting.Inert | None) -> None:
        if not inert:
            return
        remedy = "leave their role letters out of method.targets, or name layers in model.roles that are called"
        if all(_is_of(self.head, f"{name}.") for name in inert.names):
            remedy = "name in model.head what the model calls"
        raise DoesNotAct(f"{inert}; {remedy}")

    def _look_at_others(self, model: nn.Module, taught: set[str]) -> None:
        """At what is trained and is not an adapter's."""
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.unused = [name for name in trained if name not in taught]
        of_head = [name for name in self.unused if _is_of(self.head, name)]
        if of_head:
            raise DoesNotAct(
                f"{of_head[0]} of the head got no gradient in training; name in model.head what the model calls"
            )
        if self.unused:
            some = ", ".join(self.unused[: acting.SHOWN])
            said = f"{len(self.unused)} of {len(trained)} trained tensors got no gradient in the first step: {some}"
            distributed.warn(said + (", ..." if len(self.unused) > acting.SHOWN else ""))

    def _evaluated(self, model: nn.Module) -> Any:
        device = next(model.parameters()).device
        outputs = model(**{name: tensor.to(device) for name, tensor in self.batch.items()})
        sharding.reshard(model)
        return outputs


def _is_of(head: Sequence[str], name: str) -> bool:
    """Whether the tensor is in one of the head's modules."""
    return any(f".{module}." in f".{name}" for module in head)
