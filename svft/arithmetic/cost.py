"""Which order of products an adapted layer takes for so many tokens, from a count of what each order computes.

Shapes: T tokens, O out_features, I in_features, K directions, C = the leading directions that M couples.
A dense product (a x b)(b x c) counts 2abc operations; an entry that is moved beside products counts as many operations
as the device does in that time, and so does a multiply-add of a sparse M.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch

from .coupling import Coupling, Diagonal, Product, Sparse

FORMS = ("activations", "folded", "materialised")
OPERATIONS_PER_BYTE = {"cpu": 20, "cuda": 150}  # dense products against streamed memory, in their order of magnitude
OPERATIONS_PER_ENTRY = 7  # a multiply-add of a sparse M against those of dense products
WIDE = 256  # directions from which a layer takes what rounds otherwise: below, it would gain little


class Shape(NamedTuple):
    out: int  # O
    inp: int  # I
    K: int
    M: Coupling


class Count(NamedTuple):
    """What a form computes in a forward pass, and in a backward pass for x and m."""

    forward: list[Product]
    backward: list[Product]
    moved: int  # entries written or read beside the products, both passes together
    sparse: int = 0  # multiply-adds of a sparse M: in the forward pass once, in the backward pass twice

    def __add__(self, other: Count) -> Count:
        both = zip(self, other, strict=True)
        return Count(*(mine + others for mine, others in both))


def activations(T: int, shape: Shape) -> Count:
    out, inp, K, M = shape
    coupled = M.products(T)
    forward = [(T, inp, K), *coupled, (T, K, out)]
    backward = [(T, out, K), *coupled, (T, K, inp), *coupled]
    return Count(forward, backward, 2 * _moved(T * K, M), 3 * M.entries(T))


def folded(T: int, shape: Shape) -> Count:
    out, inp, K, M = shape
    small_side = min(out, inp)
    fold, small = M.products(small_side), (M.C, T, inp) if out >= inp else (out, T, M.C)
    chain = [(T, inp, K), (T, K, out)]
    back = [(T, out, K), (T, K, inp), small]
    moved, sparse = 2 * _moved(K * small_side, M), 3 * M.entries(small_side)
    return Count([*fold, *chain], [*fold, *back, *fold], moved, sparse)


def materialised(T: int, shape: Shape) -> Count:
    out, inp, K, M = shape
    small_side = min(out, inp)
    build = [*M.products(small_side), (out, K, inp)]
    gather = [(M.C, out, inp) if out >= inp else (out, inp, M.C), *M.products(small_side)]
    moved, sparse = 2 * _moved(out * inp, M), 3 * M.entries(small_side)
    return Count([*build, (T, inp, out)], [*build, (T, out, inp), (out, T, inp), *gather], moved, sparse)


COUNTS = {"activations": activations, "folded": folded, "materialised": materialised}


def frozen(T: int, out: int, inp: int, backward: bool = True) -> Count:
    """x through a frozen weight; not `backward`: the gradient of x comes from elsewhere."""
    return Count([(T, inp, out)], [(T, out, inp)] if backward else [], 0)


def _moved(entries: int, M: Coupling) -> int:
    """Read, read and written where M is applied, and M itself where it is laid out."""
    return 3 * entries + (0 if isinstance(M, (Diagonal, Sparse)) else 3 * M.C**2)


def stays_sparse(dense: Coupling, index: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether M on the positions `index` computes less entry by entry than in the products of `dense`.

    On a CPU alone, and in 32 bits or more, for which its kernels are made; torch.compile does not look into them.
    """
    if index.device.type != "cpu" or dtype.itemsize < 4 or dense.C < WIDE or torch.compiler.is_compiling():
        return False
    return OPERATIONS_PER_ENTRY * len(index) < operations(dense.products(1))


def operations(products: Iterable[Product]) -> int:
    return sum(2 * a * b * c for a, b, c in products)


def cost(count: Count, training: bool, device: str, itemsize: int) -> float:
    """Operations, with what is moved at its price; `itemsize` is bytes of an entry."""
    products = count.forward + (count.backward if training else [])
    per_byte = OPERATIONS_PER_BYTE.get(device, OPERATIONS_PER_BYTE["cuda"])
    beside = per_byte * itemsize * count.moved * (1 if training else 0.5)
    return operations(products) + beside + OPERATIONS_PER_ENTRY * count.sparse * (1 if training else 1 / 3)


def cheapest(counts: Mapping[str, Count], training: bool, device: str, itemsize: int) -> str:
    """The form with the least cost; among equals the first."""
    chosen, least = "", None
    for form, count in counts.items():  # not min(..., key=...), which torch.compile cannot trace
        operations = cost(count, training, device, itemsize)
        if least is None or operations < least:
            chosen, least = form, operations
    return chosen
