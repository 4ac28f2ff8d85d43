"""U (diag(s) + M) V^T x in three orders, each with a backward pass that keeps nothing of a weight's size.

Shapes: T tokens, O out_features, I in_features, K directions, C = the leading directions that M couples, N = |Ω|.
U is O x K, Vh is K x I, s is K (None: M alone, and K = C), m holds the N coefficients of M, which `coupling` lays out.

    activations     U ((diag(s) + M) (V^T x))
    folded          U (((diag(s) + M) V^T) x), or (U (diag(s) + M)) (V^T x): whichever product is the smaller matrix
    materialised    (U (diag(s) + M) V^T) x, or (W0 + U M V^T) x

What is folded or materialised is built anew in the backward pass.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from .coupling import Coupling, coupling


def product(
    x: torch.Tensor,
    m: torch.Tensor,
    index: torch.Tensor | None,
    U: torch.Tensor,
    s: torch.Tensor | None,
    Vh: torch.Tensor,
    *,
    C: int,
    form: str,
    d: int | None = None,
    rows: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """U (diag(s) + M) V^T x, in the dtype of x; plus W0 x where a weight (O, I) is given, which materialises alone can.

    `index` are flat positions i C + j in M, None its diagonal, and known to be a band of d off-diagonals if d is given;
    with `rows` and `columns` (C,) M stands for diag(rows) M diag(columns).
    U, V^T and W0 may have another dtype than x and get no gradient; x and m (fp32 or wider) do. Products are taken in
    the dtype of x; s is applied, and the gradient of m summed, in the dtype of m.
    """
    if form == "materialised":
        return _Materialised.apply(x, m, index, U, s, Vh, rows, columns, C, d, weight)
    return {"activations": _Activations, "folded": _Folded}[form].apply(x, m, index, U, s, Vh, rows, columns, C, d)


def delta_weight(
    U: torch.Tensor, Vh: torch.Tensor, m: torch.Tensor, index: torch.Tensor | None, tail: torch.Tensor | None = None
) -> torch.Tensor:
    """U M V^T in the dtype of m, (O, I), less the base weight in the last len(tail) directions, of these values."""
    U, Vh = U.to(m.dtype), Vh.to(m.dtype)
    C = len(Vh) if tail is None else len(Vh) - len(tail)
    delta = coupling(C, index).times(U[:, :C], m, transposed=True) @ Vh[:C]
    return delta if tail is None else delta - (U[:, C:] * tail) @ Vh[C:]


class _Activations(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, m, index, U, s, Vh, rows, columns, C, d):
        M, h = coupling(C, index, d, rows, columns), F.linear(_flat(x), _as(Vh, x))  # (T, K)
        ctx.shape, ctx.C, ctx.d = x.shape, C, d
        ctx.save_for_backward(h, m, index, U, s, Vh, rows, columns)
        return _shaped(F.linear(M.times(h, m, s), _as(U, x)), x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        h, m, index, U, s, Vh, rows, columns = ctx.saved_tensors
        M, g = coupling(ctx.C, index, ctx.d, rows, columns), _flat(dy) @ _as(U, h)  # (T, K)
        dx = dm = None
        if ctx.needs_input_grad[1]:
            dm = M.gradient(g, h, m)
        if ctx.needs_input_grad[0]:
            dx = _shaped(M.times(g, m, s, transposed=True) @ _as(Vh, h), ctx.shape)
        return dx, dm, *8 * (None,)


class _Folded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, m, index, U, s, Vh, rows, columns, C, d):
        M, flat = coupling(C, index, d, rows, columns), _flat(x)
        ctx.shape, ctx.C, ctx.d = x.shape, C, d
        if _is_tall(U, Vh):
            kept, y = flat, F.linear(F.linear(flat, _right(M, m, s, Vh, x.dtype)), _as(U, x))
        else:
            kept = F.linear(flat, _as(Vh, x))  # (T, K)
            y = F.linear(kept, _left(M, m, s, U, x.dtype))
        ctx.save_for_backward(kept, m, index, U, s, Vh, rows, columns)
        return _shaped(y, x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        kept, m, index, U, s, Vh, rows, columns = ctx.saved_tensors
        M, dy, dx, dm = coupling(ctx.C, index, ctx.d, rows, columns), _flat(dy), None, None
        if _is_tall(U, Vh):
            g = dy @ _as(U, dy)  # (T, K)
            if ctx.needs_input_grad[1]:
                dm = M.gradient(kept.T @ g[:, : M.C], _as(Vh, dy).T, m)
            if ctx.needs_input_grad[0]:
                dx = g @ _right(M, m, s, Vh, dy.dtype)
        else:
            if ctx.needs_input_grad[1]:
                dm = M.gradient(_as(U, dy), dy.T @ kept[:, : M.C], m)
            if ctx.needs_input_grad[0]:
                dx = (dy @ _left(M, m, s, U, dy.dtype)) @ _as(Vh, dy)
        return dx if dx is None else _shaped(dx, ctx.shape), dm, *8 * (None,)


class _Materialised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, m, index, U, s, Vh, rows, columns, C, d, weight):
        flat = _flat(x)
        ctx.shape, ctx.C, ctx.d = x.shape, C, d
        ctx.save_for_backward(flat, m, index, U, s, Vh, rows, columns, weight)
        return _shaped(
            F.linear(flat, _dense(coupling(C, index, d, rows, columns), m, U, s, Vh, weight, x.dtype)), x.shape
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        x, m, index, U, s, Vh, rows, columns, weight = ctx.saved_tensors
        M, dy, dx, dm = coupling(ctx.C, index, ctx.d, rows, columns), _flat(dy), None, None
        if ctx.needs_input_grad[0]:
            dx = _shaped(dy @ _dense(M, m, U, s, Vh, weight, dy.dtype), ctx.shape)
        if ctx.needs_input_grad[1]:
            dW, U, Vh = dy.T @ x, _as(U[:, : M.C], dy), _as(Vh[: M.C], dy)
            dm = M.gradient(dW.T @ U, Vh.T, m) if _is_tall(U, Vh) else M.gradient(U, F.linear(dW, Vh), m)
        return dx, dm, *9 * (None,)


def _is_tall(U: torch.Tensor, Vh: torch.Tensor) -> bool:
    """Whether V^T is the smaller factor, which M goes into."""
    return len(U) >= Vh.shape[1]


def _right(M: Coupling, m, s, Vh: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(diag(s) + M) V^T, (K, I)."""
    return M.times(Vh.T.to(dtype), m, s).T


def _left(M: Coupling, m, s, U: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """U (diag(s) + M), (O, K)."""
    return M.times(U.to(dtype), m, s, transposed=True)


def _dense(M: Coupling, m, U, s, Vh, weight, dtype: torch.dtype) -> torch.Tensor:
    """[W0 +] U (diag(s) + M) V^T, (O, I)."""
    if _is_tall(U, Vh):
        left, right = U.to(dtype), _right(M, m, s, Vh, dtype)
    else:
        left, right = _left(M, m, s, U, dtype), Vh.to(dtype)
    return left @ right if weight is None else torch.addmm(weight.to(dtype), left, right)


def _as(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return tensor.to(like.dtype)


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.shape[-1])  # (T, features)


def _shaped(y: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """y (T, features) with the leading dims of shape; the last is that of y."""
    return y.view(*shape[:-1], y.shape[-1])
