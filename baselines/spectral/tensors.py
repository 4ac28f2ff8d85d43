"""The trained tensors of all modes, by the name of the attribute that holds them in a layer: where each starts, and how
it follows a change of signs and a change of columns.

Shapes: O out_features, I in_features, r columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

Tensors = dict[str, torch.Tensor]


class Kind(NamedTuple):
    """One kind of trained tensor.

    start: the value of its entries before training. turn(tensor, signs): what is the same with the pairs
    e_i (u_i, v_i) as the tensor with (u_i, v_i). place(whole, part, columns, weight): adds what was trained on some
    columns to a tensor for more of them, which is at its start or has had other parts added.
    """

    start: float
    turn: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    place: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], None]


def turn_columns(tensor: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    return tensor * signs


def place_columns(whole: torch.Tensor, part: torch.Tensor, columns: torch.Tensor, weight: float) -> None:
    whole[:, columns] += weight * part


def turn_square(tensor: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """Entries x_ij become e_i e_j x_ij."""
    return signs[:, None] * tensor * signs


def place_square(whole: torch.Tensor, part: torch.Tensor, columns: torch.Tensor, weight: float) -> None:
    whole[columns[:, None], columns] += weight * part


def turn_nothing(tensor: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """On the diagonal each pair meets itself, and e_i e_i = 1."""
    return tensor


def place_differences(start: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], None]:
    def place(whole: torch.Tensor, part: torch.Tensor, columns: torch.Tensor, weight: float) -> None:
        whole[columns] += weight * (part - start)

    return place


def skew(numbers: torch.Tensor, r: int) -> torch.Tensor:
    """K (r x r) with K^T = -K, from the r (r - 1) / 2 numbers above its diagonal, row by row."""
    upper = numbers.new_zeros(r, r)
    i, j = torch.triu_indices(r, r, offset=1, device=numbers.device)
    upper[i, j] = numbers
    return upper - upper.T


def numbers_of(K: torch.Tensor) -> torch.Tensor:
    """Back from `skew`."""
    i, j = torch.triu_indices(*K.shape, offset=1, device=K.device)
    return K[i, j]


def turn_skew(tensor: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    return numbers_of(turn_square(skew(tensor, len(signs)), signs))


def place_skew(whole: torch.Tensor, part: torch.Tensor, columns: torch.Tensor, weight: float) -> None:
    """Of columns in another order an entry below the diagonal comes above it, with the other sign."""
    r = (1 + math.isqrt(1 + 8 * len(whole))) // 2  # r (r - 1) / 2 = len(whole); a lone column has no numbers, like none
    K = whole.new_zeros(r, r)
    place_square(K, skew(part, len(columns)), columns, weight)
    whole += numbers_of(K)


OF_COLUMNS = Kind(0.0, turn_columns, place_columns)  # (., r), a column for each
SQUARE = Kind(0.0, turn_square, place_square)  # (r, r)

TENSORS = {
    "spectral_A_U": OF_COLUMNS,
    "spectral_A_V": OF_COLUMNS,
    "spectral_X_U": SQUARE,
    "spectral_X_V": SQUARE,
    "spectral_scale": Kind(1.0, turn_nothing, place_differences(1.0)),  # (r,)
    "spectral_D_B": OF_COLUMNS,
    "spectral_D_A": OF_COLUMNS,
    "spectral_K": Kind(0.0, turn_skew, place_skew),  # (r (r - 1) / 2,)
    "spectral_D_S": Kind(0.0, turn_nothing, place_differences(0.0)),  # (r,)
    "spectral_M_U": OF_COLUMNS,
    "spectral_M_V": OF_COLUMNS,
}
