"""What an adapter remembers of the basis it was trained in: enough to align signs, and to refuse another base weight.

Shapes: W is O x I, U is O x K, Vh is K x I, P random projections on each side.
Kept as the bits of small floats in integer tensors, which casting a model to another dtype leaves alone.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from .patterns import generator, stream_of

P_BASIS, P_WEIGHT = 2, 4
# Relative distances. The same weight in bf16 instead of fp32 is about 1e-3 away, another weight about 1.
WEIGHT_TOLERANCE = 1e-2
DIRECTION_TOLERANCE = 5e-2


@lru_cache(maxsize=64)
def _gaussian(rows: int, P: int, side: str) -> torch.Tensor:
    return torch.from_numpy(generator(stream_of(0, "probe"), f"{side}|{rows}").standard_normal((rows, P))).float()


def _projections(out: int, inp: int, P: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return _gaussian(out, P, "left").to(device), _gaussian(inp, P, "right").to(device)  # (O, P), (I, P)


def probe(U: torch.Tensor, Vh: torch.Tensor) -> torch.Tensor:
    """U^T L and V^T R, L and R fixed Gaussians: of size 1 in each direction, and turning with the pair (u_i, v_i)."""
    L, R = _projections(len(U), Vh.shape[1], P_BASIS, U.device)
    return torch.cat([U.float().T @ L, Vh.float() @ R], dim=1).half().view(torch.int16)  # (K, 2P)


def fingerprint(weight: torch.Tensor) -> torch.Tensor:
    """||W||_F, and L^T W R / ||W||_F with fixed Gaussian L and R."""
    W = weight.detach().float()
    norm = W.norm()
    L, R = _projections(*W.shape, P_WEIGHT, W.device)
    values = (L.T @ W @ R).flatten() / norm.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.cat([norm[None], values]).view(torch.int32)  # (1 + P P,)


def weight_distance(saved: torch.Tensor, live: torch.Tensor) -> float:
    """About ||W_saved - W_live||_F / ||W_live||_F."""
    (saved_norm, saved_values), (norm, values) = (
        (bits.cpu().view(torch.float32)[0], bits.cpu().view(torch.float32)[1:]) for bits in (saved, live)
    )
    if saved_norm == norm == 0:
        return 0.0
    return ((saved_values * saved_norm - values * norm).square().mean().sqrt() / torch.maximum(norm, saved_norm)).item()


def align(saved: torch.Tensor, live: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Per direction the sign that turns the live pair into the saved one, and whether it does so within tolerance."""
    saved, live = (bits.cpu().view(torch.float16).float() for bits in (saved, live))  # (K, 2P)
    as_is, turned = ((saved - sign * live).square().mean(dim=1).sqrt() for sign in (1, -1))  # (K,)
    signs = torch.where(turned < as_is, -1.0, 1.0)
    return signs, torch.minimum(as_is, turned) <= DIRECTION_TOLERANCE
