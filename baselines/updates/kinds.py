"""The kinds of updates: what each trains, from where, and what it adds to a frozen weight W0.

    ssl    W0 diag(d)                       d trained from 1                                    2407.05417
    ssb    diag(d_out) W0 diag(d_in)        both trained from 1                                 2407.05417
    flora  W0 + (alpha / r) B G A           G trained from 0, A and B from random               2405.14739
    loldu  P L D U with z for the first r   z trained from them, sigma from lu_alpha / r       2410.13618
           of D, and sigma z for lu_alpha / r z
    lora_dash  W0 + (alpha / r) B A         B from 0, A from random; d_sigma from 0            2409.01035
               + U_k diag(d_sigma) V_k^T    for k singular directions, chosen in training
    soda   U diag(s + d_sigma) V^T R        d_sigma from 0, R = R_1 x ... x R_f from I         2405.21050

SSL and SSB: Si et al. 2024, "See Further for Parameter Efficient Fine-tuning by Standing on the Shoulders of
Decomposition", arXiv:2407.05417, as in Chongjie-Si/Subspace-Tuning.
FLoRA: Si et al. 2024, "FLoRA: Low-Rank Core Space for N-dimension", arXiv:2405.14739, on matrices. The released code
starts A and B in one place at N(0, 0.02^2) whatever the width, in another as LoRA starts A: so it is here.
LoLDU: Shi et al. 2024, arXiv:2410.13618, as in SKDDJ/LoLDU@9790d90: W0 - (lu_alpha / r) P L_r D_r U_r is frozen,
and sigma P L_r diag(z) U_r is added to it. The code's other starts of z are no pre-trained function, and are left out.
LoRA-Dash: Si et al. 2024, arXiv:2409.01035, as in Chongjie-Si/Subspace-Tuning@0351d17: the k = 8 directions with the
largest |u_i^T Delta v_i| / s_i, where Delta is what LoRA has learnt in its first steps (`directions`).
SODA: Zhang et al. 2024, arXiv:2405.21050 (WACV 2025). There is no public code and its equations were not to be had:
this is a reading of its words. W0 is a spectrum times an orthogonal basis; the spectrum gets an increment, the basis is
multiplied by an orthogonal matrix, a Kronecker product of small ones. Here the basis is V^T of the SVD form, with R on
the side of the inputs. The paper keeps each R_i orthogonal by an optimiser on the Stiefel manifold; here it is
Cayley's map of a free matrix, so that any optimiser will do. How many factors it has, and of which sizes, is not known.

Shapes: O out_features, I in_features, r the rank; A is r x I, B is O x r, G is r x r.
z and D_r are r, P L_r is O x r, U_r is r x I (`lu`). `Tensors` are trained tensors by their name in a kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from svft.decomposition import Basis

from ..spectral.modes import rotation_less_identity
from . import kronecker
from .lu import ldu
from .products import LowRank, Product, Rotated, Scaled

if TYPE_CHECKING:
    from .config import UpdateConfig

Tensors = dict[str, torch.Tensor]


class Place(NamedTuple):
    """Where an adapter starts.

    out, inp: the sizes of its layer. like: a tensor of the dtype and on the device of what is trained. weight(): W0,
    which raises ValueError while an adapter is merged; decompose(): its SVD.
    """

    out: int
    inp: int
    like: torch.Tensor
    config: UpdateConfig
    random: np.random.RandomState
    weight: Callable[[], torch.Tensor]
    decompose: Callable[[], Basis]

    def ones(self, *size: int) -> torch.Tensor:
        return self.like.new_ones(size)

    def zeros(self, *size: int) -> torch.Tensor:
        return self.like.new_zeros(size)

    def drawn(self, out: int, inp: int) -> torch.Tensor:
        """out x inp, uniform within 1 / sqrt(inp), as LoRA's A starts: Kaiming's rule with a = sqrt(5)."""
        if self.like.is_meta:
            return self.like.new_empty(out, inp)
        return torch.from_numpy(self.random.uniform(-1, 1, (out, inp)) / math.sqrt(inp)).to(self.like)


def no_basis(place: Place) -> Basis:
    """No frozen vectors: no directions."""
    like = place.like
    return Basis(like.new_empty(place.out, 0), like.new_empty(0), like.new_empty(0, place.inp))


class Kind(NamedTuple):
    """What is trained and how it acts.

    trained: names of the tensors. starts(place, basis): these before training. product(config, basis, trained): what
    they make. options: of the configuration, those that it takes; optional: those of them that may be None.
    basis(place): its frozen vectors. choose(config, whole basis, trained): of a kind that chooses them in training, the
    indices of its directions, None where it has learnt nothing yet; before that its basis is zero. words: what the
    vectors are, and where W0 does not fix them. reads_weight: its product needs W0 itself.
    """

    trained: tuple[str, ...]
    starts: Callable[[Place, Basis], Tensors]
    product: Callable[[UpdateConfig, Basis, Tensors], Product]
    options: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    basis: Callable[[Place], Basis] = no_basis
    choose: Callable[[UpdateConfig, Basis, Tensors], torch.Tensor | None] | None = None
    words: tuple[str, str] = ("singular vectors", "equal singular values")
    reads_weight: bool = False


def ssl_starts(place: Place, basis: Basis) -> Tensors:
    return {"d_in": place.ones(place.inp)}


def ssb_starts(place: Place, basis: Basis) -> Tensors:
    return {"d_in": place.ones(place.inp), "d_out": place.ones(place.out)}


def scaled(config: UpdateConfig, basis: Basis, trained: Tensors) -> Product:
    return Scaled(trained["d_in"], trained.get("d_out"))


def flora_starts(place: Place, basis: Basis) -> Tensors:
    r = place.config.r
    return {"A": place.drawn(r, place.inp), "B": place.drawn(place.out, r), "G": place.zeros(r, r)}


def with_core(config: UpdateConfig, basis: Basis, trained: Tensors) -> Product:
    return LowRank(config.factor(config.r) * trained["B"], trained["G"] @ trained["A"])


def pivots(place: Place) -> Basis:
    return ldu(place.weight(), place.config.pivots)


def loldu_starts(place: Place, basis: Basis) -> Tensors:
    r = len(basis.s)
    return {"z": basis.s.clone(), "sigma": place.like.new_full((1,), place.config.start_factor(r))}


def by_pivots(config: UpdateConfig, basis: Basis, trained: Tensors) -> Product:
    """P L_r (sigma diag(z) - (lu_alpha / r) D_r) U_r."""
    PL, D, U = basis
    factor = D.new_full(
        (1,), config.start_factor(len(D))
    )  # as sigma starts, so that the difference starts at 0 exactly
    change = trained["sigma"] * trained["z"] - factor * D  # (r,)
    return LowRank(PL, change[:, None] * U)


def none_yet(place: Place) -> Basis:
    k, K = place.config.directions, min(place.out, place.inp)
    if k > K:
        raise ValueError(f"directions={k} is more than the {K} that it has")
    return Basis(place.zeros(place.out, k), place.zeros(k), place.zeros(k, place.inp))


def dash_starts(place: Place, basis: Basis) -> Tensors:
    r = place.config.r
    return {"A": place.drawn(r, place.inp), "B": place.zeros(place.out, r), "d_sigma": place.zeros(len(basis.s))}


def with_directions(config: UpdateConfig, basis: Basis, trained: Tensors) -> Product:
    """(alpha / r) B A + U diag(d_sigma) V^T."""
    L = torch.cat([config.factor(config.r) * trained["B"], basis.U], dim=1)  # (O, r + k)
    return LowRank(L, torch.cat([trained["A"], trained["d_sigma"][:, None] * basis.Vh]))


def most_changed(config: UpdateConfig, basis: Basis, trained: Tensors) -> torch.Tensor | None:
    """(k,): those with the largest |u_i^T B A v_i| / s_i, the largest first; alpha / r is the same for all."""
    U, s, Vh = basis
    change = ((U.T @ trained["B"]) * (Vh @ trained["A"].T)).sum(dim=1)  # (K,)
    if not change.any():
        return None
    return (change.abs() / s.clamp_min(torch.finfo(s.dtype).tiny)).topk(config.directions).indices


def whole(place: Place) -> Basis:
    return place.decompose()


def soda_starts(place: Place, basis: Basis) -> Tensors:
    parts = kronecker.sizes(place.inp, place.config.rotations)
    rotations = {name: place.zeros(size, size) for name, size in zip(ROTATIONS, parts, strict=False)}
    return {"d_sigma": place.zeros(len(basis.s)), **rotations}


def spectrum_and_rotation(config: UpdateConfig, basis: Basis, trained: Tensors) -> Product:
    parts = [rotation_less_identity(trained[name]) for name in ROTATIONS[: config.rotations]]
    return Rotated(basis.U, basis.Vh, trained["d_sigma"], parts)


OF_LU = ("rows and columns of L and U", "nearly equal pivots")
ROTATIONS = ("X_1", "X_2", "X_3")  # of which only the skew parts matter
KINDS = {
    "ssl": Kind(("d_in",), ssl_starts, scaled, reads_weight=True),
    "ssb": Kind(("d_in", "d_out"), ssb_starts, scaled, reads_weight=True),
    "flora": Kind(("A", "B", "G"), flora_starts, with_core, ("r", "alpha"), ("alpha",)),
    "loldu": Kind(
        ("z", "sigma"), loldu_starts, by_pivots, ("pivots", "lu_alpha"), ("pivots", "lu_alpha"), pivots, words=OF_LU
    ),
    "lora_dash": Kind(
        ("A", "B", "d_sigma"),
        dash_starts,
        with_directions,
        ("r", "alpha", "directions"),
        ("alpha",),
        none_yet,
        most_changed,
    ),
    "soda": Kind(
        ("d_sigma", *ROTATIONS), soda_starts, spectrum_and_rotation, ("rotations",), basis=whole, reads_weight=True
    ),
}
