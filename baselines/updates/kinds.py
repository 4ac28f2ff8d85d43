"""The kinds of updates: what each trains, from where, and what it adds to a frozen weight W0.

    ssl    W0 diag(d)                       d trained from 1                                    2407.05417
    ssb    diag(d_out) W0 diag(d_in)        both trained from 1                                 2407.05417

SSL and SSB: Si et al. 2024, "See Further for Parameter Efficient Fine-tuning by Standing on the Shoulders of
Decomposition", arXiv:2407.05417, as in Chongjie-Si/Subspace-Tuning.

Shapes: O out_features, I in_features. `Tensors` are trained tensors by their name in a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .products import Product, Scaled

Tensors = dict[str, torch.Tensor]


class Place(NamedTuple):
    """Where an adapter starts: the sizes O and I of its layer, and `like`, a tensor of the dtype and on the device."""

    out: int
    inp: int
    like: torch.Tensor

    def ones(self, *size: int) -> torch.Tensor:
        return self.like.new_ones(size)


class Kind(NamedTuple):
    """trained: names of what is trained. starts(place): these before training. product(trained): what they make."""

    trained: tuple[str, ...]
    starts: Callable[[Place], Tensors]
    product: Callable[[Tensors], Product]
    reads_weight: bool = False  # its product needs W0 itself


def ssl_starts(place: Place) -> Tensors:
    return {"d_in": place.ones(place.inp)}


def ssb_starts(place: Place) -> Tensors:
    return {"d_in": place.ones(place.inp), "d_out": place.ones(place.out)}


def scaled(trained: Tensors) -> Product:
    return Scaled(trained["d_in"], trained.get("d_out"))


KINDS = {
    "ssl": Kind(("d_in",), ssl_starts, scaled, reads_weight=True),
    "ssb": Kind(("d_in", "d_out"), ssb_starts, scaled, reads_weight=True),
}
