"""Full fine-tuning and head only: which of the base model's own weights are trained."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class FullFineTuning:
    """Every parameter of the base model and its head."""

    def attach(self, model: nn.Module, head: str | None) -> nn.Module:
        return model.requires_grad_(True)


@dataclass(frozen=True)
class HeadOnly:
    """The classification head on frozen features. Raises ValueError for a model without one."""

    def attach(self, model: nn.Module, head: str | None) -> nn.Module:
        if head is None:
            raise ValueError("head-only training needs a classification head, and this model and task have none")
        model.requires_grad_(False)
        model.get_submodule(head).requires_grad_(True)
        return model
