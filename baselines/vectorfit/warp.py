"""Singular values moved along themselves by a diffeomorphism of few numbers (Mantri et al. 2025, DiTASK,
arXiv:2502.06029): a CPAB transformation (Freifeld et al. 2017), integrated in closed form (Martinez et al. 2022,
arXiv:2206.08107).

    sigma_i = S(phi(i)), i = 0 ... K - 1        S: linear through the points (i, s_i)
    phi(x) = x(1), where dx/dt = v(x) and x(0) = x

v is continuous and linear on each of N cells of [0, K - 1], and 0 at both ends: N - 1 numbers theta. phi is the
identity at theta = 0 and increases always, so the order of the singular values stays, and the first and the last stay
themselves. As the released code does (ipsitmantri/DiTASK@8b55afe with difw's transform_data): phi acts on the ranks i,
so that a value becomes a mean of two neighbours. In the paper's words a diffeomorphism f acts on the values; on a
falling spectrum this is one too, f = S phi S^-1.
Shapes: K singular values, N cells.
"""

from __future__ import annotations

import torch


def warped(s: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    """sigma (K,) of s (K,) and theta (N - 1,), exactly s at theta = 0. A single value stays as it is."""
    last = len(s) - 1
    if last == 0:
        return s
    ranks = torch.arange(len(s), dtype=s.dtype, device=s.device)
    to = flow(ranks, last * knot_velocities(theta.to(s.dtype)), float(last))
    left = to.detach().floor().clamp(0, last - 1)
    before = s[left.long()]
    # At theta = 0 `to - left` is 0, but for the last rank, which does not move and whose s is that of `before` + 1.
    return torch.where(ranks == last, s, before + (to - left) * (s[left.long() + 1] - before))


def knot_velocities(theta: torch.Tensor) -> torch.Tensor:
    """v at the N + 1 knots of [0, 1], of theta in the basis of the released code (difw's `rref`).

    Its k-th function, k = 1 ... N - 1, is x / N up to knot k and falls to 0 at knot k + 1; it is divided by the norm of
    the slopes and intercepts that it has on all cells.
    """
    N = len(theta) + 1
    k = torch.arange(1, N, dtype=theta.dtype, device=theta.device)
    norms = (k / N**2 + (k / N) ** 2 + (k * (k + 1) / N**2) ** 2).sqrt()
    at_knots = (
        torch.triu((k / N**2)[:, None].expand(N - 1, N - 1)) / norms
    )  # (knot j, function k): j / N^2 up to knot k
    end = theta.new_zeros(1)
    return torch.cat([end, at_knots @ theta, end])


def flow(x: torch.Tensor, v: torch.Tensor, length: float) -> torch.Tensor:
    """Where points x of [0, length] are after time 1 in the field that is v (N + 1,) at equidistant knots.

    Within a cell dx/dt is linear in x, so both the place after a time and the time to the next knot have a formula.
    """
    N = len(v) - 1
    width = length / N
    cell = (x.detach() / width).floor().clamp(0, N - 1).long()
    time = torch.ones_like(x)
    moving = torch.ones_like(x, dtype=torch.bool)
    for _ in range(N + 1):
        slope = (v[cell + 1] - v[cell]) / width
        speed = v[cell] + slope * (x - cell * width)
        forward = speed > 0
        knot = torch.where(forward, cell + 1, cell)
        ahead, at_knot = knot * width - x, v[knot]
        # Where the field vanishes before the knot, the knot is never reached.
        open_road = moving & (speed * at_knot > 0)
        ratio = torch.where(open_road, at_knot / torch.where(open_road, speed, 1), 1)
        needed = torch.where(open_road, ahead / torch.where(open_road, speed, 1), 0) * mean_inverse(ratio)
        crosses = open_road & (needed < time)
        inside = x + speed * time * mean_growth(torch.where(crosses, 0, slope * time))
        x = torch.where(crosses, knot * width, torch.where(moving, inside, x))
        time = torch.where(crosses, time - needed, time)
        cell = torch.where(crosses, cell + torch.where(forward, 1, -1), cell).clamp(0, N - 1)
        moving = crosses
        if not moving.is_meta and not moving.any():
            break
    return x


def mean_growth(z: torch.Tensor) -> torch.Tensor:
    """(e^z - 1) / z, 1 at 0."""
    small = z.abs() < 1e-4
    safe = torch.where(small, 1, z)
    return torch.where(small, 1 + z / 2 + z * z / 6, torch.expm1(safe) / safe)


def mean_inverse(ratio: torch.Tensor) -> torch.Tensor:
    """log(ratio) / (ratio - 1), 1 at 1: the mean of 1 / u for u from 1 to the ratio."""
    z = ratio - 1
    small = z.abs() < 1e-4
    safe = torch.where(small, 1, z)
    return torch.where(small, 1 - z / 2 + z * z / 3, torch.log1p(safe) / safe)
