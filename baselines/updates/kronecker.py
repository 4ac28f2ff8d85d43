"""A rotation of long vectors that is a Kronecker product of small ones, R = R_1 x ... x R_f, and is never built.

Shapes: B batch (any leading dims), n the length, b_1 ... b_f = n the sizes of the factors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def sizes(n: int, factors: int) -> list[int]:
    """Divisors of n with n as their product, as equal as they come, the smallest first."""
    if factors == 1:
        return [n]
    nearest = round(n ** (1 / factors))
    first = next(size for size in range(nearest, 0, -1) if n % size == 0)
    return sorted([first, *sizes(n // first, factors - 1)])


def change(x: torch.Tensor, less_identity: Sequence[torch.Tensor]) -> torch.Tensor:
    """R x - x, (B, n), from each R_i - I (b_i, b_i): a sum of small terms and no difference of large ones."""
    z = x.unflatten(-1, [len(D) for D in less_identity])  # (B, b_1, ..., b_f)
    total = torch.zeros_like(z)
    for axis, D in enumerate(less_identity, start=-len(less_identity)):
        step = (z.transpose(axis, -1) @ D.T).transpose(axis, -1)
        z, total = z + step, total + step
    return total.flatten(-len(less_identity))
