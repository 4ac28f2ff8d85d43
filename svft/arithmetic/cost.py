"""Which order of products an adapted layer takes for so many tokens, from a count of what each order computes.

Shapes: T tokens, O out_features, I in_features, K directions, C = the leading directions that M couples.
A dense product (a x b)(b x c) counts 2abc operations; an entry that is moved beside products counts as many operations
as the device does in that time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .coupling import Coupling, Diagonal, Product

FORMS = ("activations", "folded", "materialised")
OPERATIONS_PER_BYTE = {"cpu": 20, "cuda": 150}  # dense products against streamed memory, in their order of magnitude


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

    def __add__(self, other: Count) -> Count:
        return Count(self.forward + other.forward, self.backward + other.backward, self.moved + other.moved)


def activations(T: int, shape: Shape) -> Count:
    out, inp, K, M = shape
    coupled = M.products(T)
    forward = [(T, inp, K), *coupled, (T, K, out)]
    backward = [(T, out, K), *coupled, (T, K, inp), *coupled]
    return Count(forward, backward, 2 * _moved(T * K, M))


def folded(T: int, shape: Shape) -> Count:
    out, inp, K, M = shape
    fold, small = M.products(min(out, inp)), (M.C, T, inp) if out >= inp else (out, T, M.C)
    chain = [(T, inp, K), (T, K, out)]
    back = [(T, out, K), (T, K, inp), small]
    return Count([*fold, *chain], [*fold, *back, *fold], 2 * _moved(K * min(out, inp), M))


def materialised(T: int, shape: Shape) -> Count:
    out, inp, K, M = shape
    build = [*M.products(min(out, inp)), (out, K, inp)]
    gather = [(M.C, out, inp) if out >= inp else (out, inp, M.C), *M.products(min(out, inp))]
    return Count([*build, (T, inp, out)], [*build, (T, out, inp), (out, T, inp), *gather], 2 * _moved(out * inp, M))


COUNTS = {"activations": activations, "folded": folded, "materialised": materialised}


def frozen(T: int, out: int, inp: int) -> Count:
    """x through a frozen weight."""
    return Count([(T, inp, out)], [(T, out, inp)], 0)


def _moved(entries: int, M: Coupling) -> int:
    """Read, read and written where M is applied, and M itself where it is laid out."""
    return 3 * entries + (0 if isinstance(M, Diagonal) else 3 * M.C**2)


def operations(products: Iterable[Product]) -> int:
    return sum(2 * a * b * c for a, b, c in products)


def cost(count: Count, training: bool, device: str, itemsize: int) -> float:
    """Operations, with what is moved at its price; `itemsize` is bytes of an entry."""
    products = count.forward + (count.backward if training else [])
    per_byte = OPERATIONS_PER_BYTE.get(device, OPERATIONS_PER_BYTE["cuda"])
    return operations(products) + per_byte * itemsize * count.moved * (1 if training else 0.5)


def cheapest(counts: Mapping[str, Count], training: bool, device: str, itemsize: int) -> str:
    """The form with the least cost; among equals the first."""
    chosen, least = "", None
    for form, count in counts.items():  # not min(..., key=...), which torch.compile cannot trace
        operations = cost(count, training, device, itemsize)
        if least is None or operations < least:
            chosen, least = form, operations
    return chosen
