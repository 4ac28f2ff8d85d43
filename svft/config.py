"""What can be chosen about an SVFT adapter, and the two presets that fill what is left open."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from peft.utils.peft_types import PeftType

from . import patterns
from .arithmetic.cost import FORMS
from .basis.config import BasisConfig, is_integer
from .basis.documented import described, documented

LORA_XS_DEVIATION = 1e-5  # of R at the start (Balazy et al. 2024; arXiv:2405.17604)
# The only defaults of these fields. `clean` follows the paper's words; `authors_code` the released layer.
PRESETS = {
    "clean": {
        "init": "zeros",
        "gate": False,
        "replacement": False,
        "topk_score": "alignment",
        "truncate_base": False,
    },
    "authors_code": {
        "init": "kaiming",
        "gate": True,
        "replacement": True,
        "topk_score": "released",
        "truncate_base": True,
    },
}
FACTOR_DTYPES = ("float16", "bfloat16")
CHOICES = {
    "pattern": patterns.PATTERNS,
    "preset": tuple(PRESETS),
    "init": ("zeros", "kaiming", "lora_xs"),
    "topk_score": ("alignment", "released"),
    "bias": ("none", "all", "svft_only"),
    "form": ("auto", *FORMS),
}


def of_preset(name: str, text: str) -> dict[str, str]:
    values = [f"{values[name]!r} with preset={preset!r}" for preset, values in PRESETS.items()]
    return described(f"{text}; None: {', '.join(values)}")


@documented
@dataclass
class SvftConfig(BasisConfig):
    """h = W0 x + U M V^T x, with M trained on a fixed sparsity pattern (Lingam et al. 2024, Eq. 1; arXiv:2405.19597).

    W0 = U diag(s) V^T is out x in, and M is K x K with K = min(out, in, rank). Trained for each layer: N coefficients
    of M, fp32 unless PEFT is told autocast_adapter_dtype=False. Raises ValueError for values that do not go together.
    """

    OF_THE_FUNCTION: ClassVar[tuple[str, ...]] = (
        *BasisConfig.OF_THE_FUNCTION,
        "pattern",
        "d",
        "rank",
        "gate",
        "replacement",
        "topk_score",
        "truncate_base",
        "scaled",
        "factor_dtype",
    )

    pattern: str = field(
        default="plain",
        metadata=described(
            "where M may be non-zero. plain: its diagonal, N = K; banded: |i - j| <= d; random: N positions drawn with "
            "`seed`; topk: the N of the largest `topk_score`, or a band where the score is not defined; block: all of "
            "its leading b x b, N = b^2; gradient: the N that `select_by_gradient` puts there, a band until then"
        ),
    )
    d: int | None = field(
        default=None,
        metadata=described(
            "off-diagonals on each side, an integer >= 0 that is clipped to K - 1: N = K (2d + 1) - d (d + 1), for "
            "random, topk and gradient too; block: the largest b with b^2 <= that N; not for plain, which is d = 0"
        ),
    )
    rank: int | None = field(
        default=None,
        metadata=described(
            "restricts M to so many leading singular directions, an integer >= 1; None: min(out, in); block: b, in "
            "the place of d"
        ),
    )
    preset: str = field(
        default="clean",
        metadata=described(
            "fills the fields left None. clean: as the paper says; authors_code: as the released code does"
        ),
    )
    init: str | None = field(
        default=None,
        metadata=of_preset(
            "init",
            "the coefficients at the start: zeros; or drawn with `seed`: kaiming, N(0, 2/N), or lora_xs, N(0, 1e-10)",
        ),
    )
    gate: bool | None = field(
        default=None, metadata=of_preset("gate", "train sigmoid(gate) M, one gate for each layer, from gate = 0")
    )
    replacement: bool | None = field(
        default=None,
        metadata=of_preset(
            "replacement", "random draws positions with replacement; coefficients of one position add up"
        ),
    )
    topk_score: str | None = field(
        default=None,
        metadata=of_preset(
            "topk_score",
            "alignment: |u_i . v_j|, of square W0 only; released: signed entries of U V, or of the square one of U, "
            "V^T for other W0, and not with rank",
        ),
    )
    truncate_base: bool | None = field(
        default=None,
        metadata=of_preset("truncate_base", "with rank: drop the other singular directions of W0 as well"),
    )
    scaled: bool = field(
        default=False,
        metadata=described(
            "True: coefficients are relative to the singular values, M_ij = m_ij s_j. Then block is LoRA-XS (R = m) "
            "and plain is SVF (z = 1 + m)"
        ),
    )
    keep_weight: bool = field(
        default=True,
        metadata=described(
            "False frees W0: the layer is computed from U, Sigma and V^T, whose rounding (in 16 bits about that of the "
            "weight) moves the start; the first adapter of a model decides"
        ),
    )
    factor_dtype: str | None = field(
        default=None,
        metadata=described(
            "float16 or bfloat16: the singular vectors stand in 16 bits beside a wider W0, which halves their memory "
            "(one that is divided by a singular value below 1/8 of their root mean square stays whole). "
            "The start stays exact, products are taken in the dtype of W0, and the update is one of the rounded "
            "vectors, which float16 rounds eight times less. None: they have the dtype of W0"
        ),
    )
    form: str = field(
        default="auto",
        metadata=described(
            "order of products: activations, folded or materialised; auto: the cheapest by count that is precise, for "
            "each layer and number of tokens"
        ),
    )
    seed: int = field(
        default=0,
        metadata=described("an integer, of the random pattern and of the kaiming draw; the global RNG is left alone"),
    )
    bias: str = field(
        default="none",
        metadata=described(
            "biases of the base model to train and save: none, all, or svft_only, those of adapted layers"
        ),
    )
    init_weights: bool = field(
        default=True,
        metadata=described("False draws M as init='kaiming' does: an adapter that is no identity, for tests"),
    )

    @property
    def can_be_sharded(self) -> bool:
        """Whether the layers of a sharded model hold nothing that another process could not work out from the base.

        And nothing that blocks share: FSDP frees a block's parameters once it has passed, and later ones need them. And
        one dtype: it gathers a block's frozen numbers as one tensor.
        """
        return self.pattern != "gradient" and self.share is None and self.factor_dtype is None

    @property
    def needs_callback(self) -> str | None:
        """The class of a trainer callback without which the adapter is another one than its name says."""
        return "GradientSupport" if self.pattern == "gradient" else None

    def narrower(self, basis: torch.dtype) -> torch.dtype | None:
        """In which singular vectors of this dtype are stored, if they are to be rounded; None where that has no fewer
        bits."""
        stored = self.factor_dtype and getattr(torch, self.factor_dtype)
        return stored if stored and stored.itemsize < basis.itemsize else None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.SVFT
        self._require_choice("preset")
        for name, value in PRESETS[self.preset].items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        for name in CHOICES:
            self._require_choice(name)
        self._require_sizes()
        self._require_exact_start()
        if self.pattern == "topk" and self.topk_score == "released" and self.rank is not None:
            raise ValueError(
                f"topk_score='released' is not defined with rank={self.rank} (its column index runs beyond the rank); "
                "use topk_score='alignment' or rank=None"
            )

    def _require_choice(self, name: str) -> None:
        value = getattr(self, name)
        if value not in CHOICES[name]:
            raise ValueError(f"{name}={value!r} is not one of {', '.join(CHOICES[name])}")

    def _require_exact_start(self) -> None:
        """Where the singular vectors are rounded; they may stand in for W0 nowhere, then."""
        if self.factor_dtype is None:
            return
        if self.factor_dtype not in FACTOR_DTYPES:
            raise ValueError(f"factor_dtype={self.factor_dtype!r} is neither None nor {' or '.join(FACTOR_DTYPES)}")
        for name, value in (("keep_weight", False), ("truncate_base", True), ("save_basis", True)):
            if getattr(self, name) == value:
                raise ValueError(
                    f"factor_dtype={self.factor_dtype!r} rounds the singular vectors beside W0, which {name}={value} "
                    "does not go with"
                )

    def _require_sizes(self) -> None:
        if self.pattern == "block" and (self.d is None) == (self.rank is None):
            raise ValueError(
                f"pattern='block' takes either d (the largest block within its N) or rank (of rank x rank), not "
                f"d={self.d!r} with rank={self.rank!r}"
            )
        if self.pattern == "plain":
            if self.d not in (None, 0):
                raise ValueError(
                    f"pattern='plain' is the diagonal and takes no d={self.d!r}; d goes with the other patterns"
                )
        elif not (self.pattern == "block" and self.d is None) and (not is_integer(self.d) or self.d < 0):
            raise ValueError(
                f"pattern={self.pattern!r} needs d, an integer >= 0 (off-diagonals on each side), not {self.d!r}"
            )
        if self.rank is not None and (not is_integer(self.rank) or self.rank < 1):
            raise ValueError(f"rank={self.rank!r} is neither None nor an integer >= 1")
        if not is_integer(self.seed):
            raise ValueError(f"seed={self.seed!r} is not an integer")

    def directions(self, available: int) -> int:
        """How many leading directions M couples, of so many: K, and b of a block."""
        if self.pattern == "block" and self.d is not None:
            return patterns.block_width(available, min(self.d, available - 1))
        return min(available, self.rank or available)

    def half_width(self, K: int) -> int:
        """d of the band that has as many coefficients in K directions. A block is a band of all their diagonals."""
        return K - 1 if self.pattern == "block" else min(self.d or 0, K - 1)

    def deviation(self, N: int) -> float:
        """The standard deviation of the coefficients at the start."""
        if self.init == "kaiming" or not self.init_weights:
            return math.sqrt(2 / N)  # kaiming_normal_ of a 1 x N matrix
        return LORA_XS_DEVIATION if self.init == "lora_xs" else 0.0
