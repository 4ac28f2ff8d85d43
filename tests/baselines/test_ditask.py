"""DiTASK's diffeomorphism of the singular values: its closed form against an ODE solver, and what it keeps."""

import numpy as np
import peft
import pytest
import torch
from scipy.integrate import solve_ivp

from baselines.vectorfit import VectorFitConfig
from baselines.vectorfit.warp import flow, knot_velocities, warped

from .spectral_cases import one_linear

SIZES = [(9, 4), (30, 16), (5, 12)]  # singular values, cells
sizes = pytest.mark.parametrize(("K", "cells"), SIZES)


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


def theta(cells: int, size: float = 1.5) -> torch.Tensor:
    return size * torch.randn(cells - 1, dtype=torch.float64)


def field(K: int, numbers: torch.Tensor) -> torch.Tensor:
    """On [0, K - 1], at its knots."""
    return (K - 1) * knot_velocities(numbers)


def by_solver(K: int, v: torch.Tensor) -> np.ndarray:
    knots = np.linspace(0, K - 1, len(v))

    def velocity(_, x):
        return np.interp(x, knots, v)

    return solve_ivp(velocity, (0, 1), np.arange(K), "DOP853", rtol=1e-10, atol=1e-10, max_step=0.02).y[:, -1]


@sizes
def test_the_closed_form_is_what_a_fine_ode_solver_finds(K, cells):
    v = field(K, theta(cells))
    to = flow(torch.arange(K, dtype=torch.float64), v, K - 1.0)
    assert (to - torch.arange(K)).abs().max() > (K - 1) / cells  # through a knot
    np.testing.assert_allclose(to, by_solver(K, v), atol=1e-6)


@sizes
def test_the_flow_of_the_opposite_field_is_the_inverse(K, cells):
    v, x = field(K, theta(cells)), torch.linspace(0, K - 1, 40, dtype=torch.float64)
    torch.testing.assert_close(flow(flow(x, v, K - 1.0), -v, K - 1.0), x, atol=1e-6, rtol=0)


def test_the_basis_is_the_released_one():
    """Function k rises to knot k and falls to 0 at the next; slopes a and intercepts b, v = a x + b, have norm 1."""
    knots = torch.linspace(0, 1, 6, dtype=torch.float64)
    for k in range(1, 5):
        v = knot_velocities(torch.eye(4, dtype=torch.float64)[k - 1])
        a = (v[1:] - v[:-1]) * 5
        b = v[:-1] - a * knots[:-1]
        torch.testing.assert_close((a.square().sum() + b.square().sum()).sqrt(), torch.tensor(1.0, dtype=torch.float64))
        torch.testing.assert_close(v[: k + 1] / v[k], knots[: k + 1] / knots[k])
        assert not v[k + 1 :].any()


@sizes
def test_order_and_both_ends_of_the_singular_values_stay(K, cells):
    s = torch.rand(K, dtype=torch.float64).sort(descending=True).values
    moved = warped(s, theta(cells))
    assert (moved - s).norm() > 0.01
    assert (moved.diff() < 0).all()
    torch.testing.assert_close(moved[[0, -1]], s[[0, -1]])


@sizes
def test_gradients_are_those_of_finite_differences_also_through_knots(K, cells):
    s = torch.rand(K, dtype=torch.float64).sort(descending=True).values
    assert torch.autograd.gradcheck(lambda numbers: warped(s, numbers), theta(cells).requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_is_the_identity_bit_for_bit_and_has_a_gradient(dtype):
    s = torch.rand(300, dtype=dtype).sort(descending=True).values
    s[-1] = 1e-20  # which a mean of it and its neighbour would lose
    numbers = torch.zeros(31, dtype=dtype, requires_grad=True)
    moved = warped(s, numbers)
    assert torch.equal(moved, s)
    (moved * torch.randn(300, dtype=dtype)).sum().backward()
    assert (numbers.grad.abs() > 1e-6).all()


def test_a_weight_with_one_singular_value_stays_as_it_is():
    assert warped(torch.ones(1), torch.randn(3)).item() == 1


@pytest.mark.parametrize("shape", [(9, 14), (14, 9)])
def test_output_and_merged_weight_are_those_of_the_dense_formula(shape):
    config = VectorFitConfig(cells=5, train_bias=False, target_modules=["lin"])
    model = peft.get_peft_model(one_linear(*shape), config)
    layer = model.base_model.model.lin
    layer.vectorfit_theta["default"].data = numbers = theta(5)
    U, s, Vh = np.linalg.svd(one_linear(*shape).lin.weight.detach().numpy())
    ranks = by_solver(9, field(9, numbers))
    weight = U[:, :9] @ np.diag(np.interp(ranks, np.arange(9), s)) @ Vh[:9]
    x = torch.randn(5, shape[1], dtype=torch.float64)
    np.testing.assert_allclose(model(x).detach(), x.numpy() @ weight.T, atol=1e-5)
    expected = model(x)
    torch.testing.assert_close(model.merge_and_unload()(x), expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells": 1}, "cells=1 is not an integer >= 2"),
        ({"cells": 2.5}, "cells=2.5 is not an integer >= 2"),
        ({"cells": 4, "multiplicative": True}, "multiplicative=True trains each .* leave cells=4 None"),
    ],
)
def test_a_wrong_choice_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        VectorFitConfig(**wrong)
