"""Linear layers of a model: torch's, and GPT-2's Conv1D, which is one that keeps its weight transposed.

Shapes: O out_features, I in_features.
"""

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

KINDS = (nn.Linear, Conv1D)


def layers(model: nn.Module) -> list[str]:
    """Their names, in the order of the modules."""
    return [name for name, module in model.named_modules() if isinstance(module, KINDS)]


def as_matrix(weight: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """(O, I), a view: a tensor of the shape of the layer's weight. Its own inverse."""
    return weight.T if isinstance(layer, Conv1D) else weight


def matrix(layer: nn.Module) -> torch.Tensor:
    """(O, I), a view: W of the layer, which computes x W^T + b."""
    return as_matrix(layer.weight, layer)


def inputs(layer: nn.Module) -> int:
    """I of the layer. A layer that is quantised keeps it as torch.nn.Linear does."""
    return layer.nx if isinstance(layer, Conv1D) else layer.in_features
