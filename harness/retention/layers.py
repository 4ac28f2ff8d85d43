"""What training did to each linear layer of a model, whatever the method: its weight before and after.

Shapes: O out_features, I in_features, K = min(O, I), T inputs.
"""

import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from harness.layers import linear as linears
from harness.models import roles

OTHER = "other"  # the letter of a layer that has none
CHUNK = 1024  # unit vectors that go through a layer together
LINEAR = 1e-4  # relative; some tuners compute in float32, whatever they are given


class NotLinear(Exception):
    """The adapted layer is no matrix: what it does to a sum is not the sum of what it does to the parts."""


@dataclass(frozen=True)
class Change:
    """One layer. before: W0, of the pre-trained checkpoint; after: W. Both (O, I), float64."""

    name: str
    role: str
    before: torch.Tensor
    after: torch.Tensor

    @property
    def update(self) -> torch.Tensor:
        return self.after - self.before


def changes(
    base: nn.Module, model: nn.Module, letters: Mapping[str, str], model_name: str, head: Collection[str] = ()
) -> Iterator[Change]:
    """Of each linear layer outside `head` that has an adapter, or has a role letter and was changed; in their order.

    Both are on one device. letters: names of modules by role letter. Raises NotLinear.
    """
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    patterns = {each: re.compile(roles.path_pattern(letters, each, model_name)) for each in letters or {}}
    for name in linear(base, head):
        now = inner.get_submodule(name)
        before, after = linears.matrix(base.get_submodule(name)).detach().double(), weight(now)
        role = next((letter for letter, pattern in patterns.items() if pattern.fullmatch(name)), OTHER)
        if isinstance(now, BaseTunerLayer) or (role != OTHER and not torch.equal(before, after)):
            yield Change(name, role, before, after)


def linear(base: nn.Module, head: Collection[str] = ()) -> list[str]:
    """Names of the linear layers outside `head`."""
    inside = tuple(f"{module}." for module in head)
    return [name for name in linears.layers(base) if not f"{name}.".startswith(inside)]


@torch.no_grad()
def weight(layer: nn.Module) -> torch.Tensor:
    """(O, I), float64: the matrix that the layer multiplies with, which is read off what it does to unit vectors.

    So it is that of evaluation with every tuner, those that cannot be merged among them. Raises NotLinear.
    """
    if not isinstance(layer, BaseTunerLayer):
        return linears.matrix(layer).detach().double()
    acting = copy.deepcopy(layer).double().eval()  # sums of the base's 16 bits would hide a small change
    device, inputs = next(layer.parameters()).device, linears.inputs(layer.get_base_layer())
    nothing = acting(torch.zeros(1, inputs, dtype=torch.float64, device=device))  # (1, O): the bias
    units = torch.eye(inputs, dtype=torch.float64, device=device).split(CHUNK)
    found = torch.cat([(acting(some) - nothing).double() for some in units]).T  # (O, I)
    _require_linear(acting, found, nothing.double())
    return found


def _require_linear(acting: nn.Module, found: torch.Tensor, nothing: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, found.shape[1], dtype=torch.float64, generator=generator).to(found.device)
    wanted, got = inputs @ found.T, acting(inputs).double() - nothing
    if not torch.linalg.norm(got - wanted) <= LINEAR * torch.linalg.norm(wanted):
        raise NotLinear
