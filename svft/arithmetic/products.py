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
from .sparse import Order


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
    order: Order | None = None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    around: torch.Tensor | None = None,
    residual: bool = False,
) -> torch.Tensor:
    """U (diag(s) + M) V^T x, in the dtype of x.

    `index` are flat positions i C + j in M, None its diagonal, and known to be a band of d off-diagonals if d is given;
    with an `order` (of sparse.py) M is not laid out. With `rows` and `columns` (C,) M stands for
    diag(rows) M diag(columns).

    With a weight W0 (O, I) it is (W0 + U M V^T) x. With `around` = (s,) besides, of W0 = U diag(s) V^T, the gradient of
    x is taken from the factors, V (diag(s) + M^T) U^T dy. With `residual` it is x + U M V^T x. A bias is added, but
    with `residual` taken off before: x + U M V^T (x - bias), of which no other form than activations knows.
    U, V^T, W0 and bias get no gradient; x and m (fp32 or wider) do. Products are taken in the dtype of x, which U and
    V^T need not have; s is applied, and the gradient of m summed, in the dtype of m.
    """
    settings = rows, columns, order, weight, bias, around, C, d, residual
    return FORMS[form].apply(x, m, index, U, s, Vh, *settings)


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
    def forward(ctx: Any, x, m, index, U, s, Vh, rows, columns, order, weight, bias, around, C, d, residual):
        M, flat = coupling(C, index, d, rows, columns, order), _flat(x)
        h = _onto(M, flat, _as(Vh, x), residual and bias)  # (T, K)
        ctx.shape, ctx.C, ctx.d, ctx.order, ctx.residual = x.shape, C, d, order, residual
        ctx.save_for_backward(h, m, index, U, s, Vh, rows, columns, weight, around)
        return _shaped(_sum(M.times(h, m, s), _as(U, x).T, flat, weight, bias, residual), x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        h, m, index, U, s, Vh, rows, columns, weight, around = ctx.saved_tensors
        M, dy = coupling(ctx.C, index, ctx.d, rows, columns, ctx.order), _flat(dy)
        g = _onto(M, dy, _as(U, h).T)  # (T, K)
        dx = dm = None
        if ctx.needs_input_grad[1]:
            dm = M.gradient(g, h, m)
        if ctx.needs_input_grad[0]:
            z = M.times(g, m, s if around is None else around, transposed=True)
            dx = _shaped(_back(z, _as(Vh, h), dy, weight, around, ctx.residual), ctx.shape)
        return dx, dm, *13 * (None,)


class _Folded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, m, index, U, s, Vh, rows, columns, order, weight, bias, around, C, d, residual):
        M, flat = coupling(C, index, d, rows, columns, order), _flat(x)
        ctx.shape, ctx.C, ctx.d, ctx.order, ctx.residual = x.shape, C, d, order, residual
        if _is_tall(U, Vh):
            kept, z, last = flat, F.linear(flat, _right(M, m, s, Vh, x.dtype)), _as(U, x)
        else:
            kept = z = F.linear(flat, _as(Vh, x))  # (T, K)
            last = _left(M, m, s, U, x.dtype)
        ctx.save_for_backward(kept, m, index, U, s, Vh, rows, columns, weight, around)
        return _shaped(_sum(z, last.T, flat, weight, bias, residual), x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        kept, m, index, U, s, Vh, rows, columns, weight, around = ctx.saved_tensors
        M, dy, dx, dm = coupling(ctx.C, index, ctx.d, rows, columns, ctx.order), _flat(dy), None, None
        diagonal = s if around is None else around
        if _is_tall(U, Vh):
            g = dy @ _as(U, dy)  # (T, K)
            if ctx.needs_input_grad[1]:
                dm = M.gradient(_onto(M, kept.T, g[:, : M.C].T), _as(Vh, dy).T, m)
            if ctx.needs_input_grad[0]:
                dx = _back(g, _right(M, m, diagonal, Vh, dy.dtype), dy, weight, around, ctx.residual)
        else:
            if ctx.needs_input_grad[1]:
                dm = M.gradient(_as(U, dy), dy.T @ kept[:, : M.C], m)
            if ctx.needs_input_grad[0]:
                z = dy @ _left(M, m, diagonal, U, dy.dtype)
                dx = _back(z, _as(Vh, dy), dy, weight, around, ctx.residual)
        return dx if dx is None else _shaped(dx, ctx.shape), dm, *13 * (None,)


class _Materialised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, m, index, U, s, Vh, rows, columns, order, weight, bias, around, C, d, residual):
        flat, M = _flat(x), coupling(C, index, d, rows, columns, order)
        ctx.shape, ctx.C, ctx.d, ctx.order, ctx.residual = x.shape, C, d, order, residual
        ctx.save_for_backward(flat, m, index, U, s, Vh, rows, columns, weight)
        W = _dense(M, m, U, s, Vh, weight, x.dtype)  # (O, I)
        return _shaped(_sum(flat, W.T, flat, None, bias, residual), x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        x, m, index, U, s, Vh, rows, columns, weight = ctx.saved_tensors
        M, dy, dx, dm = coupling(ctx.C, index, ctx.d, rows, columns, ctx.order), _flat(dy), None, None
        if ctx.needs_input_grad[0]:
            W = _dense(M, m, U, s, Vh, weight, dy.dtype)
            dx = _shaped(_back(dy, W, dy, None, None, ctx.residual), ctx.shape)
        if ctx.needs_input_grad[1]:
            dW, U, Vh = dy.T @ x, _as(U[:, : M.C], dy), _as(Vh[: M.C], dy)
            g, h = (_onto(M, dW.T, U.T), Vh.T) if _is_tall(U, Vh) else (U, _onto(M, dW, Vh))
            dm = M.gradient(g, h, m)
        return dx, dm, *13 * (None,)


FORMS = {"activations": _Activations, "folded": _Folded, "materialised": _Materialised}


def _onto(M: Coupling, x: torch.Tensor, rows: torch.Tensor, less: torch.Tensor | None = None) -> torch.Tensor:
    """(x - less) times the transpose of `rows` (K, features); (T, K), laid out as M wants it."""
    offset = None if less is None or less is False else rows @ less.neg()  # (K,)
    if not M.by_direction:
        return F.linear(x, rows, offset)
    return (rows @ x.T if offset is None else torch.addmm(offset[:, None], rows, x.T)).T


def _sum(z: torch.Tensor, last: torch.Tensor, x, weight, bias, residual: bool) -> torch.Tensor:
    """z (T, K) times `last` (K, O), plus x or W0 x, plus the bias, in the memory of one (T, O)."""
    if residual:
        return torch.addmm(x, z, last)
    if weight is None:
        return F.linear(z, last.T, bias)
    y = F.linear(x, weight, bias)
    return torch.addmm(y, z, last, out=y)


def _back(z: torch.Tensor, first: torch.Tensor, dy, weight, around, residual: bool) -> torch.Tensor:
    """The gradient of x: z (T, K) times `first` (K, I), plus that through x or W0."""
    if residual:
        return torch.addmm(dy, z, first)
    if weight is None or around is not None:
        return z @ first
    dx = dy @ weight
    return torch.addmm(dx, z, first, out=dx)


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
