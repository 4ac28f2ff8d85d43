"""PEFT's own tuners as conf/method has them: what they train, and what is said of them in words and refused."""

from collections.abc import Iterable

import pytest
import torch
from omegaconf import OmegaConf
from peft import PeftConfig, get_peft_model
from torch import nn

from harness.adapters import starting_point
from harness.adapters.adapt import Adapted, adapt
from harness.plan import config
from tests import card_counts

SHAPES = ((64, 96), (96, 64), (64, 64))  # outputs, inputs
COUNTED = (
    "c3a", "delora", "fourierft", "frod", "gralora", "hira", "hra", "loha", "lokr", "miss", "osf", "psoft", "randlora",
    "road", "shira", "vblora", "waveft",
)  # fmt: skip


class Layers(nn.Module):
    """A few linear layers, each of a role of its own."""

    def __init__(self, shapes: Iterable[tuple[int, int]] = SHAPES):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleDict({f"l{i}": nn.Linear(n, m) for i, (m, n) in enumerate(shapes)})
        self.config = {"model_type": "custom"}

    def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        return [layer(x) for layer, x in zip(self.layers.values(), inputs, strict=True)]


def of_yaml(composed, method: str, *more: str, seed: int = 0) -> Adapted:
    cfg = composed(f"method={method}", *more)
    cfg.seed = seed
    settings = OmegaConf.merge(cfg.method.adapter, {"target_modules": [f"l{i}" for i in range(len(SHAPES))]})
    torch.manual_seed(seed)
    return adapt(Layers(), config.instantiate(settings), None)


@pytest.mark.parametrize("method", COUNTED)
def test_what_is_trained_is_what_the_card_counts(composed, method):
    options = composed(f"method={method}").method.adapter
    assert of_yaml(composed, method).parameters["adapter"] == card_counts.counted(method, options, SHAPES)


@pytest.mark.parametrize("method", ["c3a", "vblora", "fourierft"])
def test_the_distance_of_a_start_is_that_of_the_weights(composed, method):
    """Against the weights of the merged model."""
    start = ["method.adapter.init_weights=false"] if method == "fourierft" else []
    adapted = of_yaml(composed, method, *start).model
    measured, before = starting_point.distance(adapted), Layers()
    merged = adapted.merge_and_unload()
    pairs = [(merged.layers[name].weight, layer.weight) for name, layer in before.layers.items()]
    exact = (sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)).sqrt()
    assert measured == pytest.approx(exact.item(), rel=0.1) and measured > 1e-3


def test_a_method_that_starts_at_the_base_model_is_no_distance_away(composed):
    assert starting_point.distance(of_yaml(composed, "lora").model) < 1e-7
