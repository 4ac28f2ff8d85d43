"""Full fine-tuning, head only, nothing: which of the base model's own weights are trained.

`head`: module paths of the classification head; none for a model and task without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn


@dataclass(frozen=True)
class FullFineTuning:
    """Every parameter of the base model and its head."""

    can_be_sharded: ClassVar[bool] = True

    def attach(self, model: nn.Module, head: Sequence[str]) -> nn.Module:
        return model.requires_grad_(True)


@dataclass(frozen=True)
class HeadOnly:
    """The classification head on frozen features. Raises ValueError for a model without one."""

    def attach(self, model: nn.Module, head: Sequence[str]) -> nn.Module:
        if not head:
            raise ValueError("head-only training needs a classification head, and this model and task have none")
        model.requires_grad_(False)
        for module in head:
            model.get_submodule(module).requires_grad_(True)
        return model


@dataclass(frozen=True)
class PreTrained:
    """The pre-trained model as it is. Raises ValueError where a task needs a head, which would be random."""

    def attach(self, model: nn.Module, head: Sequence[str]) -> nn.Module:
        if head:
            raise ValueError(
                f"the head ({', '.join(head)}) is not pre-trained, so there is nothing to evaluate; try method=head"
            )
        return model.requires_grad_(False)
