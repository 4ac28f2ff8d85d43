"""What only wide layers take, at sizes where it can be checked: sparse M, sums within products, gradients from factors.

Shapes: T tokens, O out_features, I in_features, K = min(O, I).
"""

import pytest
import torch
from torch import nn

from svft.arithmetic import cost
from svft.arithmetic.cost import FORMS
from tests.svft.test_backward_memory import kept_for_backward
from tests.svft.test_forms import (
    SHAPES,
    adapted,
    conditioned,
    counted,
    dense,
    drawn,
    errors,
    parameters,
    passes,
    trained,
)

PATTERNS = {
    "plain": {"pattern": "plain"},
    "banded": {"pattern": "banded", "d": 2},
    "random": {"pattern": "random", "d": 2},
    "duplicates": {"pattern": "random", "d": 3, "replacement": True},
}
OPTIONS = [{}, {"rank": 4}, {"gate": True, "scaled": True}]

each_pattern = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
kept_or_dropped = pytest.mark.parametrize("keep_weight", [True, False], ids=["kept", "dropped"])


@pytest.fixture
def wide(monkeypatch):
    """Every layer is wide, and every M that is no diagonal sparse."""
    monkeypatch.setattr(cost, "WIDE", 1)
    monkeypatch.setattr(cost, "OPERATIONS_PER_ENTRY", 0)


@kept_or_dropped
@each_shape
@each_pattern
def test_output_and_gradients_are_those_of_the_dense_formula(wide, pattern, shape, keep_weight):
    for option in OPTIONS:
        for form in FORMS:
            for bias in (False, True):
                linear = nn.Linear(shape[1], shape[0], bias=bias, dtype=torch.float64)
                config = {**pattern, **option, "form": form, "keep_weight": keep_weight}
                model, layer = adapted(linear, drawn(*shape, seed=3), **config)
                off = linear.bias.detach() if bias else 0.0
                leaves, x, dy = trained(layer), drawn(2, 3, shape[1]), drawn(2, 3, shape[0])
                W = dense(drawn(*shape, seed=3), layer, leaves)
                wanted = passes(lambda x, W=W, off=off: x @ W.T + off, x, leaves, dy)
                for a, b in zip(passes(model, x, parameters(layer), dy), wanted, strict=True):
                    torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
                assert pattern["pattern"] == "plain" or layer.orders


@each_shape
@each_pattern
@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
def test_with_m_at_zero_the_output_is_the_base_layers_to_the_last_bit(wide, pattern, shape, bias):
    for form in FORMS:
        linear = nn.Linear(8 * shape[1], 8 * shape[0], bias=bias)
        model, layer = adapted(linear, conditioned(8 * shape[0], 8 * shape[1]), form=form, **pattern)
        layer.svft_m["default"].data.zero_()
        x = drawn(7, 8 * shape[1]).float()
        assert torch.equal(model(x), layer.get_base_layer()(x))


@kept_or_dropped
@pytest.mark.parametrize("shape", [(48, 48), (48, 80), (80, 48)], ids=str)
@each_pattern
def test_fp32_is_right_to_its_rounding(wide, pattern, shape, keep_weight):
    """The bound of the forms of narrow layers."""
    for form in FORMS:
        linear = nn.Linear(shape[1], shape[0], bias=False)
        model, layer = adapted(linear, conditioned(*shape), form=form, keep_weight=keep_weight, **pattern)
        weight = layer.get_base_weight() if keep_weight else conditioned(*shape).float()
        assert max(errors(layer, model, weight, drawn(7, shape[1]).float(), drawn(7, shape[0]))) < 4 * 2 * 80 * 2**-24


@kept_or_dropped
@each_shape
@each_pattern
def test_the_products_it_lists_are_those_it_computes(wide, adapt, pattern, shape, keep_weight):
    for form in ("auto", *FORMS):
        for rank in (None, 4):
            model, layer = adapt(*shape, form=form, keep_weight=keep_weight, rank=rank, **pattern)
            x = drawn(7, shape[1]).requires_grad_()
            assert sum(2 * a * b * c for a, b, c in layer.gemms(7)) == counted(model, x)[1], (form, rank)


@kept_or_dropped
@pytest.mark.parametrize("shape", [(48, 48), (48, 64), (64, 48)], ids=str)
@each_pattern
def test_nothing_of_a_weights_size_is_kept_for_the_backward_pass(wide, adapt, pattern, shape, keep_weight):
    for form in FORMS:
        model, layer = adapt(*shape, torch.float32, form=form, keep_weight=keep_weight, **pattern)
        sizes = kept_for_backward(model, torch.randn(5, shape[1], requires_grad=True))
        assert max(sizes, default=0) <= max(5 * max(shape), len(layer.svft_m["default"]))


def test_a_support_that_is_selected_later_is_the_one_computed_with(wide, adapt):
    model, layer = adapt(9, 9, pattern="gradient", d=2)
    x = drawn(4, 9)
    model(x)
    other = torch.arange(81)[-len(layer.svft_selected["default"]) :].to(torch.int32)
    layer.svft_selected["default"].copy_(other)
    W = dense(drawn(9, 9, seed=0), layer, trained(layer))
    torch.testing.assert_close(model(x), x @ W.T, atol=1e-9, rtol=0)


def test_a_base_layer_that_is_watched_is_called(wide):
    model, layer = adapted(nn.Linear(9, 9, dtype=torch.float64), drawn(9, 9), pattern="plain")
    seen, x = [], drawn(4, 9)
    unwatched = model(x)
    layer.base_layer.register_forward_hook(lambda *args: seen.append(args))
    torch.testing.assert_close(model(x), unwatched)
    assert len(seen) == 1


@kept_or_dropped
@each_shape
def test_a_bias_that_is_trained_gets_its_gradient(wide, shape, keep_weight):
    linear = nn.Linear(shape[1], shape[0], dtype=torch.float64)
    model, layer = adapted(linear, drawn(*shape), pattern="random", d=2, keep_weight=keep_weight, bias="all")
    dy = drawn(4, shape[0])
    (model(drawn(4, shape[1])) * dy).sum().backward()
    torch.testing.assert_close(layer.get_base_layer().bias.grad, dy.sum(0))


def test_a_narrow_layer_takes_none_of_it(adapt, monkeypatch):
    """So that what was trained before on the micro models is trained again bit for bit."""
    model, layer = adapt(128, 128, torch.float32, pattern="random", d=4)
    forward, called = nn.Linear.forward, []
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: (called.append(self), forward(self, x))[1])
    model(torch.randn(3, 128))
    assert called == [layer.base_layer] and not layer.orders
