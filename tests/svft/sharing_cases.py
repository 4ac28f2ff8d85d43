"""A small model whose layers share adapters by role, and every kind of adapter that they can share."""

import peft
import pytest
import torch
from torch import nn

from baselines import SpectralAdapterConfig, VectorFitConfig
from svft import SvftConfig
from svft.basis import BasisLayer

D, WIDE, BLOCKS = 8, 12, 3
NAMES = ["q", "up", "down"]
CONFIGS = {
    "plain": lambda **more: SvftConfig(target_modules=NAMES, **more),
    "banded": lambda **more: SvftConfig(pattern="banded", d=2, rank=5, target_modules=NAMES, **more),
    "random": lambda **more: SvftConfig(pattern="random", d=2, gate=True, seed=3, target_modules=NAMES, **more),
    "topk": lambda **more: SvftConfig(pattern="topk", d=1, target_modules=NAMES, **more),
    "released": lambda **more: SvftConfig(pattern="topk", d=1, preset="authors_code", target_modules=NAMES, **more),
    "block": lambda **more: SvftConfig(pattern="block", rank=3, scaled=True, target_modules=NAMES, **more),
    "gradient": lambda **more: SvftConfig(pattern="gradient", d=1, scaled=True, target_modules=NAMES, **more),
    "dropped": lambda **more: SvftConfig(pattern="random", d=2, keep_weight=False, target_modules=NAMES, **more),
    "basis": lambda **more: SvftConfig(pattern="random", d=2, save_basis=True, target_modules=NAMES, **more),
    "vectorfit": lambda **more: VectorFitConfig(target_modules=NAMES, **more),
    "svf": lambda **more: VectorFitConfig(multiplicative=True, train_bias=False, target_modules=NAMES, **more),
    "warped": lambda **more: VectorFitConfig(cells=5, train_bias=False, target_modules=NAMES, **more),
    "right": lambda **more: SpectralAdapterConfig(mode="right", r=3, target_modules=NAMES, **more),
    "one sided": lambda **more: SpectralAdapterConfig(mode="one_sided", r=3, target_modules=NAMES, **more),
    "factored": lambda **more: SpectralAdapterConfig(
        mode="factored", r=2, block="bottom", target_modules=NAMES, **more
    ),
    "additive": lambda **more: SpectralAdapterConfig(r=2, target_modules=NAMES, **more),
    "rotation": lambda **more: SpectralAdapterConfig(
        mode="rotation", r=3, block=1, scale=True, target_modules=NAMES, **more
    ),
}
# Trained numbers of a group, by config: of q (8 x 8), up (12 x 8) and down (8 x 12).
COUNTS = {
    "plain": 3 * 8,
    "banded": 3 * (5 * 5 - 2 * 3),
    "random": 3 * (8 * 5 - 2 * 3 + 1),
    "topk": 3 * (8 * 3 - 2),
    "block": 3 * 9,
    "gradient": 3 * (8 * 3 - 2),
    "vectorfit": 3 * 8 + (8 + 12 + 8),
    "svf": 3 * 8,
    "warped": 3 * 4,
    "right": 3 * (8 + 12 + 8),
    "one sided": 3 * (3 + 3),
    "factored": 2 * (16 + 20 + 20),
    "additive": 2 * (16 + 20 + 20),
    "rotation": 3 * (2 * 9 + 3),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
X = torch.linspace(-1, 1, 3 * D, dtype=torch.float64).view(3, D)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.up, self.down = nn.Linear(D, D), nn.Linear(D, WIDE), nn.Linear(WIDE, D)

    def forward(self, x):
        return x + self.down(torch.tanh(self.up(torch.tanh(self.q(x)))))


class Model(nn.Module):
    """The same weights each time, float64."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Block() for _ in range(BLOCKS))
        generator = torch.Generator().manual_seed(0)
        self.double()
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator).div_(2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def adapted(config, drawn: bool = True, **more) -> peft.PeftModel:
    model = peft.get_peft_model(Model(), config(share="role", **more))
    return draw(model) if drawn else model


def draw(model: peft.PeftModel, seed: int = 1) -> peft.PeftModel:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) / 3
    return model


def layers_of(model: nn.Module) -> list[BasisLayer]:
    return [module for module in model.modules() if isinstance(module, BasisLayer)]


def unshared(config, model: peft.PeftModel) -> peft.PeftModel:
    """The same function by adapters that share nothing: each layer has a copy of its own."""
    own = peft.get_peft_model(Model(), config())
    for mine, theirs in zip(layers_of(own), layers_of(model), strict=True):
        for name, tensor in theirs.trained("default").items():
            data = mine.held("default")[name].data
            starts_here = name in ("vectorfit_sigma", "vectorfit_bias")
            data.copy_(tensor + data if starts_here else tensor)
        for store in ("svft_index", "svft_topk", "svft_selected"):
            if "default" in getattr(mine, store, ()):
                getattr(mine, store)["default"] = theirs.index("default")
    return own


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(X).square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
