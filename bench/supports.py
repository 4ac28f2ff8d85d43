"""Which entries of M are trained, and how much of an update each choice can express, without training any.

C = U^T (W - W0) V of a weight that was trained without a limit is the M that would make the same update within the
singular basis of W0. A support Ω of N entries catches at most sum_Ω C_ij^2 of its energy ||C||^2.

Shapes: W0 (O, I), K = min(O, I), U (O, K), Vh (K, I), C (K, K), N = |Ω|.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt

import torch

from svft import patterns
from svft.decomposition import Basis, decompose
from svft.decomposition.streams import stream_of

BUDGETS = (0, 1, 2, 4, 8, 16)  # d; N = K (2d+1) - d (d+1), of all supports alike; a block is the largest within it


@dataclass(frozen=True)
class Layer:
    """name, seed: what a random support is drawn by.  squares: (K, K), of the gradient by M, mean over batches."""

    name: str
    seed: int
    basis: Basis
    energy: torch.Tensor  # (K, K): C^2
    squares: torch.Tensor

    @property
    def K(self) -> int:
        return len(self.energy)


def _alignment(layer: Layer, d: int, N: int) -> torch.Tensor | None:
    """None where W0 is not square: |u_i . v_j| is not defined then."""
    U, _, Vh = layer.basis
    return patterns.topk(patterns.alignment(U, Vh), N) if U.shape == Vh.shape else None


def _block(layer: Layer, d: int, N: int) -> torch.Tensor:
    places = torch.arange(isqrt(N))
    return (places[:, None] * layer.K + places).flatten()


# By name, in the order of tables: (layer, d, N) -> flat positions, at most N of the K x K.
SUPPORTS: Mapping[str, Callable[[Layer, int, int], torch.Tensor | None]] = {
    "banded": lambda layer, d, N: patterns.banded(layer.K, d),
    "random": lambda layer, d, N: patterns.random(layer.K, N, stream_of(layer.seed, layer.name), replacement=False),
    "topk": _alignment,
    "block": _block,
    "gradient": lambda layer, d, N: patterns.topk(layer.squares, N),
    "oracle": lambda layer, d, N: patterns.topk(layer.energy, N),
}


def basis_of(weight: torch.Tensor) -> Basis:
    """Of W0, in float64 whatever it is stored in."""
    return decompose(weight.double())


def within(basis: Basis, matrix: torch.Tensor) -> torch.Tensor:
    """U^T A V, (K, K), of A (O, I)."""
    return basis.U.T @ matrix.double() @ basis.Vh.T


def shares(layer: Layer) -> dict[str, list[float | None]]:
    """Of the energy of C, by support and budget."""
    total, energy = layer.energy.sum(), layer.energy.flatten()
    found: dict[str, list[float | None]] = {}
    for name, choose in SUPPORTS.items():
        found[name] = []
        for d in BUDGETS:
            positions = choose(layer, min(d, layer.K - 1), budget(layer.K, d))
            found[name].append(None if positions is None else (energy[positions.long()].sum() / total).item())
    return found


def budget(K: int, d: int) -> int:
    """N."""
    return patterns.num_coefficients(K, min(d, K - 1))
