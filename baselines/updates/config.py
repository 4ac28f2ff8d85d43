"""What can be chosen about a weight update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from peft.utils.peft_types import PeftType

from svft.basis.config import BasisConfig
from svft.basis.documented import described, documented

from .kinds import KINDS


@documented
@dataclass
class UpdateConfig(BasisConfig):
    """h = (W0 + Delta) x, with one of several kinds of Delta that is zero before training (`baselines.updates.kinds`).

    W0 is out x in. Trained tensors are fp32 unless PEFT is told autocast_adapter_dtype=False, which rounds them: then
    a kind whose tensors start at values of W0 starts next to the pre-trained function and not at it. Raises ValueError
    for values that do not go together.
    """

    OF_THE_FUNCTION: ClassVar[tuple[str, ...]] = ("kind",)

    kind: str | None = field(
        default=None,
        metadata=described(
            "ssl: W0 diag(d), in parameters; ssb: diag(d_out) W0 diag(d_in), out + in, both from 1 "
            "(arXiv:2407.05417). Has to be given"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.WEIGHT_UPDATE
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not one of {', '.join(KINDS)}")
