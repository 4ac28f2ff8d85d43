"""VectorFit and SVF against dense float64 formulas, and against SVFT-plain."""

import warnings
from collections import OrderedDict

import numpy as np
import peft
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, DebertaV2Config, GemmaConfig, GPT2Config
from transformers.pytorch_utils import Conv1D

import svft.basis.layer
from baselines.vectorfit import VectorFitConfig, VectorFitLinear
from svft import SvftConfig
from svft.decomposition import Basis
from tests.lapack import other_lapack
from tests.processes import script

KINDS = {
    "sigma": {"train_bias": False},
    "sigma and bias": {},
    "svf": {"train_bias": False, "multiplicative": True},
    "z and bias": {"multiplicative": True},
}
SHAPES = [(9, 9), (9, 14), (14, 9)]
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(out: int = 9, inp: int = 14, dtype: torch.dtype = torch.float64, bias: bool = True) -> nn.Module:
    """A model whose only layer is `lin`, out x inp."""
    model = nn.Sequential(OrderedDict(lin=nn.Linear(inp, out, bias=bias, dtype=dtype)))
    model.lin.weight.data.copy_(drawn(out, inp))
    if bias:
        model.lin.bias.data.copy_(drawn(out, seed=1))
    return model


def adapt(model: nn.Module, name: str = "lin", **config) -> tuple[nn.Module, VectorFitLinear]:
    adapted = peft.get_peft_model(model, VectorFitConfig(target_modules=[name], **config))
    return adapted, adapted.base_model.model.get_submodule(name)


def moved(model: nn.Module, name: str = "lin", **config) -> tuple[nn.Module, VectorFitLinear]:
    """Vectors far from their start."""
    adapted, layer = adapt(model, name, **config)
    for n, vector in enumerate(layer.trained_vectors("default")):
        vector.parameter.data += drawn(len(vector.parameter), seed=10 + n)
    return adapted, layer


def by_the_book(model: nn.Module, layer: VectorFitLinear, adapter: str = "default") -> tuple[np.ndarray, np.ndarray]:
    """U diag(sigma or s z) V^T by numpy, and b."""
    base = model.lin.double()
    U, s, Vh = np.linalg.svd(base.weight.detach().numpy(), full_matrices=False)
    vectors = {v.name: v.parameter.detach().double().numpy() for v in layer.trained_vectors(adapter)}
    sigma = s * vectors["lin z"] if "lin z" in vectors else vectors["lin sigma"]
    bias = np.zeros(len(U)) if base.bias is None else base.bias.detach().numpy()
    return U @ np.diag(sigma) @ Vh, vectors.get("lin bias", bias)


@every_kind
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_merged_layer_are_those_of_the_dense_formula(kind, shape):
    model, layer = moved(linear(*shape), **kind)
    weight, bias = by_the_book(linear(*shape), layer)
    x = drawn(3, 5, shape[1], seed=2)
    np.testing.assert_allclose(model(x).detach(), x.numpy() @ weight.T + bias, atol=1e-10)
    for safe_merge in (False, True):
        model.merge_adapter(safe_merge=safe_merge)
        np.testing.assert_allclose(layer.base_layer.weight.detach(), weight, atol=1e-10)
        np.testing.assert_allclose(layer.base_layer.bias.detach(), bias, atol=1e-10)
        np.testing.assert_allclose(model(x).detach(), x.numpy() @ weight.T + bias, atol=1e-10)
        model.unmerge_adapter()
        torch.testing.assert_close(layer.base_layer.weight, linear(*shape).lin.weight, atol=1e-10, rtol=0)
        torch.testing.assert_close(layer.base_layer.bias, linear(*shape).lin.bias, atol=1e-10, rtol=0)
    merged = model.merge_and_unload()
    assert type(merged.lin) is nn.Linear
    np.testing.assert_allclose(merged(x).detach(), x.numpy() @ weight.T + bias, atol=1e-10)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_starts_at_the_pre_trained_function_bit_for_bit(kind, dtype):
    model, layer = adapt(linear(dtype=dtype), **kind)
    x = drawn(5, 14, seed=2).to(dtype)
    assert torch.equal(model(x), linear(dtype=dtype)(x))
    assert torch.equal(model.merge_and_unload().lin.weight, linear(dtype=dtype).lin.weight)
    assert torch.equal(layer.base_layer.bias, linear(dtype=dtype).lin.bias)


def test_the_trained_vectors_are_sigma_and_the_bias_themselves():
    _, layer = adapt(linear())
    sigma, bias = layer.trained_vectors("default")
    np.testing.assert_allclose(sigma.parameter.detach(), np.linalg.svd(linear().lin.weight.detach())[1], atol=1e-12)
    assert torch.equal(bias.parameter.data, linear().lin.bias.data)
    for vector in (sigma, bias):
        assert torch.equal(vector.parameter.data, vector.start)
        assert vector.parameter.data_ptr() != vector.start.data_ptr()
    assert bias.start.data_ptr() != layer.base_layer.bias.data_ptr()
    _, layer = adapt(linear(), multiplicative=True, train_bias=False)
    (z,) = layer.trained_vectors("default")
    assert torch.equal(z.parameter.data, torch.ones(9, dtype=torch.float64))


@every_kind
@pytest.mark.parametrize("bias", [True, False])
def test_nothing_else_is_trained_and_a_layer_without_a_bias_gets_none(kind, bias):
    model, _ = moved(linear(bias=bias), **kind)
    model(drawn(5, 14)).square().sum().backward()
    with_gradient = {name: p.numel() for name, p in model.named_parameters() if p.grad is not None}
    values = "z" if kind.get("multiplicative") else "sigma"
    expected = {f"base_model.model.lin.vectorfit_{values}.default": 9}
    if bias and kind.get("train_bias", True):
        expected["base_model.model.lin.vectorfit_bias.default"] = 9
    assert with_gradient == expected == {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
    assert [v.name for v in model.base_model.trained_vectors()] == [f"lin {n.split('.')[3][10:]}" for n in expected]


DEBERTA = DebertaV2Config(
    hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=10
)
GEMMA = GemmaConfig(
    hidden_size=3072, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=16, head_dim=256,
    intermediate_size=24576, vocab_size=10,
)  # fmt: skip
GEMMA_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
QKV, ALL = r".*(query|key|value)_proj", r"encoder\.layer\..*(query_proj|key_proj|value_proj|dense)"


@pytest.mark.parametrize(
    ("config", "targets", "fields", "vectors", "count"),
    [
        (DEBERTA, QKV, {"train_bias": False}, 36, 12 * 3 * 768),
        (DEBERTA, QKV, {}, 72, 12 * 6 * 768),
        (DEBERTA, ALL, {}, 144, 12 * (6 * 768 + 5 * 768 + 3072)),  # sigma and b of q, k, v, o, f1, f2
        (DEBERTA, ALL, {"train_bias": False, "multiplicative": True}, 72, 12 * 6 * 768),
        (GEMMA, GEMMA_LINEAR, {}, 196, 28 * (3 * 3072 + 3072 + 3 * 3072)),
    ],
)
def test_counts_are_those_of_the_architecture(config, targets, fields, vectors, count):
    """Deberta: 27,648, 55,296 and 138,240 numbers; the paper's figure has 144 vectors. Gemma-7B has no biases."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(AutoModel.from_config(config), VectorFitConfig(target_modules=targets, **fields))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
    assert len(list(model.base_model.trained_vectors())) == vectors


def adamw(model: nn.Module, steps: int, weight_decay: float) -> torch.Tensor:
    """The weight of the layer after a regression on fixed data."""
    x, y = drawn(40, 14, seed=3), drawn(40, 9, seed=4)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2, weight_decay=weight_decay)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return model.merge_and_unload().lin.weight.detach()


def test_without_weight_decay_it_follows_svft_plain_and_with_it_does_not():
    """sigma is drawn to 0, and so is the pre-trained weight with it; SVFT-plain draws the update to 0."""
    difference = {}
    for decay in (0.0, 0.1):
        plain = adamw(peft.get_peft_model(linear(), SvftConfig(target_modules=["lin"])), 200, decay)
        fitted = adamw(adapt(linear(), train_bias=False)[0], 200, decay)
        difference[decay] = (plain - fitted).abs().max()
    assert (plain - linear().lin.weight).abs().max() > 0.1  # both did train
    assert difference[0.0] < 1e-10
    assert difference[0.1] > 1e-3


def gradient(layer: VectorFitLinear, model: nn.Module) -> torch.Tensor:
    (model(drawn(6, 14, seed=5)) * drawn(6, 9, seed=6)).sum().backward()
    return next(layer.trained_vectors("default")).parameter.grad


def test_a_step_of_svf_is_the_step_on_sigma_scaled_by_the_square_of_each_singular_value():
    """d/dz = s d/dsigma, so gradient descent on z moves s z by s^2 times what it moves sigma by."""
    svf, svf_layer = adapt(linear(), train_bias=False, multiplicative=True)
    additive, layer = adapt(linear(), train_bias=False)
    s = torch.linalg.svdvals(linear().lin.weight.detach())
    by_z, by_sigma = gradient(svf_layer, svf), gradient(layer, additive)
    torch.testing.assert_close(by_z, s * by_sigma, atol=1e-10, rtol=0)
    svf_layer.vectorfit_z["default"].data -= 0.01 * by_z
    layer.vectorfit_sigma["default"].data -= 0.01 * s**2 * by_sigma
    torch.testing.assert_close(
        svf_layer.get_delta_weight("default"), layer.get_delta_weight("default"), atol=1e-10, rtol=0
    )


@every_kind
def test_gradients_are_those_of_the_dense_formula(kind):
    model, layer = moved(linear(), **kind)
    U, s, Vh = torch.linalg.svd(linear().lin.weight.detach(), full_matrices=False)
    first, *bias = (v.parameter.detach().clone().requires_grad_() for v in layer.trained_vectors("default"))
    x, g = drawn(6, 14, seed=5), drawn(6, 9, seed=6)
    weight = U @ torch.diag(s * first if kind.get("multiplicative") else first) @ Vh
    ((x @ weight.T + (bias[0] if bias else 0)) * g).sum().backward()
    (model(x) * g).sum().backward()
    for vector, expected in zip(layer.trained_vectors("default"), [first, *bias], strict=True):
        torch.testing.assert_close(vector.parameter.grad, expected.grad, atol=1e-10, rtol=0)


def test_the_base_model_is_back_when_the_adapter_is_disabled_or_unloaded():
    model, _ = moved(linear())
    x = drawn(5, 14, seed=2)
    expected = linear()(x)
    assert not torch.allclose(model(x), expected, atol=0.1)
    with model.disable_adapter():
        assert torch.equal(model(x), expected)
    model.merge_adapter()
    with model.disable_adapter():
        torch.testing.assert_close(model(x), expected)
    assert torch.equal(moved(linear())[0].unload()(x), expected)


@pytest.mark.filterwarnings("ignore:Adapter other was active which is now deleted")
def test_adapters_switch_add_up_and_can_be_deleted():
    x = drawn(5, 14, seed=2)
    model, layer = moved(linear())
    first, base = model(x), linear()(x)
    model.add_adapter("other", VectorFitConfig(target_modules=["lin"], multiplicative=True, init_weights=False))
    assert torch.equal(model(x), first)
    model.set_adapter("other")
    weight, bias = by_the_book(linear(), layer, "other")
    other = model(x)
    np.testing.assert_allclose(other.detach(), x.numpy() @ weight.T + bias, atol=1e-10)
    assert not torch.allclose(other, base, atol=0.1)
    model.base_model.set_adapter(["default", "other"])
    torch.testing.assert_close(model(x) - base, first - base + other - base)
    model.merge_adapter()
    torch.testing.assert_close(model(x) - base, first - base + other - base)
    model.unmerge_adapter()
    model.set_adapter("other")
    assert [v.name for v in model.base_model.trained_vectors()] == ["lin z", "lin bias"]
    model.delete_adapter("other")
    assert "other" not in layer.vectorfit_z
    assert "other" not in layer.vectorfit_bias
    model.set_adapter("default")
    torch.testing.assert_close(model(x), first)


@pytest.mark.filterwarnings("ignore:Adapter cannot be set when the model is merged")
def test_a_broken_bias_is_not_merged_safely():
    model, layer = moved(linear())
    layer.vectorfit_bias["default"].data[3] = float("inf")
    weight, bias = layer.base_layer.weight.clone(), layer.base_layer.bias.clone()
    with pytest.raises(ValueError, match="layer 'lin': NaNs detected in the merged weights"):
        model.merge_adapter(safe_merge=True)
    assert torch.equal(layer.base_layer.weight, weight)
    assert torch.equal(layer.base_layer.bias, bias)


def test_an_adapter_added_while_another_is_merged_starts_at_the_pre_trained_values():
    model, layer = moved(linear())
    model.merge_adapter()
    model.add_adapter("other", VectorFitConfig(target_modules=["lin"]))
    assert torch.equal(layer.vectorfit_bias["other"].data, linear().lin.bias.data)
    assert layer.delta_weight("other").abs().max() == 0


def test_bf16_base_has_fp32_vectors_and_merges_with_one_rounding():
    model, layer = moved(linear(64, 48, torch.bfloat16))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    x = drawn(5, 48, seed=2)
    assert model(x.bfloat16()).dtype == torch.bfloat16
    exact, _ = by_the_book(linear(64, 48, torch.bfloat16), layer)
    expected = x.numpy() @ exact.T + layer.vectorfit_bias["default"].detach().double().numpy()
    error = np.linalg.norm(model(x.bfloat16()).detach().double().numpy() - expected) / np.linalg.norm(expected)
    assert error < 0.02
    delta = layer.get_delta_weight("default").detach()
    layer.merge()
    assert torch.equal(layer.base_layer.weight, (linear(64, 48, torch.bfloat16).lin.weight.double() + delta).bfloat16())
    assert torch.equal(layer.base_layer.bias, layer.vectorfit_bias["default"].bfloat16())


@every_kind
def test_conv1d_is_a_linear_layer_stored_the_other_way(kind):
    model = nn.Sequential(OrderedDict(lin=Conv1D(9, 14).double()))
    model.lin.weight.data.copy_(linear().lin.weight.T)
    model.lin.bias.data.copy_(linear().lin.bias)
    model, _ = moved(model, **kind)
    expected, _ = moved(linear(), **kind)
    x = drawn(5, 14, seed=2)
    torch.testing.assert_close(model(x), expected(x))
    torch.testing.assert_close(model.merge_and_unload()(x), expected(x))


def test_a_transformer_with_conv1d_layers_is_saved_loaded_and_merged(tmp_path):
    def gpt2() -> nn.Module:
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.3)
        return AutoModel.from_config(config).eval()

    config = VectorFitConfig(target_modules=["c_attn", "c_fc"], init_weights=False)
    model = peft.get_peft_model(gpt2(), config).eval()
    tokens = torch.arange(1, 11).view(2, 5)
    expected = model(tokens).last_hidden_state
    assert (expected - gpt2()(tokens).last_hidden_state).abs().max() > 0.05
    model.save_pretrained(tmp_path)
    for low_cpu_mem_usage in (False, True):
        loaded = peft.PeftModel.from_pretrained(gpt2(), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage).eval()
        torch.testing.assert_close(loaded(tokens).last_hidden_state, expected)
    torch.testing.assert_close(loaded.merge_and_unload()(tokens).last_hidden_state, expected, atol=1e-4, rtol=1e-4)


def test_a_head_is_trained_and_saved_beside_the_vectors(tmp_path):
    def two_layers() -> nn.Module:
        model = linear()
        model.add_module("head", nn.Linear(9, 3, dtype=torch.float64))
        model.head.weight.data.copy_(drawn(3, 9, seed=7))
        model.head.bias.data.zero_()
        return model

    model, _ = moved(two_layers(), modules_to_save=["head"])
    model.base_model.model.head.modules_to_save["default"].weight.data += 1
    model.save_pretrained(tmp_path)
    x = drawn(5, 14, seed=2)
    torch.testing.assert_close(peft.PeftModel.from_pretrained(two_layers(), tmp_path)(x), model(x))


def test_the_adapter_file_holds_the_vectors_and_what_checks_the_weight(tmp_path):
    model, layer = moved(linear())
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    stem = "base_model.model.lin."
    assert set(tensors) == {f"{stem}{name}" for name in ("vectorfit_sigma", "vectorfit_bias", "basis_print")}
    assert torch.equal(tensors[f"{stem}vectorfit_sigma"], layer.vectorfit_sigma["default"])
    assert torch.equal(tensors[f"{stem}vectorfit_bias"], layer.vectorfit_bias["default"])
    other = linear()
    other.lin.weight.data += 0.1 * drawn(9, 14, seed=9)
    with pytest.raises(ValueError, match="the base weight is not the one that this adapter was trained on"):
        peft.PeftModel.from_pretrained(other, tmp_path)


SECOND_PROCESS = """
import sys
import peft, torch
from safetensors.torch import load_file, save_file
import baselines.vectorfit
assert not {"hydra", "omegaconf", "timm", "datasets"} & set(sys.modules)
folder, outputs = sys.argv[1], {}
tensors = load_file(f"{folder}/base.safetensors")
for name in sys.argv[2:]:
    base = torch.nn.Sequential()
    base.add_module("lin", torch.nn.Linear(14, 9, dtype=torch.float64))
    base.lin.weight.data, base.lin.bias.data = tensors["weight"].clone(), tensors["bias"].clone()
    outputs[name] = peft.PeftModel.from_pretrained(base, f"{folder}/{name}")(tensors["x"]).detach()
save_file(outputs, f"{folder}/outputs.safetensors")
"""


def test_another_process_gives_the_same_outputs(tmp_path):
    x, expected = drawn(5, 14, seed=2), {}
    for name, kind in KINDS.items():
        model, _ = moved(linear(), **kind)
        model.save_pretrained(tmp_path / name)
        expected[name] = model(x)
    weights = {"weight": linear().lin.weight.data, "bias": linear().lin.bias.data}
    save_file({**weights, "x": x}, tmp_path / "base.safetensors")
    script(SECOND_PROCESS, str(tmp_path), *KINDS)
    outputs = load_file(tmp_path / "outputs.safetensors")
    for name in KINDS:
        torch.testing.assert_close(outputs[name], expected[name], msg=name)


@every_kind
@pytest.mark.parametrize("shape", SHAPES)
def test_another_lapack_gives_the_same_outputs(tmp_path, monkeypatch, kind, shape):
    model, layer = moved(linear(*shape), **kind)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(svft.basis.layer, "decompose", other_lapack)
    loaded = peft.PeftModel.from_pretrained(linear(*shape), tmp_path)
    assert not torch.allclose(loaded.base_model.model.lin.basis_U, layer.basis_U, atol=0.1)  # the signs do differ
    x = drawn(5, shape[1], seed=2)
    torch.testing.assert_close(loaded(x), model(x))


@every_kind
def test_equal_singular_values_need_a_saved_basis(tmp_path, monkeypatch, kind):
    """An orthogonal W = U V^T has any orthogonal U as left singular vectors."""

    def orthogonal() -> nn.Module:
        model = linear(9, 9)
        model.lin.weight.data = torch.linalg.qr(model.lin.weight.data).Q
        return model

    model, _ = moved(orthogonal(), **kind)
    model.save_pretrained(tmp_path / "without")
    model.peft_config["default"].save_basis = True
    model.save_pretrained(tmp_path / "with")
    rotated = Basis(torch.eye(9).double(), torch.ones(9).double(), orthogonal().lin.weight.detach().clone())
    monkeypatch.setattr(svft.basis.layer, "decompose", lambda weight: rotated)
    with pytest.raises(ValueError, match="up to 9 of 9 singular vectors .* save_basis=True"):
        peft.PeftModel.from_pretrained(orthogonal(), tmp_path / "without")
    x = drawn(5, 9, seed=2)
    torch.testing.assert_close(peft.PeftModel.from_pretrained(orthogonal(), tmp_path / "with")(x), model(x))


def test_a_layer_without_a_bias_can_be_exported_to_lora():
    model, layer = moved(linear(bias=False).float())
    config, state = peft.convert_to_lora(model, rank=9)
    A, B = (next(tensor for name, tensor in state.items() if letter in name) for letter in ("lora_A", "lora_B"))
    scaled = B @ A * config.lora_alpha / config.r
    torch.testing.assert_close(scaled, layer.get_delta_weight("default"), atol=1e-4, rtol=0)
    assert not moved(linear())[1].supports_lora_conversion()  # LoRA has no bias


def test_the_configuration_survives_a_file_and_refuses_what_is_neither_true_nor_false(tmp_path):
    targets = OmegaConf.create(["query_proj", "dense"])  # as it comes from a yaml
    config = VectorFitConfig(target_modules=targets, train_bias=False, multiplicative=True)
    config.save_pretrained(tmp_path)
    assert peft.PeftConfig.from_pretrained(tmp_path) == config
    with pytest.raises(ValueError, match="train_bias='all' is neither True nor False"):
        VectorFitConfig(train_bias="all")


def test_drawing_a_start_leaves_the_global_rng_alone():
    models = [linear(), linear()]
    before = torch.get_rng_state()
    layers = [adapt(model, init_weights=False)[1] for model in models]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(layers[0].vectorfit_sigma["default"], layers[1].vectorfit_sigma["default"])
    assert layers[0].get_delta_weight("default").abs().max() > 0.1
