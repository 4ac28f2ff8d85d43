"""One thin SVD for any weight: as exact as LAPACK's on every spectrum, with less memory."""

import json
import math

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from svft.decomposition import decompose

SHAPES = {"wide": (300, 420), "tall": (420, 300), "square": (300, 300)}
K = 300


def draw(*shape: int) -> torch.Tensor:
    """Standard normal, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def with_spectrum(s: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    U, V = torch.linalg.qr(draw(rows, len(s))).Q, torch.linalg.qr(draw(columns, len(s) + 1)[:, 1:]).Q
    return U * s @ V.T


def outlier() -> torch.Tensor:
    s = torch.linspace(1e-3, 1e-2, K, dtype=torch.float64).flip(0)
    s[0] = 1
    return s


def zero_rows(rows: int, columns: int) -> torch.Tensor:
    W = draw(rows, columns)
    W[50:150] = 0
    W[:, 20:40] = 0
    return W


def one_entry(rows: int, columns: int) -> torch.Tensor:
    W = torch.zeros(rows, columns, dtype=torch.float64)
    W[7, 9] = -3
    return W


def decaying(digits: int):
    return lambda rows, columns: with_spectrum(torch.logspace(0, -digits, K, dtype=torch.float64), rows, columns)


WEIGHTS = {
    "gaussian": draw,
    "decays to 1e-4": decaying(4),
    "decays to 1e-8": decaying(8),
    "decays to 1e-12": decaying(12),
    "decays to 1e-20": decaying(20),
    "one outlier": lambda rows, columns: with_spectrum(outlier(), rows, columns),
    "three repeated values": lambda rows, columns: with_spectrum(
        torch.tensor([1.0, 1e-3, 1e-9], dtype=torch.float64).repeat_interleave(K // 3), rows, columns
    ),
    "orthogonal": lambda rows, columns: with_spectrum(torch.ones(K, dtype=torch.float64), rows, columns),
    "half rank": lambda rows, columns: draw(rows, K // 2) @ draw(K // 2, columns),
    "rank one less": lambda rows, columns: draw(rows, K - 1) @ draw(K - 1, columns),
    "rank one": lambda rows, columns: draw(rows, 1) @ draw(1, columns),
    "zero rows and columns": zero_rows,
    "one entry": one_entry,
    "zero": lambda rows, columns: torch.zeros(rows, columns, dtype=torch.float64),
    "identity": lambda rows, columns: torch.eye(rows, columns, dtype=torch.float64),
    "huge": lambda rows, columns: 1e30 * draw(rows, columns),
    "tiny": lambda rows, columns: 1e-30 * draw(rows, columns),
    "beyond the squares of float64": lambda rows, columns: 1e200 * draw(rows, columns),
    "near the smallest float64": lambda rows, columns: 1e-300 * draw(rows, columns),
    "near the largest float64": lambda rows, columns: 1e308 * torch.eye(rows, columns, dtype=torch.float64),
}  # fmt: skip


def orthonormality(columns: torch.Tensor) -> float:
    gram = columns.double().T @ columns.double()
    return float((gram - torch.eye(len(gram), dtype=torch.float64)).abs().max())


def assert_svd(W: torch.Tensor, tolerance: float) -> None:
    """Of W / scale, which LAPACK and the norms below hold in float64 whatever the scale is."""
    U, s, Vh = decompose(W)
    k = min(W.shape)
    assert (U.shape, s.shape, Vh.shape) == ((W.shape[0], k), (k,), (k, W.shape[1]))
    scale = float(W.abs().max()) or 1.0
    exact = np.linalg.svd(W.double().numpy() / scale, compute_uv=False)
    s = s.double() / scale
    assert orthonormality(U) <= tolerance
    assert orthonormality(Vh.T) <= tolerance
    np.testing.assert_allclose(s, exact, rtol=0, atol=tolerance * exact[0])
    assert (s[:-1] >= s[1:]).all() and s[-1] >= 0
    error = W.double() / scale - U.double() * s @ Vh.double()
    assert error.norm() <= tolerance * (W.double() / scale).norm()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_every_spectrum_is_decomposed_to_twelve_digits(kind, shape):
    assert_svd(WEIGHTS[kind](*SHAPES[shape]), 1e-12)


def test_what_completes_the_basis_is_orthogonal_to_the_rest_to_the_last_digits():
    Vh = decompose(WEIGHTS["rank one less"](K, K)).Vh
    assert (Vh[:-1] @ Vh[-1]).abs().max() <= 1e-14


@pytest.mark.parametrize("shape", [(512, 4096), (2100, 300), (257, 257)])
def test_gaussian_weights_of_every_aspect_ratio_are_decomposed_to_twelve_digits(shape):
    assert_svd(draw(*shape), 1e-12)


@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (1, 1), (256, 300)])
def test_narrow_weights_are_decomposed_to_twelve_digits(shape):
    assert_svd(draw(*shape), 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 5e-3), (torch.bfloat16, 4e-2)])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_other_dtypes_lose_no_more_than_their_rounding(shape, dtype, tolerance):
    W = draw(*shape).to(dtype)
    assert_svd(W, tolerance)
    basis = decompose(W)
    assert (basis.U.dtype, basis.s.dtype, basis.Vh.dtype) == (dtype, torch.float32, dtype)
    for mine, exact in zip(basis, decompose(W.double()), strict=True):
        assert torch.equal(mine, exact.to(mine.dtype))
        assert mine.is_contiguous() and not mine.requires_grad


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_singular_vectors_are_those_of_lapack_with_the_largest_entry_of_u_positive(shape):
    W = with_spectrum(torch.linspace(2, 1, K, dtype=torch.float64), *shape)
    U, _, Vh = np.linalg.svd(W.numpy(), full_matrices=False)
    sign = np.sign(U[np.abs(U).argmax(axis=0), np.arange(K)])
    basis = decompose(W)
    np.testing.assert_allclose(basis.U, U * sign, rtol=0, atol=1e-10)
    np.testing.assert_allclose(basis.Vh, Vh * sign[:, None], rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(256, 400), (400, 256), (64, 64), (1, 40), (40, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_up_to_256_it_is_lapack_to_the_last_bit(shape, dtype):
    W = draw(*shape).to(dtype)
    U, s, Vh = torch.linalg.svd(W.double(), full_matrices=False)
    sign = U[U.abs().argmax(dim=0), torch.arange(len(s))].sign()
    basis = decompose(W)
    assert torch.equal(basis.U, (U * sign).to(dtype))
    assert torch.equal(basis.s, s.to(basis.s.dtype))
    assert torch.equal(basis.Vh, (Vh * sign[:, None]).to(dtype))


@pytest.mark.parametrize("shape", [(300, 420), (420, 300), (20, 30)])
def test_the_weight_and_the_global_generator_stay_as_they_are(shape):
    W = torch.nn.Parameter(draw(shape[0], 3) @ draw(3, shape[1]))
    before, state = W.detach().clone(), torch.get_rng_state()
    first, second = decompose(W), decompose(W.detach().T.contiguous().T)
    assert torch.equal(W, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", [(300, 420), (20, 30)])
def test_a_weight_that_is_not_finite_is_refused(shape, value):
    W = draw(*shape)
    W[3, 4] = value
    with pytest.raises(ValueError, match="nan or inf"):
        decompose(W)


def peak_bytes(W: torch.Tensor, file) -> int:
    """The most that torch's allocator has handed out at once during `decompose`, LAPACK's workspaces included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        decompose(W)
    profiler.export_chrome_trace(str(file))
    events = [event for event in json.loads(file.read_text())["traceEvents"] if event["name"] == "[memory]"]
    steps = [event["args"]["Bytes"] for event in sorted(events, key=lambda event: event["ts"])]
    return int(np.cumsum(steps).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(300, 6000), (6000, 300), (600, 600)])
def test_memory_is_what_the_docstring_says(shape, dtype, tmp_path):
    W = draw(*shape).to(dtype)
    k, longer = min(shape), max(shape)
    results = sum(tensor.nbytes for tensor in decompose(W))
    peak = peak_bytes(W, tmp_path / "trace.json")
    assert peak >= 8 * k * longer + 8 * k * k  # the counter counts
    assert peak <= 8 * k * (longer + 6 * k) + results
