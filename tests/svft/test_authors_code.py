"""preset="authors_code" against the released layer's formula, written down here a second time.

W_eff = U (diag(s) + sigmoid(gate) S) V^T; S sparse with coefficients drawn from N(0, 2 / k) on k positions.
"""

import numpy as np
import pytest
import torch
from scipy import sparse

SHAPES = [(9, 9), (9, 14), (14, 9)]


def released_positions(pattern: str, layer, d: int) -> list[tuple[int, int]]:
    U, Vh = layer.basis_U.numpy(), layer.basis_Vh.numpy()
    n = len(Vh)
    k = n * (2 * d + 1) - d * (d + 1)
    if pattern == "banded":
        return [(i, j) for i in range(n) for j in range(n) if abs(i - j) <= d]
    if pattern == "random":
        return [divmod(int(position), n) for position in layer.index("default")]
    score = np.matmul(U, Vh.T) if U.shape == Vh.shape else U if U.shape[0] == U.shape[1] else Vh
    order = np.argsort(-score, axis=None)[:k]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, score.shape), strict=True)]


def released_weight(layer, positions: list[tuple[int, int]], n: int) -> np.ndarray:
    U, s, Vh = (tensor.double().numpy() for tensor in layer.basis("default"))
    values = layer.svft_m["default"].detach().double().numpy()
    gate = 1 / (1 + np.exp(-layer.svft_gate["default"].item()))
    rows, columns = zip(*sorted(positions), strict=True)
    S = sparse.coo_matrix((gate * values, (rows, columns)), shape=(n, n)).toarray()  # duplicates are summed
    return U[:, :n] @ (np.diag(s[:n]) + S) @ Vh[:n]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", ["banded", "random", "topk"])
def test_weight_output_and_merged_model_are_those_of_the_released_formula(adapt, shape, pattern):
    model, layer = adapt(*shape, pattern=pattern, d=3, preset="authors_code")
    W0 = layer.base_layer.weight.detach().numpy()
    U, s, Vh = (tensor.numpy() for tensor in layer.basis("default"))
    np.testing.assert_allclose(U @ np.diag(s) @ Vh, W0, atol=1e-12)  # a decomposition of W0, whose signs are free
    W = released_weight(layer, released_positions(pattern, layer, d=3), n=9)
    x = torch.randn(4, shape[1], dtype=torch.float64)
    np.testing.assert_allclose(model(x).detach(), x.numpy() @ W.T, atol=1e-11)
    np.testing.assert_allclose(model.merge_and_unload().lin.weight.detach(), W, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", ["banded", "random"])
def test_rank_truncates_the_base_weight_as_released(adapt, shape, pattern):
    model, layer = adapt(*shape, pattern=pattern, d=1, rank=4, preset="authors_code")
    index = layer.index("default")
    W = released_weight(layer, [divmod(int(position), 4) for position in index], n=4)
    assert np.linalg.matrix_rank(W) == 4
    x = torch.randn(4, shape[1], dtype=torch.float64)
    np.testing.assert_allclose(model(x).detach(), x.numpy() @ W.T, atol=1e-11)
    np.testing.assert_allclose(model.merge_and_unload().lin.weight.detach(), W, atol=1e-11)


def test_rank_of_the_clean_preset_keeps_the_base_weight(adapt, base):
    model, _layer = adapt(9, 14, draw=False, pattern="banded", d=1, rank=4)
    x = torch.randn(4, 14, dtype=torch.float64)
    assert torch.equal(model(x), base(9, 14)(x))


def test_random_positions_repeat_and_the_repeated_ones_add_up(adapt):
    _, layer = adapt(9, 14, pattern="random", d=3, preset="authors_code")
    index = layer.index("default").tolist()
    assert len(set(index)) < len(index)
    twice = next(position for position in index if index.count(position) > 1)
    M = layer.basis_U.T @ layer.get_delta_weight("default") @ layer.basis_Vh.T
    total = sum(layer.svft_m["default"][n] for n, position in enumerate(index) if position == twice)
    torch.testing.assert_close(M[divmod(twice, 9)], total * torch.sigmoid(layer.svft_gate["default"])[0])


@pytest.mark.parametrize(("pattern", "d"), [("plain", None), ("banded", 2), ("random", 4)])
def test_training_starts_a_distance_of_0_707_from_the_pre_trained_weight(adapt, pattern, d):
    """E ||dW||_F = sigmoid(0) sqrt(k * 2 / k), whatever k, the shape and the scale of W."""
    norms = [
        adapt(*shape, draw=False, pattern=pattern, d=d, preset="authors_code", seed=seed)[1]
        .get_delta_weight("default")
        .norm()
        for seed in range(6)
        for shape in [(64, 64), (96, 64)]
    ]
    assert abs(sum(norms) / len(norms) - 0.707) < 0.03
