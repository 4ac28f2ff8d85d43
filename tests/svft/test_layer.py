"""One adapted layer against dense formulas in float64, and the paper's lemma (section 3.2)."""

import copy

import numpy as np
import peft
import pytest
import torch
from torch import nn

from svft import SvftConfig, reference
from svft.decomposition import decompose

PATTERNS = [
    {"pattern": "plain"},
    {"pattern": "banded", "d": 2},
    {"pattern": "random", "d": 2},
    {"pattern": "topk", "d": 2},
]
SHAPES = [(9, 9), (9, 14), (14, 9)]
pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("config", PATTERNS)
@pytest.mark.parametrize("rank", [None, 4])
def test_output_and_delta_weight_are_those_of_the_dense_formula(adapt, dense_weight, shape, config, rank):
    model, layer = adapt(*shape, rank=rank, **config)
    x = torch.randn(3, 5, shape[1], dtype=torch.float64)
    W0 = layer.base_layer.weight.detach()
    torch.testing.assert_close(model(x), x @ dense_weight(layer).T, atol=1e-10, rtol=0)
    torch.testing.assert_close(W0 + layer.get_delta_weight("default"), dense_weight(layer), atol=1e-10, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("config", [*PATTERNS, {"pattern": "random", "d": 3, "replacement": True}])
def test_each_coefficient_has_the_gradient_of_its_entry_in_the_dense_formula(adapt, shape, config):
    model, layer = adapt(*shape, **config)
    x, g = torch.randn(6, shape[1], dtype=torch.float64), torch.randn(6, shape[0], dtype=torch.float64)
    (model(x) * g).sum().backward()

    basis = reference.decomposed(layer.base_layer.weight.detach(), like=layer.basis("default").U)
    M = torch.zeros(9, 9, dtype=torch.float64, requires_grad=True)
    ((x @ reference.weight(basis, M).T) * g).sum().backward()  # linear in M: its value does not matter
    index = layer.index("default")
    expected = M.grad.diag() if index is None else M.grad.flatten()[index.long()]
    torch.testing.assert_close(layer.svft_m["default"].grad, expected, atol=1e-10, rtol=0)


def test_plain_keeps_the_singular_vectors(adapt):
    """Lemma (a): W = U (Sigma + M) V^T has the left vectors U and the right vectors sign(Sigma + M) V^T."""
    _, layer = adapt(9, 14)
    layer.svft_m["default"].data = 3 * layer.basis_s * torch.linspace(-0.9, 0.7, 9)  # distinct, of both signs
    W = layer.base_layer.weight.detach() + layer.get_delta_weight("default").detach()
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    basis = layer.basis("default")
    assert torch.allclose((U.T @ basis.U).abs().max(0).values, torch.ones(9, dtype=torch.float64))
    assert torch.allclose((Vh @ basis.Vh.T).abs().max(0).values, torch.ones(9, dtype=torch.float64))
    assert torch.allclose((layer.basis_s + layer.svft_m["default"]).abs().sort(descending=True).values, s)


def test_a_full_m_reaches_any_square_weight(adapt):
    """Lemma (b): M = U^T (P - W0) V gives the target P."""
    _, layer = adapt(9, 9, pattern="banded", d=8)
    P = torch.randn(9, 9, dtype=torch.float64)
    M = layer.basis_U.T @ (P - layer.base_layer.weight) @ layer.basis_Vh.T
    layer.svft_m["default"].data = M.detach().flatten()
    torch.testing.assert_close(layer.base_layer.weight + layer.get_delta_weight("default"), P)


@pytest.mark.parametrize("k", [1, 3, 40])
def test_rank_of_the_update_is_at_most_the_number_of_coefficients(adapt, k):
    """Lemma (c): rank(U M V^T) <= min(k, O, I), and random positions reach more than a diagonal block would."""
    _, layer = adapt(9, 14, pattern="random", d=8)
    layer.svft_m["default"].data[torch.randperm(81)[k:]] = 0
    rank = torch.linalg.matrix_rank(layer.get_delta_weight("default"))
    assert 1 <= rank <= min(k, 9)


@pytest.mark.parametrize("config", PATTERNS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clean_starts_at_the_pre_trained_function_bit_for_bit(adapt, base, config, dtype):
    model, _ = adapt(9, 14, dtype, draw=False, **config)
    x = torch.randn(5, 14, dtype=dtype)
    assert torch.equal(model(x), base(9, 14, dtype)(x))


def test_only_the_claimed_parameters_are_trained(adapt):
    model, _layer = adapt(9, 14, pattern="random", d=2, preset="authors_code")
    model(torch.randn(5, 14, dtype=torch.float64)).square().sum().backward()
    with_grad = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_grad == {"base_model.model.lin.svft_m.default", "base_model.model.lin.svft_gate.default"}


@pytest.mark.parametrize("config", [*PATTERNS, {"pattern": "random", "d": 2, "preset": "authors_code", "rank": 4}])
@pytest.mark.parametrize("safe_merge", [False, True])
def test_merging_keeps_the_function_and_unmerging_the_weight(adapt, base, config, safe_merge):
    model, layer = adapt(9, 14, **config)
    x = torch.randn(5, 14, dtype=torch.float64)
    before, W0 = model(x), base(9, 14).lin.weight
    model.merge_adapter(safe_merge=safe_merge)
    assert (layer.base_layer.weight - W0).norm() > 0.1
    torch.testing.assert_close(model(x), before)
    model.unmerge_adapter()
    torch.testing.assert_close(layer.base_layer.weight, W0)
    merged = model.merge_and_unload()
    assert type(merged.lin) is nn.Linear
    torch.testing.assert_close(merged(x), before)


def test_merging_into_bf16_rounds_once(adapt):
    _, layer = adapt(64, 64, torch.bfloat16, pattern="random", d=2)
    layer.svft_m["default"].data *= 0.1
    W0, delta = layer.base_layer.weight.detach().clone(), layer.get_delta_weight("default").detach()
    assert delta.dtype == torch.float32
    layer.merge()
    assert torch.equal(layer.base_layer.weight, (W0.double() + delta).bfloat16())
    assert not torch.equal(layer.base_layer.weight, W0 + delta.bfloat16())  # adding in bf16 is not the same


def test_a_broken_adapter_is_not_merged_safely(adapt):
    model, layer = adapt(9, 14)
    layer.svft_m["default"].data[0] = float("nan")
    with pytest.raises(ValueError, match="layer 'lin': NaNs detected in the merged weights"):
        model.merge_adapter(safe_merge=True)
    assert torch.isfinite(layer.base_layer.weight).all()
    assert not layer.merged


def test_two_adapters_share_one_copy_of_the_basis(adapt, monkeypatch):
    model, layer = adapt(9, 14, pattern="random", d=2)
    monkeypatch.setattr("svft.basis.layer.decompose", lambda weight: pytest.fail("decomposed twice"))
    model.add_adapter("other", SvftConfig(pattern="random", d=1, seed=1, target_modules=["lin"]))
    assert layer.basis("default").U.data_ptr() == layer.basis("other").U.data_ptr()
    large = [name for name, tensor in model.named_buffers() if tensor.numel() >= 81]
    assert large == ["base_model.model.lin.basis_U"]  # V^T follows from W0 and U


def test_active_adapters_add_up(adapt):
    model, layer = adapt(9, 14, pattern="random", d=2)
    other = SvftConfig(pattern="banded", d=1, init="kaiming", gate=True, target_modules=["lin"])
    model.add_adapter("other", other)
    x = torch.randn(5, 14, dtype=torch.float64)
    model.base_model.set_adapter(["default", "other"])
    deltas = layer.get_delta_weight("default") + layer.get_delta_weight("other")
    torch.testing.assert_close(model(x), x @ (layer.base_layer.weight + deltas).T)


@pytest.mark.filterwarnings("ignore:Adapter cannot be set when the model is merged")
def test_an_adapter_added_while_another_is_merged_uses_the_unmerged_basis(adapt, tmp_path):
    model, layer = adapt(9, 14, pattern="random", d=2)
    alone, _ = adapt(9, 14, pattern="random", d=1, seed=3)
    alone.save_pretrained(tmp_path)
    model.merge_adapter()
    model.load_adapter(tmp_path, "other")  # checks the weight, which must be the unmerged one
    expected = alone.base_model.model.lin.get_delta_weight("default")
    torch.testing.assert_close(layer.get_delta_weight("other"), expected)


def test_bf16_base_keeps_a_bf16_basis_and_fp32_coefficients(adapt):
    model, layer = adapt(9, 9, torch.bfloat16, pattern="topk", d=1, gate=True)
    assert (layer.basis_U.dtype, layer.basis_Vh.dtype) == (torch.bfloat16, torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    assert model(torch.randn(2, 9, dtype=torch.bfloat16)).dtype == torch.bfloat16
    again = decompose(layer.base_layer.weight.double())  # bf16 weights are decomposed in float64 and rounded once
    assert torch.equal(layer.basis_U, again.U.bfloat16())


@pytest.mark.parametrize("config", PATTERNS)
def test_bf16_autocast_trains_fp32_coefficients_close_to_fp32(adapt, config):
    model, layer = adapt(32, 48, torch.float32, **config)
    x = torch.randn(5, 48)
    exact = model(x)
    exact.square().sum().backward()
    gradient, layer.svft_m["default"].grad = layer.svft_m["default"].grad, None
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(x)
        assert rounded.dtype == torch.bfloat16  # as the layer without an adapter
        rounded.float().square().sum().backward()
    assert (rounded - exact).norm() / exact.norm() < 0.02
    assert layer.svft_m["default"].grad.dtype == torch.float32
    assert (layer.svft_m["default"].grad - gradient).norm() / gradient.norm() < 0.03


@pytest.mark.parametrize("preset", ["clean", "authors_code"])
def test_building_an_adapter_neither_uses_nor_moves_the_global_rng(base, preset):
    layers = []
    for seed in (0, 1):
        model, config = base(9, 14), SvftConfig(pattern="random", d=2, preset=preset, target_modules=["lin"])
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        layers.append(peft.get_peft_model(model, config).base_model.model.lin)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(layers[0].svft_m["default"], layers[1].svft_m["default"])
    assert torch.equal(layers[0].index("default"), layers[1].index("default"))


def test_an_adapter_can_be_exported_to_lora(adapt):
    model, layer = adapt(9, 14, torch.float32, pattern="banded", d=1)
    config, state = peft.convert_to_lora(copy.deepcopy(model), rank=9)
    A, B = (next(tensor for name, tensor in state.items() if letter in name) for letter in ("lora_A", "lora_B"))
    torch.testing.assert_close(
        B @ A * config.lora_alpha / config.r, layer.get_delta_weight("default"), atol=1e-4, rtol=0
    )


def test_a_layer_that_is_not_linear_is_named():
    model = nn.ModuleDict({"emb": nn.Embedding(4, 3)})
    with pytest.raises(ValueError, match="layer 'emb' is a Embedding"):
        peft.get_peft_model(model, SvftConfig(target_modules=["emb"]))


def test_a_configuration_without_targets_is_refused(base):
    with pytest.raises(ValueError, match="target_modules is None; give names of linear layers"):
        peft.get_peft_model(base(4, 4), SvftConfig())


def test_a_weight_with_nan_is_named(base):
    model = base(4, 4)
    model.lin.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="layer 'lin': the weight holds nan or inf"):
        peft.get_peft_model(model, SvftConfig(target_modules=["lin"]))


def test_distributed_data_parallel_leaves_the_basis_and_its_prints_alone(adapt):
    """gloo sends no 16-bit integers, such as a probe is, and U and V^T would be sent in every forward."""
    model, _ = adapt(9, 14, pattern="random", d=2)
    ignored = set(model._ddp_params_and_buffers_to_ignore)
    assert {name for name, _ in model.named_buffers() if "basis_" in name} == ignored
    assert "base_model.model.lin.basis_U" in ignored
    assert any("basis_print" in name for name in ignored)
    assert not ignored & {name for name, _ in model.named_parameters()}
