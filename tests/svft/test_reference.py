"""The formula by which the other tests judge the tuner, against numpy and the paper's sum written out."""

import numpy as np
import pytest
import torch

from svft import reference

SHAPES = [(5, 5), (5, 8), (8, 5)]


def drawn(*size: int) -> torch.Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_weight_is_that_of_numpy_plus_each_coefficient_times_its_outer_product(shape):
    W0, m, pairs = drawn(*shape), drawn(4), [(0, 0), (2, 1), (1, 3), (2, 1)]  # one position twice
    U, _, Vh = np.linalg.svd(W0.numpy(), full_matrices=False)
    delta = sum(m[n].item() * np.outer(U[:, i], Vh[j]) for n, (i, j) in enumerate(pairs))
    basis = reference.decomposed(W0, like=torch.from_numpy(U))
    M = reference.matrix(m, torch.tensor([4 * i + j for i, j in pairs]), C=4, K=5)
    np.testing.assert_allclose(reference.weight(basis, M), W0.numpy() + delta, atol=1e-12)
    np.testing.assert_allclose(reference.delta_weight(basis, M), delta, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_truncated_base_has_the_rank_asked_for_and_is_the_nearest(shape):
    """Eckart and Young: the distance to W0 is the root of the sum of squares of the other singular values."""
    W0 = drawn(*shape)
    basis = reference.truncated(reference.decomposed(W0), rank=2)
    W = reference.weight(basis, torch.zeros(5, 5, dtype=torch.float64))
    assert torch.linalg.matrix_rank(W) == 2
    torch.testing.assert_close((W0 - W).norm(), torch.linalg.svdvals(W0)[2:].norm())


@pytest.mark.parametrize("rank", [None, 6])
@pytest.mark.parametrize(("pattern", "d"), [("plain", None), ("banded", 0), ("banded", 2), ("random", 2), ("topk", 2)])
def test_the_tuner_trains_the_positions_of_the_reference(adapt, pattern, d, rank):
    _, layer = adapt(9, 9, pattern=pattern, d=d, rank=rank)
    C, index = rank or 9, layer.index("default")
    basis = reference.decomposed(layer.base_layer.weight.detach())
    expected = reference.omega(pattern, basis.U[:, :C], basis.Vh[:C], d or 0, torch.Generator().manual_seed(0)).tolist()
    given = [n * (C + 1) for n in range(C)] if index is None else index.tolist()
    if pattern == "random":  # drawn from another stream here and there
        assert (len(given), len(set(given))) == (len(expected), len(set(expected)))
    else:
        assert given == expected
