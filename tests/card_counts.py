"""What the card of a method says that is trained, counted."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.content import cards

PARTS = {  # options by their letters
    "oft_block_size": "b", "boft_block_size": "b", "boft_n_butterfly_factor": "f", "block_size": "b",
    "decompose_factor": "f", "effective_rank": "k", "directions": "k", "cells": "c", "pivots": "r",
}  # fmt: skip


def counted(method: str, options: Mapping[str, Any], shapes: Iterable[tuple[int, int]]) -> float:
    """Of layers with these (outputs, inputs); options: those of the adapter."""
    card, values = cards.read()[method], {PARTS.get(name, name): value for name, value in options.items()}
    in_layers = sum(_value(card["count"], _of_layer(values, m, n)) for m, n in shapes)
    return in_layers + (_value(card["once"], values) if "once" in card else 0)


def _of_layer(values: Mapping[str, Any], m: int, n: int) -> dict[str, Any]:
    """An r that is not chosen is p; b1 b2 = n, as equal as divisors are."""
    p, b1 = min(m, n), max(each for each in range(1, math.isqrt(n) + 1) if n % each == 0)
    r = p if values.get("r") is None else values["r"]
    return {**values, "m": m, "n": n, "p": p, "r": r, "b1": b1, "b2": n // b1}


def _value(formula: str, values: Mapping[str, Any]) -> float:
    product = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", formula).replace("²", "**2")
    return eval(product, {"ceil": math.ceil, "floor": math.floor, "isqrt": math.isqrt}, dict(values))
