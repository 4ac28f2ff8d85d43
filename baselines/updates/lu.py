"""The first steps of an LU decomposition with row pivoting, W = P L D U, with L and U of unit diagonal.

As an SVD's in a `Basis`: U of it is P L_r (O x r), s is D_r, and Vh is U_r (r x I). Neither is orthogonal, and no signs
are free. Where two entries are of nearly one size, another one may be the pivot elsewhere.
"""

from __future__ import annotations

import torch

from svft.decomposition import Basis, wide_dtype


def ldu(weight: torch.Tensor, r: int | None) -> Basis:
    """In float64, and then fp32 (fp64 of an fp64 weight); r is at most min(O, I), None is all of them.

    The first r columns of W give P L_r and D_r of the whole decomposition, and U_r with the pivoted rows of W. Raises
    ValueError where there is no such decomposition.
    """
    K, dtype = min(weight.shape), wide_dtype(weight)
    r = K if r is None else r
    if r > K:
        raise ValueError(f"pivots={r} is more than the {K} pivots that it has")
    if weight.is_meta:
        O, I = weight.shape  # noqa: E741
        return Basis(*(torch.empty(size, dtype=dtype, device="meta") for size in ((O, r), (r,), (r, I))))
    device = weight.device if weight.device.type in ("cpu", "cuda") else torch.device("cpu")  # elsewhere: no float64
    W = weight.detach().to(device, torch.float64)
    factored, swaps = torch.linalg.lu_factor(W[:, :r])  # (O, r), (r,)
    rows = pivoted(swaps.tolist(), len(W)).to(device)  # W[rows] is L D U
    L = factored.tril(-1) + torch.eye(len(W), r, dtype=W.dtype, device=device)
    U = torch.linalg.solve_triangular(L[:r], W[rows[:r]], upper=False, unitriangular=True)  # (r, I), D U
    D = U.diagonal().clone()
    rounding = torch.finfo(W.dtype).eps * max(W.shape) * W.abs().max()
    if not (D.abs() > rounding).all():  # nan is not, either
        raise ValueError(f"it has no {r} pivots that are not 0 (or holds nan or inf); leave the layer out")
    PL = torch.empty_like(L)
    PL[rows] = L
    return Basis(*(each.to(weight.device, dtype) for each in (PL, D, U / D[:, None])))


def pivoted(swaps: list[int], size: int) -> torch.Tensor:
    """The order of rows after LAPACK's swaps, which count from 1."""
    rows = list(range(size))
    for i, other in enumerate(swaps):
        rows[i], rows[other - 1] = rows[other - 1], rows[i]
    return torch.tensor(rows)
