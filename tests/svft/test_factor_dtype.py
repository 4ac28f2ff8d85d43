"""U and V^T in 16 bits beside a wider W0 (`factor_dtype`): an exact start, and the update of the rounded vectors."""

import copy

import peft
import pytest
import torch
from torch import nn

from svft import SvftConfig

SHAPES = [(40, 40), (40, 64), (64, 40)]
PATTERNS = [{"pattern": "plain"}, {"pattern": "banded", "d": 2}, {"pattern": "random", "d": 2}]
HALF = {"float16": 2**-11, "bfloat16": 2**-8}  # the largest relative error of a rounding

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_dtype = pytest.mark.parametrize("name", HALF)
each_pattern = pytest.mark.parametrize("config", PATTERNS, ids=lambda config: config["pattern"])


def drawn(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(3))


def kept(layer) -> dict[str, torch.Tensor]:
    return {name: factor for name in ("U", "Vh") if (factor := getattr(layer, f"basis_{name}")) is not None}


@each_dtype
@each_shape
def test_the_start_is_the_base_layer_to_the_last_bit(adapt, shape, name):
    model, layer = adapt(*shape, torch.float32, draw=False, factor_dtype=name)
    x = drawn(5, shape[1])
    assert torch.equal(model(x), layer.base_layer(x))


@each_dtype
@each_pattern
@pytest.mark.parametrize("shape", [*SHAPES, (256, 256)], ids=str)  # 256 directions are wide (`arithmetic.cost`)
@pytest.mark.parametrize("form", ["activations", "folded", "materialised"])
def test_outputs_and_gradients_are_those_of_the_rounded_vectors_in_float64(adapt, shape, config, form, name):
    model, layer = adapt(*shape, torch.float32, factor_dtype=name, form=form, **config)
    x, dy = drawn(7, shape[1]).requires_grad_(), drawn(7, shape[0])
    W0, s, C = layer.base_layer.weight.detach().double(), layer.basis_s.double(), layer.directions("default")
    factors = {name: factor.double() for name, factor in kept(layer).items()}
    U = factors["U"] if "U" in factors else W0 @ factors["Vh"].T / s
    Vh = factors["Vh"] if "Vh" in factors else factors["U"].T @ W0 / s[:, None]
    m, index = layer.svft_m["default"].detach().double().requires_grad_(), layer.index("default")
    index = torch.arange(C) * (C + 1) if index is None else index
    M = m.new_zeros(C * C).index_put((index.long(),), m).view(C, C)
    exact = x.detach().double().requires_grad_()
    expected = exact @ (W0 + U @ M @ Vh).T
    expected.backward(dy.double())
    found = model(x)
    found.backward(dy)
    for one, other in ((found, expected), (x.grad, exact.grad), (layer.svft_m["default"].grad, m.grad)):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=2e-5 * other.abs().max().item())


@each_dtype
@each_shape
def test_the_update_differs_from_the_exact_vectors_by_their_rounding(adapt, shape, name):
    updates = [
        adapt(*shape, torch.float32, factor_dtype=dtype, pattern="random", d=2)[1].get_delta_weight("default").detach()
        for dtype in (None, name)
    ]
    difference = (updates[1] - updates[0]).norm() / updates[0].norm()
    assert 0 < difference < 4 * HALF[name]


@each_dtype
@each_shape
def test_what_is_kept_of_the_vectors_takes_half_the_bytes(adapt, shape, name):
    layers = [adapt(*shape, torch.float32, factor_dtype=dtype)[1] for dtype in (None, name)]
    sizes = [{key: factor.nbytes for key, factor in kept(layer).items()} for layer in layers]
    assert sizes[1] == {key: size // 2 for key, size in sizes[0].items()}
    assert layers[1].basis_dtype is torch.float32


@each_shape
def test_merging_gives_the_same_output_and_coming_back_rounds_again(adapt, shape):
    model, layer = adapt(*shape, torch.float32, factor_dtype="float16", pattern="banded", d=2)
    x = drawn(5, shape[1])
    before, sizes = model(x), {name: factor.nbytes for name, factor in kept(layer).items()}
    for _ in range(2):
        model.merge_adapter()
        torch.testing.assert_close(model(x), before, rtol=0, atol=1e-5 * before.abs().max().item())
        model.unmerge_adapter()
        torch.testing.assert_close(model(x), before, rtol=0, atol=1e-5 * before.abs().max().item())
    assert {name: factor.nbytes for name, factor in kept(layer).items()} == sizes


@each_shape
def test_a_saved_adapter_gives_the_same_output_on_a_fresh_base(base, adapt, shape, tmp_path):
    model, _ = adapt(*shape, torch.float32, factor_dtype="float16", pattern="random", d=2)
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(base(*shape, torch.float32), tmp_path)
    x = drawn(5, shape[1])
    assert torch.equal(loaded(x), model(x))


def test_an_adapter_is_not_loaded_with_vectors_of_another_dtype(base, adapt, tmp_path):
    model, _ = adapt(40, 40, torch.float32, factor_dtype="float16")
    model.save_pretrained(tmp_path)
    config = SvftConfig.from_pretrained(tmp_path)
    config.factor_dtype = None
    with pytest.raises(ValueError, match="factor_dtype|configuration"):
        peft.PeftModel.from_pretrained(base(40, 40, torch.float32), tmp_path, config=config)


def test_adapters_of_a_model_store_the_vectors_they_share_in_one_dtype(adapt):
    model, _ = adapt(40, 40, torch.float32, factor_dtype="float16")
    model.add_adapter("same", SvftConfig(target_modules=["lin"], factor_dtype="float16"))
    with pytest.raises(ValueError, match="'other' has factor_dtype=None"):
        model.add_adapter("other", SvftConfig(target_modules=["lin"]))


def test_beside_a_base_of_16_bits_nothing_changes(adapt):
    layers = [adapt(40, 64, torch.bfloat16, factor_dtype=dtype)[1] for dtype in (None, "float16")]
    assert layers[1].factor_dtype is None
    assert torch.equal(layers[0].basis_U, layers[1].basis_U)
    assert layers[1].basis_dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("least", "spare", "stored"),
    [(1 / 4, "U", torch.float16), (1 / 16, "U", torch.float32), (1 / 64, None, torch.float16)],
)
def test_one_whole_factor_is_kept_where_a_singular_value_is_too_small_for_16_bits_alone(least, spare, stored):
    """An inverse enlarges the rounding by rms(s) / s_i: 1/16 is too small in 16 bits, 1/64 in 32 bits, too."""
    weight = torch.linalg.svd(drawn(64, 40), full_matrices=False)
    s = torch.ones(40).index_fill(0, torch.tensor([39]), least)
    lin = nn.Linear(40, 64, bias=False)
    lin.weight.data.copy_((weight.U * s) @ weight.Vh)
    model = peft.get_peft_model(nn.ModuleDict({"lin": lin}), SvftConfig(target_modules=["lin"], factor_dtype="float16"))
    layer = model.base_model.model.lin
    assert layer.spare == spare and {factor.dtype for factor in kept(layer).values()} == {stored}
    model.add_adapter("same", SvftConfig(target_modules=["lin"], factor_dtype="float16"))


@each_shape
@pytest.mark.parametrize("name", [None, "float16"])
def test_a_weight_of_zeros_starts_as_the_base_layer(base, shape, name):
    model = base(*shape, torch.float32)
    model.lin.weight.data.zero_()
    adapted = peft.get_peft_model(model, SvftConfig(target_modules=["lin"], factor_dtype=name, pattern="banded", d=2))
    assert torch.equal(adapted(drawn(3, shape[1])), torch.zeros(3, shape[0]))


def test_the_vectors_of_a_layer_keep_their_dtype_when_all_its_adapters_were_deleted(adapt):
    model, layer = adapt(64, 40, torch.float32, factor_dtype="float16")
    model.delete_adapter("default")
    with pytest.raises(ValueError, match="'default' has factor_dtype=None"):
        model.add_adapter("default", SvftConfig(target_modules=["lin"]))
    model.add_adapter("default", SvftConfig(target_modules=["lin"], factor_dtype="float16"))
    assert layer.basis_Vh.dtype is torch.float16


def test_a_refused_adapter_leaves_all_layers_as_they_were():
    model = nn.Sequential()
    for name in ("one", "two"):
        model.add_module(name, nn.Linear(40, 40))
    adapted = peft.get_peft_model(model, SvftConfig(target_modules=["two"], factor_dtype="float16"))
    with pytest.raises(ValueError, match="layer 'two': adapter 'b' has factor_dtype=None"):
        adapted.add_adapter("b", SvftConfig(target_modules=["one", "two"]))
    assert type(adapted.base_model.model.one) is nn.Linear
    adapted.add_adapter("b", SvftConfig(target_modules=["one", "two"], factor_dtype="float16"))


def test_casting_the_model_to_32_bits_leaves_the_vectors_in_16(adapt):
    model, layer = adapt(64, 40, torch.float32, factor_dtype="float16")
    assert model.to(torch.float32) and layer.basis_Vh.dtype is torch.float16
    model.to(torch.bfloat16)
    assert layer.basis_Vh.dtype is torch.bfloat16
    model.add_adapter("other", SvftConfig(target_modules=["lin"], factor_dtype="float16"))


def test_casting_the_whole_model_to_16_bits_still_computes(adapt):
    model, _ = adapt(40, 40, torch.float32, factor_dtype="float16")
    halved = copy.deepcopy(model).to(torch.bfloat16)
    x = drawn(3, 40)
    torch.testing.assert_close(halved(x.bfloat16()).float(), model(x), rtol=0, atol=0.05 * model(x).abs().max().item())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"factor_dtype": "float8"}, "factor_dtype='float8' is neither None nor float16 or bfloat16"),
        ({"factor_dtype": "float16", "keep_weight": False}, "which keep_weight=False does not go with"),
        ({"factor_dtype": "float16", "save_basis": True}, "which save_basis=True does not go with"),
        ({"factor_dtype": "bfloat16", "preset": "authors_code"}, "which truncate_base=True does not go with"),
    ],
)
def test_what_does_not_go_with_rounded_vectors_is_refused(config, said):
    with pytest.raises(ValueError, match=said):
        SvftConfig(target_modules=["lin"], **config)
