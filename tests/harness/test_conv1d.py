"""GPT-2, whose Conv1D keeps its weight transposed: the same as a GPT-2 of torch.nn.Linear, whatever the method."""

import copy

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from errors import SettingError
from harness.adapters import adapt, low_rank, starting_point
from harness.layers import linear
from harness.plan import config
from harness.retention import layers

WIDTH, BLOCKS = 16, 2
LETTERS = {
    "A": "transformer.h.*.attn.c_attn", "O": "transformer.h.*.attn.c_proj",
    "U": "transformer.h.*.mlp.c_fc", "D": "transformer.h.*.mlp.c_proj",
}  # fmt: skip
IDS = torch.arange(2, 14).reshape(2, 6)
SIZES = {"method.adapter.r": ["lora", "dora", "vera", "hira", "milora", "lora_dash", "ssvd"]}


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 2, "vocab_size": 40, "initializer_range": 0.3}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **sizes)).eval()


def twin(model: nn.Module) -> nn.Module:
    """The same function of torch.nn.Linear."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, Conv1D):
            layer = nn.Linear(module.nx, module.nf)
            layer.weight.data, layer.bias.data = module.weight.data.T.clone(), module.bias.data.clone()
            model.set_submodule(name, layer)
    return model.eval()


def trained(composed, base: nn.Module, method: str) -> nn.Module:
    """The method on every layer of the blocks, with trained numbers that are drawn."""
    small = [f"{key}=4" for key, methods in SIZES.items() if method in methods]
    cfg = composed(f"method={method}", "model=micro_gemma", *small)
    cfg.model.roles, cfg.model.linear, cfg.model.blocks = LETTERS, "AOUD", BLOCKS
    cfg.method.targets = "AOUD"
    torch.manual_seed(0)
    model = adapt.adapt(base, config.instantiate(cfg.method.adapter), None).model.eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.mark.parametrize(
    "method",
    ["lora", "dora", "vera", "hira", "milora", "lora_dash", "loldu", "ssvd", "svft_plain", "svft_banded", "vectorfit"],
)
def test_a_method_does_to_a_conv1d_what_it_does_to_a_linear_layer(composed, method):
    base = gpt2()
    on_conv = trained(composed, gpt2(), method)
    on_linear = trained(composed, twin(base), method)
    assert (on_conv(input_ids=IDS).logits - on_linear(input_ids=IDS).logits).abs().max() < 1e-4
    assert starting_point.distance(on_conv) == pytest.approx(starting_point.distance(on_linear), rel=1e-4)
    found = list(layers.changes(base, on_conv, LETTERS, "gpt2"))
    wanted = list(layers.changes(twin(base), on_linear, LETTERS, "gpt2"))
    assert [(each.name, each.role) for each in found] == [(each.name, each.role) for each in wanted]
    assert len(found) == BLOCKS * len(LETTERS)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.before, other.before)
        assert torch.linalg.norm(one.update - other.update) < 1e-4 * torch.linalg.norm(other.update)


def test_full_fine_tuning_changes_a_conv1d_by_a_matrix_of_outputs_by_inputs():
    base, now = gpt2(), gpt2()
    with torch.no_grad():
        now.transformer.h[1].mlp.c_fc.weight.add_(torch.arange(4 * WIDTH))
    [change] = layers.changes(base, now, LETTERS, "gpt2")
    assert (change.name, change.role) == ("transformer.h.1.mlp.c_fc", "U")
    expected = torch.arange(4 * WIDTH, dtype=torch.float64)[:, None].expand(4 * WIDTH, WIDTH)
    assert torch.allclose(change.update, expected, atol=1e-5)


def test_a_change_of_low_rank_of_a_conv1d_is_a_lora_with_the_same_logits(composed):
    model = trained(composed, gpt2(), "lora").double().eval()
    wanted = model(input_ids=IDS).logits
    factors = low_rank.differences(gpt2(), model.merge_and_unload(), [])
    found = low_rank.as_lora(gpt2(), factors, []).eval()(input_ids=IDS).logits
    assert (found - wanted).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("method", "said"),
    [("osf", "c_attn is a Conv1D, which this method does not adapt"), ("hra", "Conv1D.* is not supported")],
)
def test_a_method_that_does_not_adapt_a_conv1d_is_refused(composed, method, said):
    with pytest.raises(SettingError, match=said):
        trained(composed, gpt2(), method)


def test_gradients_of_a_conv1d_are_read_as_those_of_its_matrix():
    layer = Conv1D(3, 5)
    x = torch.randn(7, 5)
    [gradient] = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    other = twin(nn.ModuleDict({"layer": layer})).layer
    [expected] = torch.autograd.grad(other(x).square().sum(), other.weight)
    assert torch.allclose(linear.as_matrix(gradient, layer), expected, atol=1e-4)
