"""What a step computes and what layers store, counted: operations of products, kernels, bytes of singular vectors.

Shapes: T tokens, O out_features, I in_features, K = min(O, I).
A multiply-add is two operations. Products are those that torch counts, attention's too; what a sparse M computes is
added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.timing import Step
from svft import SvftLinear
from svft.arithmetic import cost


class Kernels(TorchDispatchMode):
    """A context to run a step in: `number` of operations that compute something. Views, which do not, are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += not getattr(func, "is_view", False)
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Counted:
    """Of one step. `least`: operations if every SVFT layer took the fewest that any known order of products takes."""

    operations: int
    least: int
    kernels: int


def of(step: Step, layers: Sequence[SvftLinear], tokens: int) -> Counted:
    """layers: the SVFT layers that the step passes, each with so many tokens."""
    with FlopCounterMode(display=False) as products:
        step.run()
    step.reset()
    with Kernels() as kernels:
        step.run()
    step.reset()
    counts = [layer.count(tokens) for layer in layers]
    taken = sum(cost.operations(count.forward + count.backward) for count in counts)
    fewest = sum(least(layer.out_features, layer.in_features, tokens, layer.spare != "weight") for layer in layers)
    operations = products.get_total_flops() + 2 * sum(count.sparse for count in counts)
    return Counted(operations, products.get_total_flops() - taken + fewest, kernels.number)


def least(O: int, I: int, T: int, kept: bool) -> int:  # noqa: E741
    """Operations of output and exact gradients of one layer with a diagonal M, forward and backward.

    Output and gradient of x take a product of W0's size each. The gradient of m takes V^T x and U^T dy, or dy^T x and
    a product that does not depend on T; what M adds to the output takes a product with a factor, or is built into a
    matrix. With W0 kept the start is W0 x to the last bit, so that V^T x does not stand in for a part of it.
    """
    K = min(O, I)
    if not kept:
        return 2 * min(2 * T * K * (O + I), 3 * T * O * I + 2 * O * K * I)
    if O != I:
        return 2 * (2 * T * O * I + min(4 * T * K * K, 3 * T * K * K + 2 * K**3))
    return 2 * min(5 * T * K * K, 3 * T * K * K + 2 * K**3)


def stored(layers: Sequence[SvftLinear], base_bytes: int) -> dict[str, int]:
    """Bytes of a model of `base_bytes` with these layers, without their coefficients and patterns, in their dtypes.

    `counted_bytes`: with the singular vectors that they keep. `least_bytes`: with one factor beside each W0 where both
    are kept, for which no singular value may be near 0; that of a layer without W0 is what it keeps.
    """
    counted = least = base_bytes
    for layer in layers:
        kept = [factor.nbytes for factor in (layer.basis_U, layer.basis_Vh) if factor is not None]
        freed = layer.freed_parameters * layer.basis_s.itemsize
        counted += sum(kept) - freed
        least += (sum(kept) if layer.spare == "weight" else min(kept)) - freed
    return {"counted_bytes": counted, "least_bytes": least}


def columns(mine: Counted, reference: Counted | None) -> dict[str, Any]:
    """Of a row: what was counted, and the ratios of operations; null without a reference."""
    return {
        "operations": mine.operations,
        "kernels": mine.kernels,
        "counted": mine.operations / reference.operations if reference else None,
        "least": mine.least / reference.operations if reference else None,
        "reference_kernels": reference.kernels if reference else None,
    }
