"""M on its pattern Ω: what it makes of vectors, and the gradient of its coefficients.

Shapes: T vectors, K directions, C <= K = the leading directions that M couples, N = |Ω|, d off-diagonals on each side.
Vectors are the rows of h and g (T, K). m holds the N coefficients of M, which is C x C; s (K,) adds diag(s) to it.
With `rows` and `columns` (C,), M stands for diag(rows) M diag(columns).

The same two operations build matrices. M V^T is `times` of the rows of V (I, K), transposed back. U M is `times` of the
rows of U (O, K) with transposed=True. The gradient of m through either matrix is `gradient` of the same rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
import torch.nn.functional as F

from . import sparse

Product = tuple[int, int, int]  # rows, inner, columns of a dense product
BLOCK = 128  # rows of M in one of the dense products that a band is cut into


@dataclass(frozen=True)
class Coupling(ABC):
    """`by_direction`: vectors are best laid out (K, T), so that h and g are transposed views of that."""

    by_direction: ClassVar[bool] = False
    C: int
    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None

    @abstractmethod
    def times(
        self, h: torch.Tensor, m: torch.Tensor, s: torch.Tensor | None = None, transposed: bool = False
    ) -> torch.Tensor:
        """(diag(s) + M) h, or (diag(s) + M)^T h, in the dtype of h; (T, K), or (T, C) without s, where h is too.

        Products are taken in the dtype of h, s is applied in that of m.
        """

    @abstractmethod
    def gradient(self, g: torch.Tensor, h: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        """g^T h on Ω, in the dtype of m, (N,)."""

    @abstractmethod
    def products(self, T: int) -> list[Product]:
        """The dense products of `times`, and of `gradient` alike, up to the order of the three sizes."""

    def entries(self, T: int) -> int:
        """The multiply-adds of `times`, and of `gradient` alike, that are no dense product's."""
        return 0

    def _takes_in(self, s: torch.Tensor | None, h: torch.Tensor) -> bool:
        """Whether diag(s) can go into M before the product: in 16 bits a small M would be lost there."""
        return s is not None and len(s) == self.C and h.dtype.itemsize > 2

    def _plus_diagonal(self, z: torch.Tensor, h: torch.Tensor, s: torch.Tensor | None) -> torch.Tensor:
        if s is None or self._takes_in(s, h):
            return z
        return (F.pad(z, (0, len(s) - self.C)) if len(s) > self.C else z).add_(h * s)

    def _scale(self, entries: torch.Tensor, columns: torch.Tensor | None) -> torch.Tensor:
        """Entries of M, or of its gradient, row by row, in place."""
        if self.rows is not None:
            entries.mul_(self.rows[:, None])
        return entries if columns is None else entries.mul_(columns)


@dataclass(frozen=True)
class Diagonal(Coupling):
    def times(self, h, m, s=None, transposed=False):
        m = self._scaled(m)
        if s is not None:
            m = s.to(m.dtype) + F.pad(m, (0, len(s) - self.C))
        return (h * m).to(h.dtype)

    def gradient(self, g, h, m):
        return self._scaled((g[:, : self.C] * h[:, : self.C]).sum(0, dtype=m.dtype))

    def products(self, T):
        return []

    def _scaled(self, m):
        for scale in (self.rows, self.columns):
            m = m if scale is None else m * scale
        return m


@dataclass(frozen=True)
class Scattered(Coupling):
    """Ω as flat positions i C + j; M is built dense, and coefficients on the same position add up."""

    index: torch.Tensor | None = None

    def times(self, h, m, s=None, transposed=False):
        M, lead = self._scale(self._matrix(m), self.columns), h[:, : self.C]
        if self._takes_in(s, h):
            M.diagonal().add_(s)
        M = M.to(h.dtype)
        return self._plus_diagonal(lead @ M if transposed else F.linear(lead, M), h, s)

    def gradient(self, g, h, m):
        return self._entries(self._scale(g[:, : self.C].T @ h[:, : self.C], self.columns)).to(m.dtype)

    def products(self, T):
        return [(T, self.C, self.C)]

    def _matrix(self, m):
        return m.new_zeros(self.C**2).index_add_(0, self.index, m).view(self.C, self.C)

    def _entries(self, M):
        return M.flatten().index_select(0, self.index)


@dataclass(frozen=True)
class Dense(Scattered):
    """Ω is all of M, row by row, so that m is M."""

    def _matrix(self, m):
        return m.clone().view(self.C, self.C)

    def _entries(self, M):
        return M.flatten()


@dataclass(frozen=True)
class Sparse(Coupling):
    """M is never dense: Ω is known by its `order`. On a CPU, in 32 bits or more."""

    by_direction = True
    order: sparse.Order | None = None

    def times(self, h, m, s=None, transposed=False):
        multiply = sparse.multiply_transposed if transposed else sparse.multiply
        z = multiply(m.to(h.dtype), self.order, self._by_direction(h), self.rows, self.columns).T
        return z.addcmul_(h, s.to(h.dtype)) if s is not None and len(s) == self.C else self._plus_diagonal(z, h, s)

    def gradient(self, g, h, m):
        g, h = self._by_direction(g), self._by_direction(h)
        return sparse.sampled(g, h, self.order, self.rows, self.columns).to(m.dtype)

    def products(self, T):
        return []

    def entries(self, T):
        return T * len(self.order.columns)

    def _takes_in(self, s, h):
        return False

    def _by_direction(self, h):
        return h[:, : self.C].T.contiguous()


@dataclass(frozen=True)
class Banded(Coupling):
    """Ω is |i - j| <= d, row by row: blocks of BLOCK rows of M meet no more than BLOCK + 2d entries of h.

    A band is held as (C, 2d + 1), entry (i, o) being M at (i, i + o - d), or 0 where that is outside of M.
    """

    d: int = 0

    def times(self, h, m, s=None, transposed=False):
        band, d, width = self._scale(self._band(m), self._columns()), self.d, 2 * self.d + 1
        if self._takes_in(s, h):
            band[:, d] += s
        if transposed:  # the entry (i, o) is M at (i + o - d, i)
            band = F.pad(band, (0, 0, d, d)).as_strided(band.shape, (width, width - 1), 2 * d)
        M = m.new_zeros(self._blocks, BLOCK, BLOCK + 2 * d)
        self._in_blocks(M).copy_(F.pad(band, (0, 0, 0, self._beyond)).view(self._blocks, BLOCK, width))
        z = torch.bmm(self._windows(h), M.to(h.dtype).transpose(1, 2))  # (blocks, T, BLOCK)
        return self._plus_diagonal(z.transpose(0, 1).reshape(len(h), -1)[:, : self.C], h, s)

    def gradient(self, g, h, m):
        g = F.pad(g[:, : self.C], (0, self._beyond)).view(len(g), self._blocks, BLOCK)
        dM = torch.bmm(g.permute(1, 2, 0), self._windows(h))  # (blocks, BLOCK, BLOCK + 2d)
        band = self._in_blocks(dM).reshape(-1, 2 * self.d + 1)[: self.C].to(m.dtype)
        return self._coefficients(self._scale(band, self._columns()))

    def products(self, T):
        return self._blocks * [(T, BLOCK + 2 * self.d, BLOCK)]

    @property
    def _blocks(self) -> int:
        return -(-self.C // BLOCK)

    @property
    def _beyond(self) -> int:
        """Rows of the last block that M has not."""
        return self._blocks * BLOCK - self.C

    def _in_blocks(self, M: torch.Tensor) -> torch.Tensor:
        """The band in contiguous blocks (blocks, BLOCK, BLOCK + 2d), as a view (blocks, BLOCK, 2d + 1)."""
        width = BLOCK + 2 * self.d
        return M.as_strided((len(M), BLOCK, 2 * self.d + 1), (BLOCK * width, width + 1, 1))

    def _windows(self, h: torch.Tensor) -> torch.Tensor:
        """What each block of rows meets, (blocks, T, BLOCK + 2d)."""
        padded = F.pad(h[:, : self.C], (self.d, self.d + self._beyond))
        return padded.unfold(1, BLOCK + 2 * self.d, BLOCK).transpose(0, 1)

    def _columns(self) -> torch.Tensor | None:
        """`columns` where they meet the band, (C, 2d + 1)."""
        return None if self.columns is None else F.pad(self.columns, (self.d, self.d)).unfold(0, 2 * self.d + 1, 1)

    def _band(self, m: torch.Tensor) -> torch.Tensor:
        top, bottom = _corners(self.d, m.device)
        corner = m.new_zeros(self.d * (2 * self.d + 1))
        middle = m[len(top) : len(m) - len(bottom)]
        ends = corner.index_copy(0, top, m[: len(top)]), corner.index_copy(0, bottom, m[len(m) - len(bottom) :])
        return torch.cat([ends[0], middle, ends[1]]).view(self.C, 2 * self.d + 1)

    def _coefficients(self, band: torch.Tensor) -> torch.Tensor:
        top, bottom = _corners(self.d, band.device)
        flat, ends = band.flatten(), self.d * (2 * self.d + 1)
        middle = flat[ends : len(flat) - ends]
        return torch.cat([flat[:ends].index_select(0, top), middle, flat[len(flat) - ends :].index_select(0, bottom)])


@cache
def _corners(d: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Where in the first and in the last d rows of a band, each flat, there are entries of M."""
    i, o = torch.arange(d)[:, None], torch.arange(2 * d + 1)
    return tuple(inside.flatten().nonzero().squeeze(1).to(device) for inside in (i + o >= d, i + o < 2 * d))


def coupling(
    C: int,
    index: torch.Tensor | None,
    d: int | None = None,
    rows: torch.Tensor | None = None,
    columns: torch.Tensor | None = None,
    order: sparse.Order | None = None,
) -> Coupling:
    """Of the positions `index` (None: the diagonal), known to be a band of d off-diagonals or not.

    With an `order` (of sparse.py) M stays sparse. Else a band is cut into blocks where that halves what a dense M
    computes. One of C - 1 off-diagonals is all of M.
    """
    if index is None:
        return Diagonal(C, rows, columns)
    if d == C - 1:
        return Dense(C, rows, columns)
    if order is not None:
        return Sparse(C, rows, columns, order)
    if d is not None and 2 * (BLOCK + 2 * d) <= C:
        return Banded(C, rows, columns, d)
    return Scattered(C, rows, columns, index)
