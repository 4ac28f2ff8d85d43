"""W0 = U diag(s) V^T, thin, with signs fixed by a convention, so that one weight has one basis.

Shapes: W is O x I, K = min(O, I), L = max(O, I), U is O x K, s is K, Vh is K x I.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

SMALL = 256  # up to this K, LAPACK's own SVD is fast
HEAD = 0.03  # of the largest singular value: above it, the eigenvectors of a Gram matrix are good enough
BLOCK = 1024  # columns of a wide matrix that are worked on at once, for a whole one would have to be held twice


class Basis(NamedTuple):
    U: torch.Tensor
    s: torch.Tensor
    Vh: torch.Tensor

    def to(self, device: torch.device) -> Basis:
        return Basis(*(tensor.to(device) for tensor in self))


def decompose(weight: torch.Tensor) -> Basis:
    """SVD in float64 whatever the dtype of W; U and V^T come back in its dtype, s in at least float32.

    Above K = 256, 8 K (L + 6 K) bytes at most are needed beside W and the results.
    """
    device = weight.device if weight.device.type in ("cpu", "cuda") else torch.device("cpu")  # elsewhere: no float64
    tall = weight.shape[0] > weight.shape[1]
    B = weight.detach().T if tall else weight.detach()
    B = B.to(device, torch.float64, copy=True, memory_format=torch.contiguous_format)  # (K, L)
    largest = torch.linalg.vector_norm(B, math.inf).item()
    if not math.isfinite(largest):
        raise ValueError("the weight holds nan or inf, and has no singular value decomposition")
    if len(B) <= SMALL:
        U, s, Vh = torch.linalg.svd(B.T if tall else B, full_matrices=False)
    else:
        exponent = min(max(math.frexp(largest)[1], -1000), 1000)
        P, s = peel(B.mul_(math.ldexp(1.0, -exponent)))  # of entries about 1, whose squares stay in range
        s *= math.ldexp(1.0, exponent)
        U, Vh = (B.T, P.T) if tall else (P, B)
    U, Vh = canonical_signs(U, Vh)
    basis = Basis(
        row_major(U, basis_dtype(weight)), row_major(s, wide_dtype(weight)), row_major(Vh, basis_dtype(weight))
    )
    return basis.to(weight.device)


def peel(B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """B = P diag(s) V with P (K x K) and s; the K x L rows of B (K <= L, float64) turn into V.

    The eigenvectors of B B^T are P, and P^T B has the rows s_i v_i. Squaring costs digits: an error of eps s_1^2 in
    B B^T tilts v_i and v_j by eps s_1^2 / (s_i s_j) towards each other. So only pairs with s_i >= 0.03 s_1 are kept,
    tilted by about 1e-13. The other rows, rid of what they hold of the v_i kept, are a matrix with a smaller s_1 of its
    own, to which the same is done. Where only rounding errors of P^T B are left, s = 0 and random rows complete V.
    """
    K, done = len(B), 0
    P, s = torch.eye(K, dtype=B.dtype, device=B.device), B.new_zeros(K)
    rounding = torch.finfo(B.dtype).eps * math.sqrt(K) * torch.linalg.vector_norm(B).item()
    rank = K
    while done < K:
        kept, rest = B[:done], B[done:]
        if rank == K and torch.linalg.vector_norm(rest).item() <= rounding:
            rank = done
            rest.normal_(generator=torch.Generator(B.device).manual_seed(0))
            remove(rest, kept)
            remove(rest, kept)  # twice: what V lacks in orthogonality is much beside a row that was nearly all V
        norms = rotate(P[:, done:], rest)
        count = max(1, int((norms >= HEAD * norms[0]).sum()))  # at least one, so that it ends
        rest[:count] /= norms[:count, None]
        s[done : done + count] = norms[:count]
        done += count
        remove(B[done:], B[:done])
    s[rank:] = 0
    return P, s.sort(descending=True).values  # neighbours may be out of order by a rounding error


def rotate(P: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """In place P <- P R, B <- R^T B, with R the eigenvectors of B B^T, largest first; the norms of the new rows."""
    R = torch.linalg.eigh(lower_gram(B)).eigenvectors.flip(1)
    P.copy_(P @ R)
    for columns in B.split(BLOCK, dim=1):
        columns.copy_(R.T @ columns)
    return torch.linalg.vector_norm(B, dim=1)


def lower_gram(B: torch.Tensor) -> torch.Tensor:
    """B B^T on and below its diagonal, all that `eigh` reads; most of what is above it is not computed, and is zero."""
    gram = B.new_zeros(len(B), len(B))
    rows = -(-len(B) // 8)
    for start in range(0, len(B), rows):
        gram[start:, start : start + rows] = B[start:] @ B[start : start + rows].T
    return gram


def remove(B: torch.Tensor, V: torch.Tensor) -> None:
    """B <- B - B V^T V: the rows of B, rid of their parts along the orthonormal rows of V."""
    B.addmm_(B @ V.T, V, alpha=-1)


def canonical_signs(U: torch.Tensor, Vh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """U and V^T, turned in place: the entry of largest modulus of each u_i is positive, and v_i turns with u_i."""
    width = max(1, U.shape[1] * BLOCK // U.shape[0])  # as many numbers as BLOCK columns of V^T have
    largest = torch.cat([columns.abs().argmax(dim=0) for columns in U.split(width, dim=1)])
    sign = U.gather(0, largest[None]).sign().squeeze(0)  # (K,)
    return U.mul_(sign), Vh.mul_(sign[:, None])


def row_major(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Cast and laid out in one copy; none where there is nothing to do."""
    return tensor.to(dtype, memory_format=torch.contiguous_format).contiguous()


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
