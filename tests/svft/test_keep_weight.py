"""What a layer stores: W0 with or without one of U and V^T (keep_weight=True), or U, Sigma and V^T alone (False)."""

import warnings
import weakref

import peft
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, GemmaConfig
from transformers.pytorch_utils import Conv1D

from svft import SvftConfig, SvftLinear

pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'", "ignore:.*tie_word_embeddings", "ignore:.*tied")
SHAPES = [(9, 9), (9, 14), (14, 9)]
RANDOM = {"pattern": "random", "d": 2, "init": "kaiming"}
GEMMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TOKENS = torch.arange(1, 11).view(2, 5)

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
kept_or_dropped = pytest.mark.parametrize("keep_weight", [True, False], ids=["kept", "dropped"])


def drawn(*size: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def of_base(out: int, inp: int) -> torch.Tensor:
    """The weight of the fixture `base`."""
    return torch.randn(out, inp, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def with_singular_values(out: int, inp: int, s: torch.Tensor) -> torch.Tensor:
    U, _, Vh = torch.linalg.svd(drawn(out, inp), full_matrices=False)
    return (U * s) @ Vh


def model_of(weight: torch.Tensor, dtype: torch.dtype, bias: bool = True) -> nn.Module:
    model = nn.Sequential()
    model.add_module("lin", nn.Linear(weight.shape[1], weight.shape[0], bias=bias, dtype=dtype))
    model.lin.weight.data.copy_(weight)
    if bias:
        model.lin.bias.data.copy_(drawn(len(weight), seed=4))
    return model


def resident(model: nn.Module) -> int:
    """Bytes of the distinct storages of parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def gemma(**fields) -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    torch.manual_seed(0)
    config = GemmaConfig(
        vocab_size=40, num_key_value_heads=1, head_dim=8, initializer_range=0.3, pad_token_id=0, **sizes, **fields
    )
    return AutoModelForCausalLM.from_config(config).eval()


@each_shape
def test_a_dropped_weight_is_freed(base, shape):
    plain, K = base(*shape), min(shape)
    weight, before = weakref.ref(plain.lin.weight), resident(plain)
    model = peft.get_peft_model(plain, SvftConfig(target_modules=["lin"], keep_weight=False))
    assert weight() is None
    small = 8 * K + 68 + 28  # probe and fingerprint of the layer, and the print of its adapter
    assert before == 8 * shape[0] * shape[1]
    assert resident(model) == 8 * (K * (shape[0] + shape[1]) + 2 * K) + small


@each_shape
def test_what_is_left_out_is_what_follows_from_the_rest(adapt, shape):
    out, inp = shape
    for config, spare in (
        ({"keep_weight": False}, "weight"),
        ({}, "U" if out > inp else "Vh" if out < inp else None),
        ({"truncate_base": True, "rank": 3}, None),
    ):
        _, layer = adapt(*shape, **config)
        assert layer.spare == spare
        held = {name: getattr(layer, f"basis_{name}") is not None for name in ("U", "Vh")}
        assert held == {name: name != spare for name in held}
        assert (layer.base_layer.weight.numel() == 0) == (spare == "weight")


@each_shape
def test_a_dropped_weight_is_still_seen_and_is_the_output_without_adapters(shape):
    x, W0, b = drawn(3, shape[1]), of_base(*shape), drawn(shape[0], seed=4)
    config = SvftConfig(target_modules=["lin"], keep_weight=False, **RANDOM)
    model = peft.get_peft_model(model_of(W0, torch.float64), config)
    torch.testing.assert_close(model.base_model.model.lin.weight, W0)
    with model.disable_adapter():
        torch.testing.assert_close(model(x), x @ W0.T + b)
    changed = model(x)
    assert (changed - x @ W0.T - b).norm() > 0.1
    model.merge_adapter()
    torch.testing.assert_close(model(x), changed)
    with model.disable_adapter():  # unmerges
        torch.testing.assert_close(model(x), x @ W0.T + b)
    torch.testing.assert_close(model(x), changed)


@kept_or_dropped
@each_shape
@pytest.mark.parametrize("conv", [False, True], ids=["linear", "conv"])
def test_unloading_gives_whole_layers(shape, keep_weight, conv):
    out, inp = shape
    for merge in (False, True):
        model = nn.Sequential()
        model.add_module("lin", Conv1D(out, inp).double() if conv else nn.Linear(inp, out, dtype=torch.float64))
        kind, W0 = type(model.lin), model.lin.weight.detach().clone()
        adapted = peft.get_peft_model(model, SvftConfig(target_modules=["lin"], keep_weight=keep_weight, **RANDOM))
        layer = adapted.base_model.model.lin
        delta = layer.get_delta_weight("default").detach()
        bare = adapted.merge_and_unload() if merge else adapted.unload()
        assert type(bare.lin) is kind
        assert isinstance(bare.lin.weight, nn.Parameter)
        assert bare.lin.weight.is_contiguous()
        torch.testing.assert_close(bare.lin.weight.data, W0 + delta if merge else W0)
        assert [name for name, _ in bare.named_parameters()] == ["lin.weight", "lin.bias"]
        assert not [*bare.named_buffers()]


@kept_or_dropped
@each_shape
def test_merging_round_trips_free_again_what_they_filled(adapt, shape, keep_weight):
    model, layer = adapt(*shape, keep_weight=keep_weight, **RANDOM)
    x, W0 = drawn(3, shape[1]), of_base(*shape)
    before, size, delta = model(x), resident(model), layer.get_delta_weight("default").detach()
    for _ in range(3):
        model.merge_adapter()
        torch.testing.assert_close(layer.base_layer.weight.data, W0 + delta)
        torch.testing.assert_close(layer.get_delta_weight("default"), delta)
        model.unmerge_adapter()
    torch.testing.assert_close(model(x), before)
    torch.testing.assert_close(layer.get_base_weight(), W0)
    assert resident(model) == size


@kept_or_dropped
@each_shape
def test_a_second_adapter_may_come_while_the_first_is_merged_or_not(adapt, base, tmp_path, shape, keep_weight):
    """The first adapter decides how the layer is stored; the second one's own wish is of no effect."""
    one, one_layer = adapt(*shape, keep_weight=not keep_weight, pattern="banded", d=1)
    one.save_pretrained(tmp_path)
    x, W0 = drawn(3, shape[1]), of_base(*shape)
    expected = x @ (W0 + one_layer.get_delta_weight("default")).T
    for merged in (False, True):
        model, layer = adapt(*shape, keep_weight=keep_weight, **RANDOM)
        if merged:
            model.merge_adapter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.load_adapter(tmp_path, "one")
        model.set_adapter("one")
        torch.testing.assert_close(model(x), expected)
        assert (layer.base_layer.weight.numel() == 0) == (not keep_weight)
        model.delete_adapter("default")
        torch.testing.assert_close(model(x), expected)


@each_shape
@pytest.mark.parametrize("save_basis", [False, True])
@pytest.mark.parametrize("trained_with", [True, False], ids=["kept", "dropped"])
def test_an_adapter_trained_one_way_is_loaded_the_other_way(adapt, base, tmp_path, shape, save_basis, trained_with):
    model, _ = adapt(*shape, keep_weight=trained_with, save_basis=save_basis, gate=True, **RANDOM)
    model.save_pretrained(tmp_path)
    x = drawn(3, shape[1])
    config = SvftConfig.from_pretrained(tmp_path)
    assert config.keep_weight == trained_with
    config.keep_weight = not trained_with
    for given in (None, config):
        loaded = peft.PeftModel.from_pretrained(base(*shape), tmp_path, config=given)
        stored = trained_with if given is None else not trained_with
        assert (loaded.base_model.model.lin.base_layer.weight.numel() > 0) == stored
        torch.testing.assert_close(loaded(x), model(x))
        loaded.save_pretrained(tmp_path / "again")
        again = peft.PeftModel.from_pretrained(base(*shape), tmp_path / "again")
        torch.testing.assert_close(again(x), model(x))


@kept_or_dropped
def test_a_head_that_shares_its_weight_with_the_embedding_leaves_it_whole(keep_weight):
    model = gemma()
    embedding = model.model.embed_tokens.weight
    assert model.lm_head.weight is embedding
    before, logits = embedding.detach().clone(), model(TOKENS).logits
    adapted = peft.get_peft_model(model, SvftConfig(target_modules=["lm_head"], keep_weight=keep_weight))
    assert torch.equal(model.model.embed_tokens.weight, before)
    torch.testing.assert_close(adapted(TOKENS).logits, logits, atol=1e-5, rtol=0)
    adapted.base_model.model.lm_head.svft_m["default"].data.fill_(1.0)
    adapted(TOKENS).logits.sum().backward()
    assert torch.equal(adapted.unload().model.embed_tokens.weight, before)
    torch.testing.assert_close(adapted.base_model.model.lm_head.weight, before)


class Wrapped(nn.Linear):
    """Does more than its weight says."""


@pytest.mark.parametrize("change", ["subclass", "hook", "quantised"])
def test_a_layer_that_is_not_its_weight_alone_is_not_dropped(base, monkeypatch, change):
    model = base(9, 14, torch.float32)
    if change == "subclass":
        model.lin.__class__ = Wrapped
    elif change == "hook":
        model.lin._hf_hook = object()
    else:
        monkeypatch.setattr("svft.basis.layer.resolve_quantization_backend", lambda layer: "a backend")
        monkeypatch.setattr(SvftLinear, "get_base_weight", lambda self: self.base_layer.weight, raising=False)
    sentence = "layer 'lin': keep_weight=False needs a plain linear layer, not a "
    with pytest.raises(ValueError, match=sentence + (".* that is quantised" if change == "quantised" else "")):
        peft.get_peft_model(model, SvftConfig(target_modules=["lin"], keep_weight=False))
    layer = peft.get_peft_model(model, SvftConfig(target_modules=["lin"])).base_model.model.lin
    assert layer.spare is None  # what else happens in it may come between W0 and its factors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(24, 24), (24, 64), (64, 24)], ids=str)
@pytest.mark.parametrize("form", ["auto", "activations", "folded", "materialised"])
def test_with_the_weight_kept_training_starts_at_the_same_bits(shape, dtype, form):
    for pattern in ({"pattern": "plain"}, {"pattern": "random", "d": 3}):
        for tokens in (3, 400):
            weight, x = drawn(*shape), drawn(tokens, shape[1]).to(dtype)
            config = SvftConfig(target_modules=["lin"], form=form, **pattern)
            model = peft.get_peft_model(model_of(weight, dtype), config)
            assert torch.equal(model(x), model_of(weight, dtype)(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(9, 14), (14, 9)], ids=str)
@pytest.mark.parametrize("smallest", [1e-6, 0.0], ids=["tiny", "rank-deficient"])
@kept_or_dropped
def test_a_weight_with_hardly_any_of_a_direction_is_not_divided_by_it(shape, dtype, smallest, keep_weight):
    """A coefficient on the direction that is as good as missing: W0 says nothing of its u_i."""
    s = torch.linspace(2, 1, 9, dtype=torch.float64)
    s[-1] = smallest
    weight = with_singular_values(*shape, s).to(dtype)
    model = peft.get_peft_model(
        model_of(weight, dtype, bias=False), SvftConfig(target_modules=["lin"], keep_weight=keep_weight)
    )
    layer = model.base_model.model.lin
    assert layer.spare == (None if keep_weight else "weight")
    layer.svft_m["default"].data.copy_(torch.arange(9) == 8)
    U, s, Vh = (tensor.double() for tensor in layer.basis("default"))
    near_one = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.02}[dtype]
    assert (U[:, 8].norm(), Vh[8].norm()) == (pytest.approx(1, abs=near_one), pytest.approx(1, abs=near_one))
    x = drawn(5, shape[1]).to(dtype)
    expected = x.double() @ (weight.double() + torch.outer(U[:, 8], Vh[8])).T
    assert (model(x).double() - expected).norm() < 4 * near_one * expected.norm()


@pytest.mark.parametrize("targets", [GEMMA, [*GEMMA, "lm_head"]], ids=["blocks", "head too"])
def test_the_logits_of_a_model_start_at_the_base_models(targets):
    expected = gemma()(TOKENS).logits
    kept, dropped = (
        peft.get_peft_model(gemma(), SvftConfig(target_modules=targets, keep_weight=keep_weight, pattern="banded", d=2))
        for keep_weight in (True, False)
    )
    assert torch.equal(kept(TOKENS).logits, expected)
    torch.testing.assert_close(dropped(TOKENS).logits, expected, atol=1e-5, rtol=0)
    for model in (kept, dropped):
        assert torch.equal(model.generate(TOKENS, max_new_tokens=3), gemma().generate(TOKENS, max_new_tokens=3))


@kept_or_dropped
def test_the_state_of_a_whole_model_goes_into_another_one(keep_weight):
    one, other = (
        peft.get_peft_model(
            gemma(), SvftConfig(target_modules=GEMMA, keep_weight=keep_weight, gate=True, seed=1, **RANDOM)
        ).eval()
        for _ in range(2)
    )
    for parameter in one.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    assert not torch.equal(one(TOKENS).logits, other(TOKENS).logits)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(TOKENS).logits, other(TOKENS).logits)


@kept_or_dropped
@pytest.mark.parametrize("shape", [(48, 48), (48, 80), (80, 48)], ids=str)
def test_a_model_cast_to_16_bits_keeps_its_function_to_their_rounding(shape, keep_weight):
    """Of the weight, the basis, the coefficients, and 4 products: 2^-9 each; singular values within a factor of 2."""
    weight = with_singular_values(*shape, torch.linspace(2, 1, 48, dtype=torch.float64))
    config = SvftConfig(target_modules=["lin"], keep_weight=keep_weight, **RANDOM)
    model = peft.get_peft_model(model_of(weight, torch.float32), config)
    x = drawn(7, shape[1]).bfloat16()
    expected = model(x.float()).detach()
    model.to(torch.bfloat16)
    assert model(x).dtype == torch.bfloat16
    assert (model(x).float() - expected).norm() < 7 * 2 * 2**-9 * expected.norm()
    merged = model.merge_and_unload()
    assert (merged(x).float() - expected).norm() < 7 * 2 * 2**-9 * expected.norm()
