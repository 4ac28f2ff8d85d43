"""Random projections that tell one weight from another, and one basis from another.

Shapes: W is O x I, U is O x K, Vh is K x I, P random projections on each side.
Kept as the bits of small floats in integer tensors, which casting a model to another dtype leaves alone. A layer holds
these of its own weight; `prints` says what of them goes into an adapter file.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from .streams import generator, stream_of

P_BASIS, P_WEIGHT = 2, 4
# Relative distances. The same weight in bf16 instead of fp32 is about 1e-3 away, another weight about 1.
WEIGHT_TOLERANCE = 1e-2
DIRECTION_TOLERANCE = 5e-2


@lru_cache(maxsize=64)
def gaussian(rows: int, P: int, side: str) -> torch.Tensor:
    return torch.from_numpy(generator(stream_of(0, "probe"), f"{side}|{rows}").standard_normal((rows, P))).float()


def _projections(out: int, inp: int, P: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return gaussian(out, P, "left").to(device), gaussian(inp, P, "right").to(device)  # (O, P), (I, P)


def probe(U: torch.Tensor, Vh: torch.Tensor) -> torch.Tensor:
    """U^T L and V^T R, L and R fixed Gaussians: of size 1 in each direction, and turning with the pair (u_i, v_i)."""
    L, R = _projections(len(U), Vh.shape[1], P_BASIS, U.device)
    return torch.cat([U.float().T @ L, Vh.float() @ R], dim=1).half().view(torch.int16)  # (K, 2P)


def turned(probe: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """The probe of the pairs e_i (u_i, v_i), from that of the pairs (u_i, v_i) and the signs e_i (K,)."""
    return (probe.view(torch.float16) * signs[:, None]).view(torch.int16)


def fingerprint(weight: torch.Tensor) -> torch.Tensor:
    """||W||_F, and L^T W R / ||W||_F with fixed Gaussian L and R; of a weight on the meta device the shape alone."""
    if weight.is_meta:  # a fifth of the time that attaching to a model without weights takes
        return torch.empty(1 + P_WEIGHT**2, dtype=torch.int32, device="meta")
    W = weight.detach().float()
    norm = W.norm()
    L, R = _projections(*W.shape, P_WEIGHT, W.device)
    values = (L.T @ W @ R).flatten() / norm.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.cat([norm[None], values]).view(torch.int32)  # (1 + P P,)


def projections_of_pairs(probe: torch.Tensor) -> torch.Tensor:
    """The numbers in a probe, on the CPU; (K, 2P)."""
    return probe.cpu().view(torch.float16).float()


def norm_and_projections(fingerprint: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The numbers in a fingerprint, on the CPU: ||W||_F, and (P P,)."""
    norm, *_ = values = fingerprint.cpu().view(torch.float32)
    return norm, values[1:]


def relative_distance(one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]) -> float:
    """About ||W_one - W_other||_F / ||W||_F, of two weights by their norms and projections."""
    (norm, values), (other_norm, other_values) = one, other
    if norm == other_norm == 0:
        return 0.0
    difference = values * norm - other_values * other_norm
    return (difference.square().mean().sqrt() / torch.maximum(norm, other_norm)).item()


def align(saved: torch.Tensor, live: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Per direction the sign that turns the live pair into the saved one, and whether it does so within tolerance."""
    saved, live = projections_of_pairs(saved), projections_of_pairs(live)  # (K, 2P)
    as_is, turned = ((saved - sign * live).square().mean(dim=1).sqrt() for sign in (1, -1))  # (K,)
    signs = torch.where(turned < as_is, -1.0, 1.0)
    return signs, torch.minimum(as_is, turned) <= DIRECTION_TOLERANCE
