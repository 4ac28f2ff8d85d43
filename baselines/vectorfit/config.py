"""What can be chosen about a VectorFit adapter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from peft.utils.peft_types import PeftType

from svft.basis.config import BasisConfig, is_integer
from svft.basis.documented import described, documented


@documented
@dataclass
class VectorFitConfig(BasisConfig):
    """W = U diag(sigma) V^T with sigma trained, and the layer's bias with it (Hegde et al. 2025, arXiv:2503.19530).

    W0 = U diag(s) V^T is out x in; trained for each layer: min(out, in) numbers, and out of the bias. With
    `multiplicative` and without `train_bias` it is SVF (Sun et al. 2025, arXiv:2501.06252), with `cells` and without
    `train_bias` DiTASK for one task (Mantri et al. 2025, arXiv:2502.06029), cells - 1 numbers for each layer. Trained
    vectors are fp32 unless PEFT is told autocast_adapter_dtype=False: on a base of 16 bits sigma is then rounded at the
    start, z is not. With `share` layers of one role train one sigma - s, one change of the bias, one z or one theta.
    Raises ValueError for values that do not go together.
    """

    OF_THE_FUNCTION: ClassVar[tuple[str, ...]] = (
        *BasisConfig.OF_THE_FUNCTION,
        "train_bias",
        "multiplicative",
        "cells",
    )

    train_bias: bool = field(
        default=True, metadata=described("train the bias too, from its own value, where the layer has one")
    )
    multiplicative: bool = field(
        default=False, metadata=described("train z in U diag(s z) V^T, from z = 1, and not sigma, from sigma = s")
    )

    cells: int | None = field(
        default=None,
        metadata=described(
            "train the singular values together, as a diffeomorphism with this many cells, 2 or more, whose cells - 1 "
            "numbers are 0 at the start; None: each by itself"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.VECTORFIT
        if self.cells is None:
            return
        if not is_integer(self.cells) or self.cells < 2:
            raise ValueError(f"cells={self.cells!r} is not an integer >= 2, nor None")
        if self.multiplicative:
            raise ValueError(f"multiplicative=True trains each singular value by itself; leave cells={self.cells} None")
