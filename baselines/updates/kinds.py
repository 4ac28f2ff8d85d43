"""The kinds of updates: what each trains, from where, and what it adds to a frozen weight W0.

    ssl    W0 diag(d)                       d trained from 1                                    2407.05417
    ssb    diag(d_out) W0 diag(d_in)        both trained from 1                                 2407.05417
    flora  W0 + (alpha / r) B G A           G trained from 0, A and B from random               2405.14739

SSL and SSB: Si et al. 2024, "See Further for Parameter Efficient Fine-tuning by Standing on the Shoulders of
Decomposition", arXiv:2407.05417, as in Chongjie-Si/Subspace-Tuning.
FLoRA: Si et al. 2024, "FLoRA: Low-Rank Core Space for N-dimension", arXiv:2405.14739, on matrices. The released code
starts A and B in one place at N(0, 0.02^2) whatever the width, in another as LoRA starts A: so it is here.

Shapes: O out_features, I in_features, r the rank; A is r x I, B is O x r, G is r x r.
`Tensors` are trained tensors by their name in a kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from .products import LowRank, Product, Scaled

if TYPE_CHECKING:
    from .config import UpdateConfig

Tensors = dict[str, torch.Tensor]


class Place(NamedTuple):
    """Where an adapter starts: the sizes of its layer, `like`, a tensor of its dtype and device, and what is drawn."""

    out: int
    inp: int
    like: torch.Tensor
    config: UpdateConfig
    random: np.random.RandomState

    def ones(self, *size: int) -> torch.Tensor:
        return self.like.new_ones(size)

    def zeros(self, *size: int) -> torch.Tensor:
        return self.like.new_zeros(size)

    def drawn(self, out: int, inp: int) -> torch.Tensor:
        """out x inp, uniform within 1 / sqrt(inp), as LoRA's A starts: Kaiming's rule with a = sqrt(5)."""
        if self.like.is_meta:
            return self.like.new_empty(out, inp)
        return torch.from_numpy(self.random.uniform(-1, 1, (out, inp)) / math.sqrt(inp)).to(self.like)


class Kind(NamedTuple):
    """What is trained and how it acts.

    trained: names of the tensors. starts(place): these before training. product(config, trained): what they make.
    options: of the configuration, those that it takes. reads_weight: its product needs W0 itself.
    """

    trained: tuple[str, ...]
    starts: Callable[[Place], Tensors]
    product: Callable[[UpdateConfig, Tensors], Product]
    options: tuple[str, ...] = ()
    reads_weight: bool = False


def ssl_starts(place: Place) -> Tensors:
    return {"d_in": place.ones(place.inp)}


def ssb_starts(place: Place) -> Tensors:
    return {"d_in": place.ones(place.inp), "d_out": place.ones(place.out)}


def scaled(config: UpdateConfig, trained: Tensors) -> Product:
    return Scaled(trained["d_in"], trained.get("d_out"))


def flora_starts(place: Place) -> Tensors:
    r = place.config.r
    return {"A": place.drawn(r, place.inp), "B": place.drawn(place.out, r), "G": place.zeros(r, r)}


def with_core(config: UpdateConfig, trained: Tensors) -> Product:
    return LowRank(config.factor * trained["B"], trained["G"] @ trained["A"])


KINDS = {
    "ssl": Kind(("d_in",), ssl_starts, scaled, reads_weight=True),
    "ssb": Kind(("d_in", "d_out"), ssb_starts, scaled, reads_weight=True),
    "flora": Kind(("A", "B", "G"), flora_starts, with_core, ("r", "alpha")),
}
