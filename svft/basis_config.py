"""What can be chosen about every adapter in the singular basis: which layers, what else is trained, what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from peft.config import PeftConfig


def described(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass
class BasisConfig(PeftConfig):
    """The fields that configurations of `BasisModel` share."""

    save_basis: bool = field(
        default=False,
        metadata=described(
            "store the singular vectors with the adapter, for weights whose singular vectors are not unique"
        ),
    )
    target_modules: list[str] | str | None = field(
        default=None, metadata=described("names (or endings of names) of the layers to adapt, a regex, or 'all-linear'")
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata=described("names, or a regex, of layers to leave out")
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata=described("other modules to train and save, e.g. the head")
    )
    layers_to_transform: list[int] | int | None = field(
        default=None, metadata=described("indices of the blocks to adapt")
    )
    layers_pattern: list[str] | str | None = field(
        default=None, metadata=described("name of the nn.ModuleList of blocks")
    )
    init_weights: bool = field(
        default=True,
        metadata=described("False draws a start that is no identity, for tests; the global RNG is left alone"),
    )

    def __post_init__(self) -> None:
        """Sequences of any type (an OmegaConf ListConfig, say) become sets and lists, which PEFT writes as JSON."""
        super().__post_init__()
        for name, container in (
            ("target_modules", set),
            ("exclude_modules", set),
            ("modules_to_save", list),
            ("layers_to_transform", list),
            ("layers_pattern", list),
        ):
            value = getattr(self, name)
            if isinstance(value, Iterable) and not isinstance(value, str):
                setattr(self, name, container(value))
        if isinstance(self.target_modules, str) and self.layers_to_transform is not None:
            raise ValueError("layers_to_transform goes with a list of target_modules, not with a regex")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("layers_pattern goes with layers_to_transform, which is None")


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
