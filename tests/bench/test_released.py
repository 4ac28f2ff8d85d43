"""The released layer against its formula with dense matrices, in float64."""

import pytest
import torch
from torch import nn

from bench.released import Released, ReleasedLinear

SHAPES = [(9, 9), (9, 14), (14, 9)]
K, D, k = 9, 3, 51  # k = 9 (2 3 + 1) - 3 4


def released(out_features: int, in_features: int, bias: bool = False):
    """The layer, its W0, and its positions drawn again."""
    torch.manual_seed(0)
    linear = nn.Linear(in_features, out_features, bias=bias, dtype=torch.float64)
    layer = ReleasedLinear(linear, d=D, generator=torch.Generator().manual_seed(5))
    drawn = torch.randint(K * K, (k,), generator=torch.Generator().manual_seed(5)).tolist()
    return layer, linear, [divmod(position, K) for position in drawn]


def dense(layer, W0, m, gate, x, positions):
    U, s, Vh = torch.linalg.svd(W0, full_matrices=False)
    signs = (U * layer.U).sum(0).sign()  # which of the two signs of each pair the layer has
    S = torch.zeros(K, K, dtype=torch.float64)
    for (row, column), value in zip(positions, m, strict=True):
        S = S + value * torch.outer(torch.eye(K, dtype=S.dtype)[row], torch.eye(K, dtype=S.dtype)[column])
    return x @ (U * signs @ (torch.diag(s) + torch.sigmoid(gate) * S) @ (signs[:, None] * Vh)).T


@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients_are_those_of_the_dense_formula(shape):
    layer, linear, positions = released(*shape)
    layer.gate.data += 0.3
    W0 = linear.weight.detach()
    x, upstream = torch.randn(4, shape[1], dtype=W0.dtype), torch.randn(4, shape[0], dtype=W0.dtype)
    mine, theirs = ([t.detach().clone().requires_grad_() for t in (layer.m, layer.gate, x)] for _ in range(2))
    layer.m, layer.gate = nn.Parameter(mine[0]), nn.Parameter(mine[1])
    y, expected = layer(mine[2]), dense(layer, W0, *theirs, positions)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-11)
    y.backward(upstream)
    expected.backward(upstream)
    for gradient, tensor in zip((layer.m.grad, layer.gate.grad, mine[2].grad), theirs, strict=True):
        torch.testing.assert_close(gradient, tensor.grad, rtol=0, atol=1e-11)


def test_drawn_positions_repeat_and_the_diagonal_is_there_once():
    layer, _, positions = released(9, 14)
    assert len(set(positions)) < k
    distinct = list(zip(layer.rows.tolist(), layer.columns.tolist(), strict=True))
    assert distinct == sorted({*positions, *((i, i) for i in range(K))})


def test_the_layer_starts_at_a_distance_of_0_707_and_without_coefficients_at_w0():
    layer, linear, _ = released(9, 14, bias=True)
    x, W0 = torch.eye(14, dtype=torch.float64), linear.weight.detach()
    assert 0.3 < torch.linalg.norm((layer(x) - linear.bias).T - W0).item() < 1.2
    layer.m.data.zero_()
    torch.testing.assert_close(layer(x), linear(x), rtol=0, atol=1e-12)


def test_the_original_weight_is_dropped_and_only_coefficients_and_gates_are_trained():
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    weights = [linear.weight for linear in model]
    Released(d=1, seed=0, target_modules="0|1").attach(model, [])
    kept = [any(weight is parameter for parameter in model.parameters()) for weight in weights]
    assert kept == [False, False, True]
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == ["0.m", "0.gate", "1.m", "1.gate"]
