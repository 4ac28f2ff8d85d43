"""What can be chosen about a Spectral Adapter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from peft.utils.peft_types import PeftType

from svft.basis.config import BasisConfig, is_integer
from svft.basis.documented import described, documented

from .modes import MODES


@documented
@dataclass
class SpectralAdapterConfig(BasisConfig):
    """h = W x with r columns of W0 = U S V^T adapted: Spectral Adapter (Zhang & Pilanci 2024, arXiv:2405.13952), and by
    other modes MiLoRA (arXiv:2406.09044), SSVD (arXiv:2509.02830) and PiCa without its sharing (arXiv:2505.20211).

    W0 is out x in, with min(out, in) columns of U and V. Trained tensors are fp32 unless PEFT is told
    autocast_adapter_dtype=False. Like the released code (pilancilab/spectral_adapter@3c18280): no dropout, and no
    factor alpha / r. Raises ValueError for values that do not go together.
    """

    OF_THE_FUNCTION: ClassVar[tuple[str, ...]] = (  # the columns are seen in the basis
        *BasisConfig.OF_THE_FUNCTION,
        "mode",
        "scale",
        "weights",
    )

    mode: str = field(
        default="additive",
        metadata=described(
            "additive: (U1 + A_U) S (V1 + A_V)^T, A_U out x r and A_V in x r from 0; rotation: U1 R_U S (V1 R_V)^T, "
            "with R by Cayley's map of two r x r matrices from 0; factored: (U1 S^1/2 + D_B) (V1 S^1/2 + D_A)^T, "
            "which is MiLoRA with block=bottom and PiSSA with block=top; one_sided: U1 (S + D_S) G V1^T, G a rotation, "
            "as SSVD; right: (U1 S + M) V1^T, as PiCa; left: U1 (S V1^T + M^T)"
        ),
    )
    r: int | None = field(
        default=None,
        metadata=described(
            "columns to adapt, an integer >= 1: r (out + in) parameters if additive or factored, 2 r^2 (+ r with "
            "scale) if rotation, where r = 1 without scale leaves the layer as it is, r (r + 1) / 2 if one_sided, "
            "r out if right, r in if left. Has to be given, unless columns are"
        ),
    )
    block: str | int | None = field(
        default=None,
        metadata=described("which r columns: top (what None means), bottom, or the index, from 0, of the first"),
    )
    scale: bool = field(
        default=False,
        metadata=described(
            "rotation: train a factor on each of the r singular values too, from 1, as the released code does"
        ),
    )
    columns: list[int] | None = field(
        default=None,
        metadata=described("the columns one by one in place of r and block, negative from the end; of fused adapters"),
    )
    weights: list[float] | None = field(
        default=None, metadata=described("factor on the update of each column, None is 1; of fused adapters")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.SPECTRAL_ADAPTER
        if self.mode not in MODES:
            raise ValueError(f"mode={self.mode!r} is not one of {', '.join(MODES)}")
        if self.scale and self.mode != "rotation":
            raise ValueError(f"scale=True goes with mode='rotation', not with mode={self.mode!r}")
        if self.columns is None:
            self._require_block()
        else:
            self._require_columns()
        self._require_weights()

    def _require_block(self) -> None:
        if not is_integer(self.r) or self.r < 1:
            raise ValueError(f"r={self.r!r} is not an integer >= 1")
        if self.block is None:
            self.block = "top"
        if self.block not in ("top", "bottom") and (not is_integer(self.block) or self.block < 0):
            raise ValueError(f"block={self.block!r} is not top, bottom or an integer >= 0 (the first column)")

    def _require_columns(self) -> None:
        self.columns = _list(self.columns, "columns")
        if not self.columns or not all(is_integer(column) for column in self.columns):
            raise ValueError(f"columns={self.columns!r} is not a list of integers")
        if self.block is not None or self.r not in (None, len(self.columns)):
            raise ValueError(f"columns stand in place of r={self.r!r} and block={self.block!r}; leave these None")
        self.r = len(self.columns)

    def _require_weights(self) -> None:
        if self.weights is None:
            return
        self.weights = [float(weight) for weight in _list(self.weights, "weights")]
        if len(self.weights) != self.r:
            raise ValueError(f"{len(self.weights)} weights were given for {self.r} columns")

    def column_list(self) -> list[int]:
        """Negative ones count from the end, as a layer has min(out, in) of them."""
        if self.columns is not None:
            return self.columns
        first = {"top": 0, "bottom": -self.r}.get(self.block, self.block)
        return list(range(first, first + self.r))

    def columns_of(self, K: int) -> list[int]:
        """Their indices in a layer with K singular values. Raises ValueError where there are too few."""
        columns = [column + K if column < 0 else column for column in self.column_list()]
        if not all(0 <= column < K for column in columns):
            asked = f"r={self.r} with block={self.block!r}" if self.columns is None else f"columns={self.columns}"
            raise ValueError(f"{asked} asks for columns that are not there; min(out, in) is {K}")
        if len(set(columns)) < len(columns):
            raise ValueError(f"columns={self.columns} name a column twice; min(out, in) is {K}")
        return columns


def _list(value: object, name: str) -> list:
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ValueError(f"{name}={value!r} is not a list")
    return list(value)
