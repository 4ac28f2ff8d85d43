"""The sparsity pattern Ω of M: which m_ij are trained (Lingam et al. 2024, section 3.1; arXiv:2405.19597).

Shapes: U is O x K, Vh is K x I, M is K x K, N = |Ω|. Ω is a vector of N flat row-major positions i K + j.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch

from .decomposition.streams import generator

PATTERNS = ("plain", "banded", "random", "topk", "block", "gradient")


def num_coefficients(K: int, d: int) -> int:
    """N of all patterns but block (of plain d = 0): as many as a band with d diagonals on each side."""
    return K * (2 * d + 1) - d * (d + 1)


def block_width(K: int, d: int) -> int:
    """b of the largest b x b block with no more coefficients than a band with d diagonals on each side."""
    return math.isqrt(num_coefficients(K, d))


def index_dtype(K: int) -> torch.dtype:
    return torch.int32 if torch.iinfo(torch.int32).max >= K * K else torch.int64


def banded(K: int, d: int) -> torch.Tensor:
    """M_ij = 0 where |i - j| > d."""
    i = np.arange(K)[:, None]
    j = i + np.arange(-d, d + 1)  # (K, 2d+1)
    return torch.from_numpy((i * K + j)[(j >= 0) & (j < K)]).to(index_dtype(K))  # (N,)


def random(K: int, N: int, stream: int, replacement: bool) -> torch.Tensor:
    """N positions drawn uniformly from the K x K, the diagonal not favoured, in ascending order."""
    rng = generator(stream, "pattern")
    positions = np.sort(rng.randint(0, K * K, N, dtype=np.int64)) if replacement else _distinct(rng, K * K, N)
    return torch.from_numpy(positions).to(index_dtype(K))


def _distinct(rng: np.random.RandomState, high: int, size: int) -> np.ndarray:
    """`size` numbers below `high`, ascending; what repeats is drawn anew, so that all subsets are equally likely."""
    chosen = np.empty(0, dtype=np.int64)
    while chosen.size < size:
        drawn = rng.randint(0, high, size - chosen.size, dtype=np.int64)
        chosen = np.sort(np.concatenate([chosen, drawn]))
        chosen = chosen[np.diff(chosen, prepend=-1) > 0]
    return chosen


def topk(score: torch.Tensor, N: int) -> torch.Tensor:
    """Positions of the N largest entries of a K x K score, in ascending order."""
    positions = torch.topk(score.flatten(), N, sorted=False).indices
    return positions.sort().values.to(index_dtype(len(score)))


def alignment(U: torch.Tensor, Vh: torch.Tensor) -> torch.Tensor:
    """|u_i . v_j|, for a square W: u_i and v_j need one length."""
    return (U.double().T @ Vh.double().T).abs()  # (K, K)


def released_score(U: torch.Tensor, Vh: torch.Tensor) -> torch.Tensor:
    """The released code's, signed: row i of U times v_j, not u_i . v_j; entries of U or V^T if W is rectangular."""
    if U.shape == Vh.shape:
        return U.double() @ Vh.double().T
    return U if U.shape[0] == U.shape[1] else Vh


def checksum(index: torch.Tensor) -> int:
    digest = hashlib.sha256(index.cpu().to(torch.int64).numpy().tobytes()).digest()
    return int.from_bytes(digest[:7], "little")
