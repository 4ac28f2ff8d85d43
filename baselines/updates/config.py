"""What can be chosen about a weight update."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from peft.utils.peft_types import PeftType

from svft.basis.config import BasisConfig, is_integer
from svft.basis.documented import described, documented

from .kinds import KINDS


class Needed(NamedTuple):
    words: str  # they end the sentence "... is not"
    fits: Callable[[object], bool]


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


OPTIONS = {  # that some kinds take, and what they are there
    "r": Needed("an integer >= 1", lambda value: is_integer(value) and value >= 1),
    "pivots": Needed("an integer >= 1", lambda value: is_integer(value) and value >= 1),
    "directions": Needed("an integer >= 1", lambda value: is_integer(value) and value >= 1),
    "rotations": Needed("1, 2 or 3", lambda value: is_integer(value) and 1 <= value <= 3),
    "alpha": Needed("a finite number above 0", _is_positive),
    "lu_alpha": Needed("a finite number above 0", _is_positive),
}


@documented
@dataclass
class UpdateConfig(BasisConfig):
    """h = (W0 + Delta) x, with one of several kinds of Delta that is zero before training (`baselines.updates.kinds`).

    W0 is out x in. Trained tensors are fp32 unless PEFT is told autocast_adapter_dtype=False, which rounds them: then
    a kind whose tensors start at values of W0 starts next to the pre-trained function and not at it. Raises ValueError
    for values that do not go together.
    """

    OF_THE_FUNCTION: ClassVar[tuple[str, ...]] = ("kind", "alpha", "lu_alpha")  # r is seen in the tensors

    kind: str | None = field(
        default=None,
        metadata=described(
            "ssl: W0 diag(d), in parameters; ssb: diag(d_out) W0 diag(d_in), out + in, both from 1 "
            "(arXiv:2407.05417); flora: (alpha / r) B G A, r (out + in) + r^2, G from 0 (arXiv:2405.14739); loldu: r "
            "pivots D of W0 = P L D U and a factor on them, r + 1 (arXiv:2410.13618); lora_dash: (alpha / r) B A + U_k"
            " diag(d_sigma) V_k^T, r (out + in) + k, of which the k coefficients of singular directions do "
            "nothing until baselines.DashDirections has these chosen (arXiv:2409.01035); soda: U diag(s "
            "+ d_sigma) V^T R, min(out, in) and the squares of the sizes of R's factors, a reading (arXiv:2405.21050). "
            "Has to be given"
        ),
    )
    r: int | None = field(
        default=None,
        metadata=described("flora, lora_dash: the rank, an integer >= 1, which has to be given"),
    )
    pivots: int | None = field(
        default=None,
        metadata=described("loldu: the first so many are trained, min(out, in) at most, which is what None means"),
    )
    alpha: float | None = field(
        default=None,
        metadata=described("flora, lora_dash: alpha / r is a factor on B G A and B A; None is r, a factor of 1"),
    )
    lu_alpha: float | None = field(
        default=None,
        metadata=described(
            "loldu: the factor on r pivots starts at lu_alpha / r, or at 1; it changes the steps, not the start"
        ),
    )
    directions: int | None = field(
        default=None, metadata=described("lora_dash: how many singular directions are chosen, min(out, in) at most")
    )
    rotations: int | None = field(
        default=None,
        metadata=described(
            "soda: of how many factors the rotation is the Kronecker product, 1 to 3, as equal in size as the divisors "
            "of in are"
        ),
    )
    seed: int = field(
        default=0, metadata=described("an integer: of what is drawn at the start, flora's A and B and lora_dash's A")
    )

    @property
    def needs_callback(self) -> str | None:
        """The class of a trainer callback without which the adapter is another one than its name says."""
        return "DashDirections" if KINDS[self.kind].choose else None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.WEIGHT_UPDATE
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not one of {', '.join(KINDS)}")
        if self.share is not None:
            raise ValueError(f"share={self.share!r} goes with SVFT, VectorFit and the Spectral Adapter, not with kinds")
        self._require_options()

    def _require_options(self) -> None:
        options, optional = KINDS[self.kind].options, KINDS[self.kind].optional
        for name, needed in OPTIONS.items():
            value = getattr(self, name)
            if value is not None and name not in options:
                takers = ", ".join(kind for kind in KINDS if name in KINDS[kind].options)
                raise ValueError(f"{name}={value!r} goes with kind={takers}, not with kind={self.kind!r}")
            may_be_none = name in optional
            if name in options and not (may_be_none and value is None) and not needed.fits(value):
                words = f"{needed.words}, or None" if may_be_none else needed.words
                raise ValueError(f"{name}={value!r} is not {words}, as kind={self.kind!r} needs it")
        if not is_integer(self.seed):
            raise ValueError(f"seed={self.seed!r} is not an integer")

    def factor(self, r: int) -> float:
        """alpha / r."""
        return 1.0 if self.alpha is None else self.alpha / r

    def start_factor(self, r: int) -> float:
        """lu_alpha / r."""
        return 1.0 if self.lu_alpha is None else self.lu_alpha / r
