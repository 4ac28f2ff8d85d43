"""SVFT's formula in one screen: dense matrices in float64. The tests judge the tuner by it.

    W0 = U Sigma V^T                               the thin SVD of the frozen weight
    dW = U M V^T = sum over Ω of m_ij u_i v_j^T    the update; M is trained on the pattern Ω and zero elsewhere
    h  = (W0 + dW) x = U (Sigma + M) V^T x         Lingam et al. 2024, Eq. 1; arXiv:2405.19597

Shapes: W0 is O x I, K = min(O, I), U is O x K, s = diag(Sigma) is K, Vh = V^T is K x I, M is K x K, m is N = |Ω|.
Everything can be differentiated in m. It forms whole matrices and is slow; the tuner computes the same with
`svft.arithmetic`.
"""

from __future__ import annotations

import torch

from .decomposition import Basis


def decomposed(W0: torch.Tensor, like: torch.Tensor | None = None) -> Basis:
    """W0 = U diag(s) V^T. An SVD leaves the sign of each pair (u_i, v_i) open: `like` (O, K) gives that of each u_i."""
    U, s, Vh = torch.linalg.svd(W0.double(), full_matrices=False)
    sign = torch.ones_like(s) if like is None else (U * like.double()).sum(dim=0).sign()  # (K,)
    return Basis(U * sign, s, sign[:, None] * Vh)


def truncated(basis: Basis, rank: int) -> Basis:
    """W0 without its other singular values, as the released code has it where it is given a rank."""
    U, s, Vh = basis
    return Basis(U, torch.where(torch.arange(len(s)) < rank, s, 0), Vh)


def omega(
    pattern: str, U: torch.Tensor, Vh: torch.Tensor, d: int = 0, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Ω of section 3.1 as flat positions i K + j, row by row: as many as |i - j| <= d has, (N,).

    plain: i = j. banded: |i - j| <= d. random: drawn without repetition. topk: the largest |u_i . v_j|, for square W0.
    """
    K = len(Vh)
    distance = (torch.arange(K)[:, None] - torch.arange(K)).abs()  # |i - j|
    if pattern == "random":
        score = torch.rand(K, K, generator=generator)
    elif pattern == "topk":
        score = (U.double().T @ Vh.double().T).abs()
    else:
        score = -distance
    return score.flatten().topk(int((distance <= d).sum())).indices.sort().values


def matrix(m: torch.Tensor, omega: torch.Tensor, C: int, K: int) -> torch.Tensor:
    """M (K, K) with m on Ω, flat positions in its leading C x C; coefficients on one position add up."""
    return m.new_zeros(K, K).index_put((omega // C, omega % C), m, accumulate=True)


def weight(basis: Basis, M: torch.Tensor) -> torch.Tensor:
    """W = U (Sigma + M) V^T, (O, I)."""
    U, s, Vh = basis
    return U @ (torch.diag(s) + M) @ Vh


def delta_weight(basis: Basis, M: torch.Tensor) -> torch.Tensor:
    """dW = U M V^T, (O, I)."""
    return basis.U @ M @ basis.Vh
