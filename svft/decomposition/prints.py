"""What an adapter file says, for each layer, of the basis that the adapter was trained in; in a few bytes.

Loading uses it to refuse another base weight and other singular vectors, and to find the sign of each pair (u_i, v_i)
where the adapter depends on it. A number is rounded to whole steps, and the last byte of that count is kept (modulo
256). This is enough: the same basis gives nearly the same number here, which tells the rest of the count; and a number
of another basis agrees in that byte by chance only.

Shapes: K directions, in G groups of GROUP and more; a direction has 4 projections.

    bytes 0-3       ||W||_F, fp32
    4-19            the 16 projections of W / ||W||_F
    20-23           the settings of the configuration that say what the tensors mean
    24-             4 sums over each group, of its projections with random weights, pairs turned so that their
                    projections add up to more than 0
    then            4 bits for each direction: the signs of its projections; only where the adapter depends on signs
"""

from __future__ import annotations

from itertools import islice, product
from typing import NamedTuple

import torch

from .fingerprint import (
    DIRECTION_TOLERANCE,
    align,
    gaussian,
    norm_and_projections,
    projections_of_pairs,
    relative_distance,
)

GROUP = 32
PER_WEIGHT, PER_SUM = 256, 64  # steps to 1
# Root mean square of the 4 differences in a group of 32. A basis in bf16 and the same in fp32 are 0.008 apart.
SUM_TOLERANCE = 0.025
NEAR = 0.02  # projections that add up to less may do so with another sign elsewhere
MOST_WAYS = 256  # to turn the pairs of a group
SIZES = (4, 16, 4)


def groups(K: int) -> int:
    return max(1, K // GROUP)


def size(K: int, with_signs: bool) -> int:
    """Bytes."""
    return sum(SIZES) + 4 * groups(K) + (-(-K // 2) if with_signs else 0)


def pack(fingerprint: torch.Tensor, probe: torch.Tensor, settings: bytes, with_signs: bool) -> torch.Tensor:
    """uint8, on the device of the fingerprint; on the meta device of that size."""
    if fingerprint.is_meta:
        return torch.empty(size(len(probe), with_signs), dtype=torch.uint8, device="meta")
    (norm, values), projections = norm_and_projections(fingerprint), projections_of_pairs(probe)
    parts = [
        norm[None].view(torch.uint8),
        _rounded(values, PER_WEIGHT),
        torch.tensor(list(settings), dtype=torch.uint8, device="cpu"),
        _rounded(_sums(_terms(projections)), PER_SUM).flatten(),
    ]
    if with_signs:
        parts.append(_packed_signs(projections))
    return torch.cat(parts).to(fingerprint.device)


class Print(NamedTuple):
    """What `pack` made, read."""

    norm: torch.Tensor
    values: torch.Tensor  # (16,)
    settings: bytes
    sums: torch.Tensor  # (G, 4)
    signs: torch.Tensor | None  # (K, 4), +1 and -1

    @classmethod
    def read(cls, packed: torch.Tensor, K: int) -> Print | None:
        """None where it is not of K directions."""
        packed = packed.cpu()
        if packed.dtype != torch.uint8 or len(packed) not in (size(K, False), size(K, True)):
            return None
        norm, values, settings, sums, signs = packed.split([*SIZES, 4 * groups(K), len(packed) - size(K, False)])
        signs = _unpacked_signs(signs, K) if len(signs) else None
        return cls(norm.view(torch.float32)[0], values, bytes(settings.tolist()), sums.view(-1, 4), signs)

    def weight_distance(self, fingerprint: torch.Tensor) -> float:
        """About ||W_saved - W_live||_F / ||W_live||_F, and no less for the rounding."""
        live = norm_and_projections(fingerprint)
        values = live[1] + _difference(self.values, live[1], PER_WEIGHT)
        distance = relative_distance((self.norm, values), live)
        return distance + 0.5 / PER_WEIGHT if distance else 0.0

    def align(self, probe: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Per direction the sign that turns the live pair into the saved one (1 where it does not matter), and whether
        it does so within tolerance, as far as its group tells."""
        projections = projections_of_pairs(probe)
        aligned = self._aligned(projections)
        if self.signs is None:
            return torch.ones(len(projections), device="cpu"), aligned
        agreed = self.signs * projections  # (K, 4)
        signs = torch.where(agreed.sum(dim=1) < 0, -1.0, 1.0)
        against = (agreed * signs[:, None]).clamp_max(0).square().mean(dim=1).sqrt()  # (K,)
        return signs, aligned & (against <= DIRECTION_TOLERANCE)

    def _aligned(self, projections: torch.Tensor) -> torch.Tensor:
        """Per direction, whether its group has the sums that were saved; (K,)."""
        terms, group = _terms(projections), _group_of(len(projections))
        fits = _distance(self.sums, _sums(terms)) <= _tolerance(group)  # (G,)
        near = projections.sum(dim=1).abs() < NEAR
        for g in (~fits).nonzero().flatten().tolist():
            members, turnable = terms[group == g], terms[(group == g) & near]
            ways = list(islice(product((0.0, 2.0), repeat=len(turnable)), MOST_WAYS))
            sums = members.sum(dim=0) - turnable.new_tensor(ways) @ turnable  # (ways, 4)
            fits[g] = (_distance(self.sums[g], sums) <= _tolerance(group)[g]).any()
        return fits[group]


class FullPrint(NamedTuple):
    """Every projection, as older files have them: 8 bytes for each direction."""

    probe: torch.Tensor
    fingerprint: torch.Tensor

    def weight_distance(self, fingerprint: torch.Tensor) -> float:
        return relative_distance(norm_and_projections(self.fingerprint), norm_and_projections(fingerprint))

    def align(self, probe: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return align(self.probe, probe)


def _group_of(K: int) -> torch.Tensor:
    """(K,): neighbours, whose singular values are the most alike, are together."""
    return torch.arange(K, device="cpu") * groups(K) // K


def _tolerance(group: torch.Tensor) -> torch.Tensor:
    """(G,): rounding errors add up as the root of their number does."""
    return SUM_TOLERANCE * (group.bincount().clamp_min(GROUP) / GROUP).sqrt()


def _terms(projections: torch.Tensor) -> torch.Tensor:
    """What each direction adds to the sums of its group, the same for a pair and the turned pair; (K, 4).

    With weights of 0.5 to 1.5, so that each direction counts and two that change places are seen.
    """
    turned = torch.where(projections.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    random = gaussian(*projections.shape, "sums")
    return projections * turned * random.sign() * (0.5 + random.abs().frac())


def _sums(terms: torch.Tensor) -> torch.Tensor:
    """(G, 4)."""
    return terms.new_zeros(groups(len(terms)), 4).index_add_(0, _group_of(len(terms)), terms)


def _rounded(values: torch.Tensor, steps: int) -> torch.Tensor:
    return (values * steps).round().to(torch.int64).remainder(256).to(torch.uint8)


def _difference(rounded: torch.Tensor, live: torch.Tensor, steps: int) -> torch.Tensor:
    """How far the nearest number that was rounded to these bytes is from the live one."""
    return ((rounded - live * steps + 128).remainder(256) - 128) / steps


def _distance(rounded: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Root mean square over the last dim."""
    return _difference(rounded, sums, PER_SUM).square().mean(dim=-1).sqrt()


def _packed_signs(projections: torch.Tensor) -> torch.Tensor:
    bits = torch.nn.functional.pad((projections > 0).to(torch.uint8), (0, 0, 0, len(projections) % 2))
    return (bits.view(-1, 8) << torch.arange(8, dtype=torch.uint8, device="cpu")).sum(dim=1, dtype=torch.uint8)


def _unpacked_signs(packed: torch.Tensor, K: int) -> torch.Tensor:
    bits = packed[:, None] >> torch.arange(8, dtype=torch.uint8, device="cpu") & 1
    return 2.0 * bits.view(-1, 4)[:K] - 1
