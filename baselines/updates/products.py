"""How an update acts, without building it: its product with inputs, and the same as a matrix.

Shapes: B batch (any leading dims), O out_features, I in_features, q columns of the factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F

from .kronecker import change

Weight = Callable[[], torch.Tensor]  # W0 (O, I), which a quantised layer has to compute


class Product(Protocol):
    def output(self, x: torch.Tensor, weight: Weight) -> torch.Tensor:
        """Delta x, (B, O), for x (B, I)."""

    def matrix(self, weight: Weight) -> torch.Tensor:
        """Delta, (O, I), in the dtype of what is trained."""


class LowRank(NamedTuple):
    """L R."""

    L: torch.Tensor  # (O, q)
    R: torch.Tensor  # (q, I)

    def output(self, x: torch.Tensor, weight: Weight) -> torch.Tensor:
        return F.linear(F.linear(x, self.R), self.L)

    def matrix(self, weight: Weight) -> torch.Tensor:
        return self.L @ self.R


class Scaled(NamedTuple):
    """diag(d_out) W0 diag(d_in) - W0, with d_out 1 where it is None.

    Written in d - 1, so that factors near 1 are not rounded away in 16 bits, and so that the start is exact.
    """

    d_in: torch.Tensor  # (I,)
    d_out: torch.Tensor | None  # (O,)

    def output(self, x: torch.Tensor, weight: Weight) -> torch.Tensor:
        W = weight()
        change = F.linear((x * (self.d_in - 1)).to(W.dtype), W)  # (B, O)
        if self.d_out is None:
            return change
        return self.d_out * change + (self.d_out - 1) * F.linear(x.to(W.dtype), W)

    def matrix(self, weight: Weight) -> torch.Tensor:
        W = weight().to(self.d_in.dtype)
        change = W * (self.d_in - 1)
        if self.d_out is None:
            return change
        return self.d_out[:, None] * change + (self.d_out - 1)[:, None] * W


class Rotated(NamedTuple):
    """U diag(s + d_sigma) V^T R - U diag(s) V^T, which is W0 (R - I) + U diag(d_sigma) V^T R."""

    U: torch.Tensor  # (O, K)
    Vh: torch.Tensor  # (K, I)
    d_sigma: torch.Tensor  # (K,)
    less_identity: list[torch.Tensor]  # R_i - I of each factor of R

    def output(self, x: torch.Tensor, weight: Weight) -> torch.Tensor:
        W, moved = weight(), change(x, self.less_identity)  # (B, I)
        values = F.linear(F.linear(x + moved, self.Vh) * self.d_sigma, self.U)
        return F.linear(moved.to(W.dtype), W) + values

    def matrix(self, weight: Weight) -> torch.Tensor:
        back = [D.T for D in self.less_identity]
        W, values = weight().to(self.U.dtype), self.U @ (self.d_sigma[:, None] * self.Vh)
        return change(W + values, back) + values
