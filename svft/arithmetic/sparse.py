"""A sparse M on a CPU, where it makes one sum of rows for each direction instead of a dense product.

Shapes: C directions, T vectors, N = |Ω|. Vectors are laid out by direction, (C, T) in rows: an entry of M then moves T
neighbouring numbers. Ω are flat positions i C + j in ascending order; its entries at equal positions add up.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import NamedTuple

import torch

SUM = 0  # of embedding_bag's modes


class Order(NamedTuple):
    """What Ω alone does not say quickly. Columns, rows and places are in 16 bits where they fit."""

    columns: torch.Tensor  # of each entry of M, (N,)
    begins: torch.Tensor  # of each row of M, and the end; (C + 1,)
    begins_transposed: torch.Tensor  # of each row of M^T, and the end; (C + 1,)
    rows_transposed: torch.Tensor  # row of M of each entry of M^T, (N,)
    places: torch.Tensor  # in Ω, of each entry of M^T; (N,)


class Orders(dict[str, tuple[torch.Tensor, int, Order | None]]):
    """Of the adapters of a layer: Ω, its version, and its order."""

    def of(self, adapter: str, index: torch.Tensor, C: int) -> Order | None:
        """Worked out anew where Ω is another tensor, or another one was copied into it."""
        held = self.get(adapter)
        if held is None or held[0] is not index or held[1] != index._version:
            held = self[adapter] = index, index._version, order(index, C)
        return held[2]


def order(index: torch.Tensor, C: int) -> Order | None:
    """None where Ω does not ascend."""
    if (index[1:] < index[:-1]).any():
        return None
    _hear_once()
    rows, columns = index // C, index % C
    places = columns.argsort(stable=True)
    at = _short(columns, C), _begins(rows, C), _begins(columns, C), _short(rows[places], C), _short(places, len(index))
    return Order(*at)


def _short(numbers: torch.Tensor, below: int) -> torch.Tensor:
    return numbers.to(torch.int16 if torch.iinfo(torch.int16).max >= below else torch.int32)


@cache
def _hear_once() -> None:
    """Torch says once in a process that its CSR tensors are in beta; a layer's user did not ask for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


def _begins(lines: torch.Tensor, C: int) -> torch.Tensor:
    """Of each of C lines and their end, (C + 1,)."""
    return torch.cat([lines.new_zeros(1), lines.bincount(minlength=C).cumsum(0)]).to(torch.int32)


def multiply(
    m: torch.Tensor, order: Order, h: torch.Tensor, rows: torch.Tensor | None, columns: torch.Tensor | None
) -> torch.Tensor:
    """diag(rows) M diag(columns) h; (C, T)."""
    return _sums(m, order.columns.to(torch.int32), order.begins, h, columns, rows)


def multiply_transposed(
    m: torch.Tensor, order: Order, g: torch.Tensor, rows: torch.Tensor | None, columns: torch.Tensor | None
) -> torch.Tensor:
    """diag(columns) M^T diag(rows) g; (C, T)."""
    m = m.index_select(0, order.places.to(torch.int32))
    return _sums(m, order.rows_transposed.to(torch.int32), order.begins_transposed, g, rows, columns)


def _sums(m, lines: torch.Tensor, begins: torch.Tensor, h, before, after) -> torch.Tensor:
    """Of the lines of h that each line of M meets; h scaled `before`, the sums `after`."""
    if before is not None:
        m = m * before.index_select(0, lines)
    z = torch.embedding_bag(h, lines, begins, False, SUM, False, m, True)[0]
    return z if after is None else z.mul_(after[:, None])


def sampled(
    g: torch.Tensor, h: torch.Tensor, order: Order, rows: torch.Tensor | None, columns: torch.Tensor | None
) -> torch.Tensor:
    """diag(rows) g h^T diag(columns) on Ω, (N,), of g and h (C, T)."""
    C, lines = len(h), order.columns.to(torch.int32)
    pattern = torch.sparse_csr_tensor(order.begins, lines, g.new_zeros(len(lines)), (C, C), check_invariants=False)
    dm = torch.sparse.sampled_addmm(pattern, g, h.T, beta=0).values()
    if rows is not None:
        dm.mul_(rows.repeat_interleave(order.begins.diff(), output_size=len(dm)))
    return dm if columns is None else dm.mul_(columns.index_select(0, lines))
