"""W0 = U diag(s) V^T, thin, with signs fixed by a convention, so that one weight has one basis.

Shapes: W is O x I, K = min(O, I), U is O x K, s is K, Vh is K x I.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Basis(NamedTuple):
    U: torch.Tensor
    s: torch.Tensor
    Vh: torch.Tensor

    def to(self, device: torch.device) -> Basis:
        return Basis(*(tensor.to(device) for tensor in self))


def decompose(weight: torch.Tensor) -> Basis:
    """SVD in float64 whatever the dtype of W; U and V^T come back in its dtype, s in at least float32."""
    device = weight.device if weight.device.type in ("cpu", "cuda") else torch.device("cpu")  # elsewhere: no float64
    W = weight.detach().to(device).to(torch.float64)
    if not torch.isfinite(W).all():
        raise ValueError("the weight holds nan or inf, and has no singular value decomposition")
    U, s, Vh = torch.linalg.svd(W, full_matrices=False)
    U, Vh = canonical_signs(U, Vh)
    basis = Basis(U.to(basis_dtype(weight)), s.to(wide_dtype(weight)), Vh.to(basis_dtype(weight)))
    return Basis(*(tensor.contiguous() for tensor in basis)).to(weight.device)


def canonical_signs(U: torch.Tensor, Vh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The entry of largest modulus of each u_i is positive; v_i turns with u_i, which leaves U diag(s) V^T as it is."""
    largest = U.abs().argmax(dim=0, keepdim=True)
    sign = U.gather(0, largest).sign().squeeze(0)  # (K,)
    return U * sign, Vh * sign[:, None]


def placeholder(weight: torch.Tensor) -> Basis:
    """The basis of a weight on the meta device: shapes and dtypes, no values."""
    K, dtype = min(weight.shape), basis_dtype(weight)
    return Basis(
        torch.empty(weight.shape[0], K, dtype=dtype, device="meta"),
        torch.empty(K, dtype=wide_dtype(weight), device="meta"),
        torch.empty(K, weight.shape[1], dtype=dtype, device="meta"),
    )


def basis_dtype(weight: torch.Tensor) -> torch.dtype:
    """That of the weight, but no 8-bit float."""
    return weight.dtype if weight.dtype.itemsize >= 2 else torch.bfloat16


def wide_dtype(weight: torch.Tensor) -> torch.dtype:
    """For singular values, coefficients and merging."""
    return torch.float64 if weight.dtype == torch.float64 else torch.float32
