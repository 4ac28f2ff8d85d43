"""What is trained on the columns U1, S, V1 of W0 = U S V^T, and the low-rank update that it makes.

    additive    W0 - U1 S V1^T + (U1 + A_U) S (V1 + A_V)^T          A_U and A_V trained from 0
    rotation    W0 - U1 S V1^T + (U1 R_U) S C (V1 R_V)^T            R_U, R_V orthogonal, from I; C = I, or trained
    factored    W0 - U1 S V1^T + (U1 S^1/2 + D_B) (V1 S^1/2 + D_A)^T    D_B and D_A trained from 0
    one_sided   W0 - U1 S V1^T + U1 (S + D_S) G V1^T                G orthogonal, from I; D_S diagonal, from 0
    right       W0 + M_U V1^T                                       M_U trained from 0
    left        W0 + U1 M_V^T                                       M_V trained from 0

additive, rotation: Zhang & Pilanci 2024, arXiv:2405.13952; C is the released code's.
factored: MiLoRA on the bottom columns (Wang et al. 2024, arXiv:2406.09044), PiSSA on the top ones (Meng et al. 2024,
arXiv:2404.02948). Both train B = U1 S^1/2 + D_B and A itself; trained as differences the start is W0 exactly, and
weight decay draws to the start, where it would draw their B and A to 0.
one_sided: SSVD (Wang et al. 2025, arXiv:2509.02830). Their code (espnet/espnet, espnet2/layers/lora/layers.py) has a
learned gate on D_S besides, takes I - 2 K for the rotation, which is Cayley's map to first order alone, and turns the
left vectors where O < I; the paper turns those of the input.
right: PiCa (Hwang et al. 2026, arXiv:2505.20211), which shares M among the layers of a role (`share`). The paper
writes Y = X (W0 + U_r M) with W0 I x O, so that its left singular vectors are the right ones here, as in its code
(hjunseoh/PiCa@8fa738b, W + M P with P from Vh), and its printed counts are r O. left: the same on the other side.

Shapes: O out_features, I in_features, r columns; U is O x r, s is r, Vh is r x I, w (a weight per column) is r.
An update comes as its factors L (O x q) and R (q x I): W = W0 + L R. It is exactly zero at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from svft.decomposition import Basis

from .tensors import Tensors, skew

Factors = tuple[torch.Tensor, torch.Tensor]


class Mode(NamedTuple):
    """One way to train columns.

    sizes(out, inp, r): of the trained tensors, which `tensors` knows more about. factors(basis, w, trained): L and R.
    """

    sizes: Callable[[int, int, int], dict[str, tuple[int, ...]]]
    factors: Callable[[Basis, torch.Tensor | None, Tensors], Factors]


def weighted(rows: torch.Tensor, w: torch.Tensor | None) -> torch.Tensor:
    """rows (r, .), one for each column."""
    return rows if w is None else w[:, None] * rows


def additive_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, ...]]:
    return {"spectral_A_U": (out, r), "spectral_A_V": (inp, r)}


def additive_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> Factors:
    """(U1 + A_U) S (V1 + A_V)^T - U1 S V1^T = U1 S A_V^T + A_U S (V1 + A_V)^T; q = 2r."""
    U, s, Vh = basis
    A_U, A_Vh = trained["spectral_A_U"], trained["spectral_A_V"].T
    s = (s if w is None else w * s)[:, None]  # (r, 1)
    return torch.cat([U, A_U], dim=1), torch.cat([s * A_Vh, s * (Vh + A_Vh)])  # (O, 2r), (2r, I)


def factored_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, ...]]:
    return {"spectral_D_B": (out, r), "spectral_D_A": (inp, r)}


def factored_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> Factors:
    """(B0 + D_B) (A0 + D_A^T) - B0 A0 = B0 D_A^T + D_B (A0 + D_A^T), B0 = U1 S^1/2 and A0 = S^1/2 V1^T; q = 2r.

    A column with the singular value 0 has no gradient at the start, in MiLoRA as here.
    """
    U, s, Vh = basis
    D_B, D_A = trained["spectral_D_B"], trained["spectral_D_A"].T  # (O, r), (r, I)
    root = s.sqrt()
    A = root[:, None] * Vh + D_A  # (r, I)
    return torch.cat([U * root, D_B], dim=1), torch.cat([weighted(D_A, w), weighted(A, w)])  # (O, 2r), (2r, I)


def rotation_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, ...]]:
    return {"spectral_X_U": (r, r), "spectral_X_V": (r, r)}


def rotation_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> Factors:
    """U1 (R_U S C R_V^T - S) V1^T, where C = diag(scale) is I unless it is trained; q = r.

    Written in R_U - I, R_V - I and C - I, so that small updates are not differences of large numbers.
    """
    U, s, Vh = basis
    D_U, D_V = rotation_less_identity(torch.stack([trained["spectral_X_U"], trained["spectral_X_V"]]))  # (r, r) each
    scale = trained.get("spectral_scale")
    sc = s if scale is None else s * scale  # (r,)
    core = (D_U * sc) @ (D_V.T + torch.eye(len(s), dtype=s.dtype, device=s.device)) + sc[:, None] * D_V.T  # (r, r)
    if scale is not None:
        core = core + torch.diag(s * (scale - 1))
    return U, weighted(core, w) @ Vh  # (O, r), (r, I)


def rotation_less_identity(X: torch.Tensor) -> torch.Tensor:
    """R - I = -2 (I + K)^-1 K for R = (I - K)(I + K)^-1 (Cayley), K = (X - X^T) / 2; any leading dims."""
    K = (X - X.mT) / 2
    identity = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    return torch.linalg.solve(identity + K, -2 * K)


def one_sided_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, ...]]:
    """r (r + 1) / 2 numbers: those above the diagonal of K, and a change of each singular value."""
    return {"spectral_K": (r * (r - 1) // 2,), "spectral_D_S": (r,)}


def one_sided_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> Factors:
    """U1 ((S + D_S) G - S) V1^T = U1 ((S + D_S) (G - I) + D_S) V1^T; q = r."""
    U, s, Vh = basis
    D_S = trained["spectral_D_S"]
    turned = rotation_less_identity(skew(trained["spectral_K"], len(s)))  # (r, r)
    core = (s + D_S)[:, None] * turned + torch.diag(D_S)
    return U, weighted(core, w) @ Vh  # (O, r), (r, I)


def right_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, ...]]:
    return {"spectral_M_U": (out, r)}


def right_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> Factors:
    return trained["spectral_M_U"], weighted(basis.Vh, w)  # (O, r), (r, I)


def left_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, ...]]:
    return {"spectral_M_V": (inp, r)}


def left_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> Factors:
    return basis.U, weighted(trained["spectral_M_V"].T, w)  # (O, r), (r, I)


MODES = {
    "additive": Mode(additive_sizes, additive_factors),
    "rotation": Mode(rotation_sizes, rotation_factors),
    "factored": Mode(factored_sizes, factored_factors),
    "one_sided": Mode(one_sided_sizes, one_sided_factors),
    "right": Mode(right_sizes, right_factors),
    "left": Mode(left_sizes, left_factors),
}
