"""What is trained on the columns U1, S, V1 of W0 = U S V^T, and the low-rank update that it makes.

    additive    W0 - U1 S V1^T + (U1 + A_U) S (V1 + A_V)^T          A_U and A_V trained from 0
    rotation    W0 - U1 S V1^T + (U1 R_U) S C (V1 R_V)^T            R_U, R_V orthogonal, from I; C = I, or trained

Zhang & Pilanci 2024, arXiv:2405.13952; C is the released code's.
Shapes: O out_features, I in_features, r columns; U is O x r, s is r, Vh is r x I, w (a weight per column) is r.
An update comes as its factors L (O x q) and R (q x I): W = W0 + L R. It is exactly zero at the start.
`Tensors` are trained tensors by the name of the attribute that holds them in a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from svft.decomposition import Basis

Tensors = dict[str, torch.Tensor]


class Mode(NamedTuple):
    """Two ways to train the same columns.

    sizes(out, inp, r): of the tensors that are zero at the start. factors(basis, w, trained): L and R.
    turn(tensor, signs): what is the same with the pairs e_i (u_i, v_i) as the tensor with (u_i, v_i).
    place(whole, part, columns, weight): adds what was trained on some columns to a tensor for more of them, at start.
    """

    sizes: Callable[[int, int, int], dict[str, tuple[int, int]]]
    factors: Callable[[Basis, torch.Tensor | None, Tensors], tuple[torch.Tensor, torch.Tensor]]
    turn: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    place: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], None]


def additive_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, int]]:
    return {"spectral_A_U": (out, r), "spectral_A_V": (inp, r)}


def additive_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """(U1 + A_U) S (V1 + A_V)^T - U1 S V1^T = U1 S A_V^T + A_U S (V1 + A_V)^T; q = 2r."""
    U, s, Vh = basis
    A_U, A_Vh = trained["spectral_A_U"], trained["spectral_A_V"].T
    s = (s if w is None else w * s)[:, None]  # (r, 1)
    return torch.cat([U, A_U], dim=1), torch.cat([s * A_Vh, s * (Vh + A_Vh)])  # (O, 2r), (2r, I)


def turn_columns(tensor: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    return tensor * signs


def place_columns(whole: torch.Tensor, part: torch.Tensor, columns: torch.Tensor, weight: float) -> None:
    whole[:, columns] += weight * part


def rotation_sizes(out: int, inp: int, r: int) -> dict[str, tuple[int, int]]:
    return {"spectral_X_U": (r, r), "spectral_X_V": (r, r)}


def rotation_factors(basis: Basis, w: torch.Tensor | None, trained: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
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
    return U, (core if w is None else w[:, None] * core) @ Vh  # (O, r), (r, I)


def rotation_less_identity(X: torch.Tensor) -> torch.Tensor:
    """R - I = -2 (I + K)^-1 K for R = (I - K)(I + K)^-1 (Cayley), K = (X - X^T) / 2; any leading dims."""
    K = (X - X.mT) / 2
    identity = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    return torch.linalg.solve(identity + K, -2 * K)


def turn_both(tensor: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """Entries x_ij become e_i e_j x_ij; the scale (r,) stays."""
    return signs[:, None] * tensor * signs if tensor.dim() == 2 else tensor


def place_diagonal_block(whole: torch.Tensor, part: torch.Tensor, columns: torch.Tensor, weight: float) -> None:
    """The scale (r,) starts at 1, X at 0."""
    if part.dim() == 1:
        whole[columns] += weight * (part - 1)
    else:
        whole[columns[:, None], columns] += weight * part


MODES = {
    "additive": Mode(additive_sizes, additive_factors, turn_columns, place_columns),
    "rotation": Mode(rotation_sizes, rotation_factors, turn_both, place_diagonal_block),
}
