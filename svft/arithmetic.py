"""U M V^T applied to an input, and as a matrix.

Shapes: B batch (any leading dims), O out_features, I in_features, K directions, N = |Ω|. U is O x K, Vh is K x I,
m holds the N coefficients, index their flat positions i K + j in the K x K matrix M; index None is the diagonal, N = K.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dense_m(m: torch.Tensor, index: torch.Tensor | None, K: int) -> torch.Tensor:
    """M; coefficients on the same position add up."""
    if index is None:
        return torch.diag(m)
    return m.new_zeros(K * K).index_add(0, index, m).view(K, K)  # (K, K)


def apply_m(z: torch.Tensor, m: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """M z."""
    if index is None:
        return z * m  # (B, K)
    return F.linear(z, dense_m(m, index, z.shape[-1]).to(z.dtype))  # (B, K)


def apply_delta(
    x: torch.Tensor,
    U: torch.Tensor,
    Vh: torch.Tensor,
    m: torch.Tensor,
    index: torch.Tensor | None,
    tail: torch.Tensor | None,
) -> torch.Tensor:
    """U M V^T x, less the base weight in the last len(tail) directions, whose singular values tail holds."""
    z = F.linear(x, Vh)  # (B, K)
    if tail is None:
        y = apply_m(z, m, index)
    else:
        lead = len(Vh) - len(tail)
        y = torch.cat([apply_m(z[..., :lead], m, index), -tail * z[..., lead:]], dim=-1)
    return F.linear(y.to(U.dtype), U)  # (B, O)


def delta_weight(
    U: torch.Tensor, Vh: torch.Tensor, m: torch.Tensor, index: torch.Tensor | None, tail: torch.Tensor | None
) -> torch.Tensor:
    """The O x I matrix that `apply_delta` multiplies x with, in the dtype of m."""
    U, Vh = U.to(m.dtype), Vh.to(m.dtype)
    lead = len(Vh) if tail is None else len(Vh) - len(tail)
    scaled = U[:, :lead] * m if index is None else U[:, :lead] @ dense_m(m, index, lead)  # (O, lead)
    delta = scaled @ Vh[:lead]
    return delta if tail is None else delta - (U[:, lead:] * tail) @ Vh[lead:]
