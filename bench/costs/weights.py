"""Effective weights: what each linear layer of the base does to its input, whatever a method put around it.

Shapes: O out_features, I in_features.
"""

import re
from collections.abc import Mapping

import torch
from omegaconf import DictConfig
from torch import nn

from bench import methods
from harness.layers import linear
from harness.models import roles

RANK = 1e-3  # of the largest singular value: smaller ones do not count
ROUNDING = 1e-6  # of the weights' norm: an update below it is the rounding of fp32

Weights = dict[str, torch.Tensor]


def layers(base: nn.Module, model: DictConfig) -> dict[str, list[str]]:
    """Names of the linear layers by role letter, in the order of the blocks."""
    named = linear.layers(base)
    return {
        letter: [name for name in named if re.fullmatch(roles.path_pattern(model.roles, letter, model.name), name)]
        for letter in model.linear
    }


@torch.no_grad()
def effective(model: nn.Module, by_letter: Mapping[str, list[str]]) -> Weights:
    """(O, I) of each layer, from the rows of the identity as inputs, less the output for zero."""
    inner, found = methods.base_of(model.eval()), {}
    for name in (name for names in by_letter.values() for name in names):
        layer = inner.get_submodule(name)
        size, like = layer.in_features, next(layer.parameters())
        inputs = torch.cat([torch.eye(size, device=like.device), torch.zeros(1, size, device=like.device)])
        outputs = layer(inputs[None])[0]  # (I + 1, O)
        found[name] = (outputs[:-1] - outputs[-1]).T.float()
    return found


def change(after: Weights, before: Weights) -> float:
    """Norm of the change of all layers over the norm of what they were."""
    moved = sum((after[name] - before[name]).double().square().sum() for name in before)
    size = sum(weight.double().square().sum() for weight in before.values())
    return (moved / size).sqrt().item()


def rank(after: torch.Tensor, before: torch.Tensor) -> int:
    """Of the change of one layer; 0 where the change is no more than rounding."""
    difference = (after - before).double()
    if difference.norm() <= ROUNDING * before.double().norm():
        return 0
    values = torch.linalg.svdvals(difference)
    return int((values > RANK * values[0]).sum())
