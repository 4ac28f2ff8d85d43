"""M on its pattern Ω: what it makes of vectors, and the gradient of its coefficients.

Shapes: T vectors, K directions, C <= K = the leading directions that M couples, N = |Ω|, d off-diagonals on each side.
Vectors are the rows of h and g (T, K). m holds the N coefficients of M, which is C x C; s (K,) adds diag(s) to it.

Both operations of a coupling serve matrices too: M V^T is `times` of the rows of V, U M that of the rows of U with M
transposed, and the gradients of m from those of M V^T and U M are `gradient` of the same rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F

Product = tuple[int, int, int]  # rows, inner, columns of a dense product
BLOCK = 128  # rows of M in one of the dense products that a band is cut into


@dataclass(frozen=True)
class Coupling(ABC):
    C: int

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

    def _plus_diagonal(self, z: torch.Tensor, h: torch.Tensor, s: torch.Tensor | None) -> torch.Tensor:
        if s is None:
            return z
        return (F.pad(z, (0, len(s) - self.C)) if len(s) > self.C else z).add_(h * s)


@dataclass(frozen=True)
class Diagonal(Coupling):
    def times(self, h, m, s=None, transposed=False):
        if s is not None:
            m = s.to(m.dtype) + F.pad(m, (0, len(s) - self.C))
        return (h * m).to(h.dtype)

    def gradient(self, g, h, m):
        return (g[:, : self.C] * h[:, : self.C]).sum(0, dtype=m.dtype)

    def products(self, T):
        return []


@dataclass(frozen=True)
class Scattered(Coupling):
    """Ω as flat positions i C + j; M is built dense, and coefficients on the same position add up."""

    index: torch.Tensor

    def dense(self, m: torch.Tensor) -> torch.Tensor:
        return m.new_zeros(self.C**2).index_add(0, self.index, m).view(self.C, self.C)

    def times(self, h, m, s=None, transposed=False):
        M, lead = self.dense(m).to(h.dtype), h[:, : self.C]
        return self._plus_diagonal(lead @ M if transposed else F.linear(lead, M), h, s)

    def gradient(self, g, h, m):
        dM = g[:, : self.C].T @ h[:, : self.C]
        return dM.flatten().index_select(0, self.index).to(m.dtype)

    def products(self, T):
        return [(T, self.C, self.C)]


@dataclass(frozen=True)
class Banded(Coupling):
    """Ω is |i - j| <= d: blocks of BLOCK rows of M meet no more than BLOCK + 2d entries of h."""

    index: torch.Tensor
    d: int

    @property
    def blocks(self) -> int:
        return -(-self.C // BLOCK)

    @property
    def width(self) -> int:
        return BLOCK + 2 * self.d

    def _positions(self, transposed: bool) -> torch.Tensor:
        """Of the coefficients in the blocks, laid out (blocks, BLOCK, width)."""
        i, j = self.index // self.C, self.index % self.C
        if transposed:
            i, j = j, i
        return i * self.width + j - i // BLOCK * BLOCK + self.d

    def _windows(self, h: torch.Tensor) -> torch.Tensor:
        """What each block of rows meets, (blocks, T, width)."""
        beyond = self.blocks * BLOCK - self.C
        return F.pad(h[:, : self.C], (self.d, self.d + beyond)).unfold(1, self.width, BLOCK).transpose(0, 1)

    def times(self, h, m, s=None, transposed=False):
        M = m.new_zeros(self.blocks * BLOCK * self.width).index_add(0, self._positions(transposed), m)
        M = M.view(self.blocks, BLOCK, self.width).to(h.dtype)
        z = torch.bmm(self._windows(h), M.transpose(1, 2))  # (blocks, T, BLOCK)
        return self._plus_diagonal(z.transpose(0, 1).reshape(len(h), -1)[:, : self.C], h, s)

    def gradient(self, g, h, m):
        g = F.pad(g[:, : self.C], (0, self.blocks * BLOCK - self.C)).view(len(g), self.blocks, BLOCK)
        dM = torch.bmm(g.permute(1, 2, 0), self._windows(h))  # (blocks, BLOCK, width)
        return dM.flatten().index_select(0, self._positions(False)).to(m.dtype)

    def products(self, T):
        return self.blocks * [(T, self.width, BLOCK)]


def coupling(C: int, index: torch.Tensor | None, d: int | None = None) -> Coupling:
    """Of the positions `index` (None: the diagonal), known to be a band of d off-diagonals or not.

    A band is cut into blocks where that halves what a dense M computes.
    """
    if index is None:
        return Diagonal(C)
    if d is not None and 2 * (BLOCK + 2 * d) <= C:
        return Banded(C, index, d)
    return Scattered(C, index)
