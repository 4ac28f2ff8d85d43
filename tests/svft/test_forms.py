"""Every order of products and every way to store a layer, against W0 + U M V^T written out, and autograd through it.

Shapes: T tokens, O out_features, I in_features, K = min(O, I), N = |Ω|.
"""

import copy
import pickle

import peft
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

from svft import SvftConfig, reference
from svft.arithmetic import cost, coupling
from svft.arithmetic.cost import FORMS

pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'", "ignore:.*use_reentrant", "ignore:.*lru_cache")
PATTERNS = {
    "plain": {"pattern": "plain"},
    "banded": {"pattern": "banded", "d": 2},
    "random": {"pattern": "random", "d": 2},
    "topk": {"pattern": "topk", "d": 2},
    "gradient": {"pattern": "gradient", "d": 2},
    "block": {"pattern": "block", "d": 2},  # 6 x 6 of 9 x 9
    "duplicates": {"pattern": "random", "d": 3, "replacement": True},  # 51 draws of 81 positions
}
OPTIONS = [{}, {"rank": 4}, {"rank": 4, "truncate_base": True}, {"gate": True}, {"scaled": True}]
SHAPES = [(9, 9), (9, 14), (14, 9)]
BF16 = 2**-8  # between neighbouring bf16 numbers, relative

each_pattern = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_form = pytest.mark.parametrize("form", FORMS)
kept_or_dropped = pytest.mark.parametrize("keep_weight", [True, False], ids=["kept", "dropped"])


def drawn(*size: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def conditioned(out: int, inp: int, smallest: float = 1.0) -> torch.Tensor:
    """A weight with singular values from 2 to 1, and a last one of this size; (O, I)."""
    U, s, Vh = torch.linalg.svd(drawn(out, inp, seed=0), full_matrices=False)
    s = torch.linspace(2, 1, len(s), dtype=torch.float64)
    s[-1] = smallest
    return (U * s) @ Vh


def adapted(linear: nn.Module, weight: torch.Tensor, **config) -> tuple[nn.Module, nn.Module]:
    """A model of one layer with this weight (O, I), and that layer, its coefficients drawn."""
    linear.weight.data.copy_(weight.T if isinstance(linear, Conv1D) else weight)
    base = nn.Sequential()
    base.add_module("lin", linear)
    model = peft.get_peft_model(base, SvftConfig(target_modules=["lin"], **config))
    layer = model.base_model.model.lin
    for n, parameter in enumerate(parameters(layer)):
        parameter.data.copy_(drawn(len(parameter), seed=10 + n))
    return model, layer


def with_rank(config: dict) -> dict:
    """A block has its rank in the place of d."""
    return {**config, "d": None} if config["pattern"] == "block" and "rank" in config else config


def parameters(layer: nn.Module) -> list[torch.Tensor]:
    return [p for p in layer.parameters() if p.requires_grad]


def trained(layer: nn.Module, adapter: str = "default") -> list[torch.Tensor]:
    """Float64 leaves with the values of m and, where there is one, of the gate."""
    stores = (layer.svft_m, layer.svft_gate)
    return [store[adapter].detach().double().requires_grad_() for store in stores if adapter in store]


def dense(weight: torch.Tensor, layer: nn.Module, leaves: list[torch.Tensor], adapter: str = "default") -> torch.Tensor:
    """U (Sigma + M) V^T by the reference, from torch's SVD and the positions of Ω; differentiable in the leaves."""
    basis = reference.decomposed(weight, like=layer.basis(adapter).U)
    C, K, index = layer.directions(adapter), len(basis.s), layer.index(adapter)
    values = leaves[0] if len(leaves) == 1 else leaves[0] / (1 + torch.exp(-leaves[1]))
    omega = torch.arange(C) * (C + 1) if index is None else index.long()
    if layer.configs[adapter].scaled:
        values = values * basis.s[omega % C]
    if layer.configs[adapter].truncate_base:
        basis = reference.truncated(basis, C)
    return reference.weight(basis, reference.matrix(values, omega, C, K))


def passes(function, x: torch.Tensor, leaves: list[torch.Tensor], dy: torch.Tensor) -> list[torch.Tensor]:
    """Output, and the gradients of x and of the leaves, in float64."""
    x = x.detach().requires_grad_()
    y = function(x)
    gradients = torch.autograd.grad(y, [x, *leaves], dy.to(y.dtype))
    return [tensor.detach().double() for tensor in (y, *gradients)]


def errors(layer, model, weight, x, dy) -> list[float]:
    """Of output and gradients, relative to the norm of each."""
    leaves = trained(layer)
    wanted = passes(lambda x: x @ dense(weight, layer, leaves).T, x.double(), leaves, dy)
    given = passes(model, x, parameters(layer), dy)
    return [((a - b).norm() / b.norm()).item() for a, b in zip(given, wanted, strict=True)]


@kept_or_dropped
@each_shape
@each_form
@each_pattern
def test_output_and_all_gradients_are_those_of_the_dense_formula(adapt, pattern, form, shape, keep_weight):
    for option in OPTIONS:
        weight = drawn(*shape, seed=3)
        model, layer = adapted(
            nn.Linear(shape[1], shape[0], bias=False, dtype=torch.float64),
            weight,
            form=form,
            keep_weight=keep_weight,
            **with_rank({**pattern, **option}),
        )
        assert max(errors(layer, model, weight, drawn(2, 3, shape[1]), drawn(2, 3, shape[0]))) < 1e-9, option


@kept_or_dropped
@each_shape
@each_form
def test_a_band_cut_into_blocks_is_the_same_band(monkeypatch, form, shape, keep_weight):
    """Four blocks and a half in 9 directions; the whole products of the blocks are counted."""
    monkeypatch.setattr(coupling, "BLOCK", 2)
    for option in ({}, {"rank": 8}, {"rank": 8, "truncate_base": True}, {"gate": True, "d": 0}):
        linear = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.float64)
        config = {"pattern": "banded", "d": 1, "form": form, "keep_weight": keep_weight, **option}
        model, layer = adapted(linear, drawn(*shape, seed=3), **config)
        cut = coupling.coupling(layer.directions("default"), layer.index("default"), config["d"])
        assert isinstance(cut, coupling.Banded)
        x = drawn(2, 3, shape[1]).requires_grad_()
        assert max(errors(layer, model, drawn(*shape, seed=3), x, drawn(2, 3, shape[0]))) < 1e-9, option
        assert sum(2 * a * b * c for a, b, c in layer.gemms(6)) == counted(model, x)[1], option


@kept_or_dropped
@pytest.mark.parametrize("linear", ["bias", "conv"])
@each_form
def test_a_bias_and_a_transposed_weight_change_nothing_else(form, linear, keep_weight):
    for out, inp in SHAPES:
        module = Conv1D(out, inp).double() if linear == "conv" else nn.Linear(inp, out, dtype=torch.float64)
        module.bias.data.copy_(drawn(out, seed=5))
        model, layer = adapted(module, drawn(out, inp), form=form, keep_weight=keep_weight, **PATTERNS["random"])
        x = drawn(2, 3, inp)
        expected = x @ dense(drawn(out, inp), layer, trained(layer)).T + drawn(out, seed=5)
        torch.testing.assert_close(model(x), expected, atol=1e-9, rtol=0)


@kept_or_dropped
@each_shape
@each_form
def test_any_number_of_leading_dims_and_no_tokens_are_computed(adapt, form, shape, keep_weight):
    model, layer = adapt(*shape, form=form, keep_weight=keep_weight, pattern="banded", d=1)
    W = dense(drawn(*shape, seed=0), layer, trained(layer))
    for lead in [(), (4,), (2, 3), (2, 1, 3), (0,)]:
        x = drawn(*lead, shape[1])
        assert model(x).shape == (*lead, shape[0])
        torch.testing.assert_close(model(x), x @ W.T, atol=1e-9, rtol=0)
    strided = drawn(shape[1], 5).T
    torch.testing.assert_close(model(strided), strided @ W.T, atol=1e-9, rtol=0)


@kept_or_dropped
@each_shape
@each_form
def test_only_gradients_that_are_asked_for_are_given_and_they_are_right(adapt, form, shape, keep_weight):
    model, layer = adapt(*shape, form=form, keep_weight=keep_weight, pattern="random", d=2)
    x, dy, m, leaves = drawn(4, shape[1]), drawn(4, shape[0]), layer.svft_m["default"], trained(layer)
    wanted = passes(lambda x: x @ dense(drawn(*shape, seed=0), layer, leaves).T, x, leaves, dy)
    (dm,) = torch.autograd.grad((model(x) * dy).sum(), m)
    torch.testing.assert_close(dm, wanted[2], atol=1e-9, rtol=0)
    m.requires_grad_(False)
    (dx,) = torch.autograd.grad((model(x.requires_grad_()) * dy).sum(), x)
    torch.testing.assert_close(dx, wanted[1], atol=1e-9, rtol=0)
    assert not model(x.detach()).requires_grad
    assert layer.base_layer.weight.grad is None


@kept_or_dropped
@each_shape
@each_form
def test_a_second_differentiation_is_refused(adapt, form, shape, keep_weight):
    model, _ = adapt(*shape, form=form, keep_weight=keep_weight)
    x = drawn(4, shape[1]).requires_grad_()
    (dx,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


# Rounding. A chain has at most 4 products. Each rounds its result and its factors, to within half of the distance of
# neighbours; the errors of a product of n terms accumulate in fp32 to at most n half distances. All singular values are
# within a factor of 2 here, which at most doubles what one product hands to the next.


@kept_or_dropped
@pytest.mark.parametrize("shape", [(48, 48), (48, 80), (80, 48)], ids=str)
@each_form
def test_fp32_is_right_to_its_rounding(form, shape, keep_weight):
    for pattern in PATTERNS.values():
        model, layer = adapted(
            nn.Linear(shape[1], shape[0], bias=False),
            conditioned(*shape),
            form=form,
            keep_weight=keep_weight,
            **pattern,
        )
        weight = layer.get_base_weight() if keep_weight else conditioned(*shape).float()
        assert max(errors(layer, model, weight, drawn(7, shape[1]).float(), drawn(7, shape[0]))) < 4 * 2 * 80 * 2**-24


@kept_or_dropped
@pytest.mark.parametrize("autocast", [False, True], ids=["bf16", "autocast"])
@pytest.mark.parametrize("shape", [(48, 48), (48, 80), (80, 48)], ids=str)
@each_form
def test_16_bits_are_right_to_their_rounding(form, shape, autocast, keep_weight):
    for pattern in PATTERNS.values():
        dtype = torch.float32 if autocast else torch.bfloat16
        linear = nn.Linear(shape[1], shape[0], bias=False, dtype=dtype)
        weight = conditioned(*shape).to(dtype)
        model, layer = adapted(linear, weight, form=form, keep_weight=keep_weight, **pattern)
        x, dy = drawn(7, shape[1]).to(dtype), drawn(7, shape[0]).to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            assert model(x).dtype == torch.bfloat16
            assert max(errors(layer, model, weight.double(), x, dy)) < 4 * 2 * BF16 / 2


@pytest.mark.parametrize("smallest", [1 / 4, 1 / 20, 1 / 500])
@pytest.mark.parametrize("shape", [(48, 80), (80, 48)], ids=str)
def test_autocast_is_right_to_its_rounding_also_with_a_small_singular_value(shape, smallest):
    """A coefficient of 1 on the smallest one."""
    linear = nn.Linear(shape[1], shape[0], bias=False)
    model, layer = adapted(linear, conditioned(*shape, smallest=smallest))
    layer.svft_m["default"].data.copy_(torch.arange(48) == 47)
    x = drawn(200, shape[1]).float()
    delta = x.double() @ layer.get_delta_weight("default").double().T
    start = x.double() @ linear.weight.double().T
    with torch.autocast("cpu", torch.bfloat16):
        error = (model(x).double() - start - delta).norm()
    assert error < 4 * 2 * BF16 / 2 * (start + delta).norm()


@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (96, 64)], ids=str)
@pytest.mark.parametrize("pattern", ["plain", "banded", "random"])
@pytest.mark.parametrize(("keep_weight", "size"), [(False, 1e-4), (True, 1e-1)], ids=["dropped", "kept"])
def test_a_small_m_changes_what_16_bits_give_by_as_much_as_it_should(shape, pattern, keep_weight, size):
    """y - y0 projected on x (U M V^T)^T, over many x: what is rounded away in one is rounded up in another.

    A direction has only the 128 fractions of bf16 to do so, and 64 directions scatter by about 0.1. With the weight
    kept, a 16-bit number takes up what M adds, as in LoRA, and what is below half of its last digit is mostly lost.
    """
    linear = nn.Linear(shape[1], shape[0], bias=False, dtype=torch.bfloat16)
    model, layer = adapted(linear, conditioned(*shape), keep_weight=keep_weight, **PATTERNS[pattern])
    small, x = size * layer.svft_m["default"].data, drawn(2000, shape[1]).bfloat16()
    outputs = []
    for m in (torch.zeros_like(small), small):
        layer.svft_m["default"].data = m
        outputs.append(model(x).detach().double())
    exact = x.double() @ layer.get_delta_weight("default").detach().double().T
    assert ((outputs[1] - outputs[0]) * exact).sum() / exact.square().sum() == pytest.approx(1, abs=0.3)


@kept_or_dropped
@each_shape
def test_several_active_adapters_and_one_with_its_own_basis_add_up(adapt, monkeypatch, tmp_path, shape, keep_weight):
    """The stored basis belongs to W0 too, with its pairs in another order; so the sum of the changes is known."""
    patterns = {"default": PATTERNS["plain"], "band": PATTERNS["banded"], "own": {"pattern": "random", "d": 1}}
    W0, x = drawn(*shape, seed=0), drawn(4, shape[1])
    alone, layer = adapt(*shape, save_basis=True, **patterns["own"])
    order = torch.arange(9).roll(1)
    U, s, Vh = (tensor.clone() for tensor in layer.basis("default"))
    layer.give_own_basis("default", type(layer.basis("default"))(U[:, order], s[order], Vh[order]))
    layer.remember_basis("default")
    change = layer.get_delta_weight("default").detach()
    torch.testing.assert_close(alone(x), x @ (W0 + change).T, atol=1e-9, rtol=0)
    alone.save_pretrained(tmp_path)

    model, layer = adapt(*shape, keep_weight=keep_weight, **patterns["default"])
    model.add_adapter("band", SvftConfig(target_modules=["lin"], init="kaiming", **patterns["band"]))
    model.load_adapter(tmp_path, "own", is_trainable=True)
    assert "own" in layer.basis_own
    for name in ("default", "band"):
        change = change + dense(W0, layer, trained(layer, name), name).detach() - W0
    for form in FORMS:
        for config in layer.configs.values():
            config.form = form
        model.base_model.set_adapter([*patterns])
        y = model(x)
        torch.testing.assert_close(y, x @ (W0 + change).T, atol=1e-9, rtol=0)
        model.zero_grad()
        y.square().sum().backward()
        assert all(layer.svft_m[name].grad.norm() > 0 for name in patterns)


@pytest.mark.parametrize("reentrant", [False, True])
@kept_or_dropped
@each_form
def test_recomputing_in_the_backward_pass_gives_the_same_gradients(adapt, form, keep_weight, reentrant):
    model, layer = adapt(14, 9, form=form, keep_weight=keep_weight, gate=True, **PATTERNS["random"])
    x, dy = drawn(5, 9), drawn(5, 14)
    expected = passes(model, x, parameters(layer), dy)
    x.requires_grad_()
    (checkpoint(model, x, use_reentrant=reentrant) * dy).sum().backward()
    for gradient, tensor in zip(expected[1:], [x, *parameters(layer)], strict=True):
        torch.testing.assert_close(tensor.grad, gradient)


def test_a_compiled_layer_gives_the_same_numbers_for_any_number_of_tokens(adapt):
    model, layer = adapt(14, 9, **PATTERNS["banded"])
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for tokens in (5, 40):  # of two forms
        x, dy = drawn(tokens, 9), drawn(tokens, 14)
        given, wanted = (passes(function, x, parameters(layer), dy) for function in (compiled, model))
        for a, b in zip(given, wanted, strict=True):
            torch.testing.assert_close(a, b)
    assert layer.form(5) != layer.form(40)


@kept_or_dropped
@each_shape
@each_form
def test_micro_steps_add_up_and_each_forward_sees_the_coefficients_of_its_time(adapt, form, shape, keep_weight):
    model, layer = adapt(*shape, form=form, keep_weight=keep_weight, **PATTERNS["random"])
    x, m, W0 = drawn(8, shape[1]), layer.svft_m["default"], drawn(*shape, seed=0)
    optimizer = torch.optim.SGD([m], lr=0.01)
    for _ in range(2):
        leaves = trained(layer)
        (wanted,) = torch.autograd.grad((x @ dense(W0, layer, leaves).T).square().sum(), leaves)
        optimizer.zero_grad()
        for part in x.split(3):
            model(part).square().sum().backward()
        torch.testing.assert_close(m.grad, wanted, atol=1e-9, rtol=1e-9)
        optimizer.step()


@kept_or_dropped
@each_shape
def test_without_gradients_copied_and_pickled_it_is_the_same_function(adapt, shape, keep_weight):
    model, _ = adapt(*shape, keep_weight=keep_weight, gate=True, **PATTERNS["random"])
    x = drawn(4, shape[1])
    expected = model(x).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(model(x).clone(), expected)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        model.base_model.model.lin.svft_m["default"].data.zero_()
        torch.testing.assert_close(other(x), expected)
        other(x).sum().backward()
        assert model.base_model.model.lin.svft_m["default"].grad is None


def counted(model: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """Operations of a forward pass without gradients, and of a forward and backward pass, as torch counts them."""
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model(x)
    with FlopCounterMode(display=False) as both:
        model(x).sum().backward()
    return forward.get_total_flops(), both.get_total_flops()


@kept_or_dropped
@each_shape
@each_pattern
def test_the_products_it_lists_are_those_it_computes(adapt, pattern, shape, keep_weight):
    for option in OPTIONS[:3]:
        for form in ("auto", *FORMS):
            model, layer = adapt(*shape, form=form, keep_weight=keep_weight, **with_rank({**pattern, **option}))
            x = drawn(7, shape[1]).requires_grad_()
            assert sum(2 * a * b * c for a, b, c in layer.gemms(7)) == counted(model, x)[1], (option, form)


@pytest.mark.parametrize("form", ["auto", *FORMS])
def test_the_products_of_16_bits_are_listed_too(adapt, form):
    for shape in SHAPES:
        for keep_weight in (True, False):
            model, layer = adapt(*shape, torch.bfloat16, form=form, keep_weight=keep_weight, **PATTERNS["banded"])
            x = drawn(5, shape[1]).bfloat16().requires_grad_()
            assert sum(2 * a * b * c for a, b, c in layer.gemms(5)) == counted(model, x)[1]


@kept_or_dropped
@each_shape
@pytest.mark.parametrize("pattern", ["plain", "banded"])
def test_the_form_with_the_fewest_operations_is_chosen_where_traffic_is_free(
    adapt, monkeypatch, pattern, shape, keep_weight
):
    """By torch's count, and for inference by that of the forward pass."""
    monkeypatch.setattr(cost, "OPERATIONS_PER_BYTE", {"cpu": 0, "cuda": 0})
    forced = {
        form: adapt(*shape, form=form, keep_weight=keep_weight, **PATTERNS[pattern])[0] for form in ("auto", *FORMS)
    }
    for tokens in (1, 9, 20, 100):
        x = drawn(tokens, shape[1]).requires_grad_()
        counts = {form: counted(model, x) for form, model in forced.items()}
        for chosen, *others in zip(*counts.values(), strict=True):
            assert chosen == min(others), tokens
