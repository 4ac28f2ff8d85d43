"""What can be chosen about every adapter in the singular basis: which layers, what else is trained, what is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, get_type_hints

from peft.config import PeftConfig
from peft.utils import SAFETENSORS_WEIGHTS_NAME

from .documented import described


@dataclass
class BasisConfig(PeftConfig):
    """The fields that configurations of `BasisModel` share."""

    save_basis: bool = field(
        default=False,
        metadata=described(
            "store the singular vectors with the adapter, K (out + in) numbers for each layer: for weights whose "
            "singular vectors are not unique, and for a base that is rounded to another dtype later"
        ),
    )
    share: str | None = field(
        default=None,
        metadata=described(
            "role: layers of one role and shape, such as all q_proj of a model, train one set of parameters, each in "
            "the singular basis of its own weight; the role is the layer's name with * for each number before its end. "
            "None: each layer has its own"
        ),
    )
    target_modules: list[str] | str | None = field(
        default=None,
        metadata=described(
            "the layers to adapt: names, or endings of names after a dot; a regex for the whole name; or 'all-linear', "
            "all linear layers but the output layer. Has to be given"
        ),
    )
    exclude_modules: list[str] | str | None = field(
        default=None, metadata=described("layers to leave out of target_modules: names, endings of names, or a regex")
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata=described("other modules to train and save whole, such as the head: names or endings")
    )
    layers_to_transform: list[int] | int | None = field(
        default=None,
        metadata=described("indices, from 0, of the blocks to adapt, with a list of target_modules; None: all"),
    )
    layers_pattern: list[str] | str | None = field(
        default=None,
        metadata=described(
            "name of the nn.ModuleList of blocks that layers_to_transform counts in, such as 'layers'; None: the first "
            "number in a name"
        ),
    )
    init_weights: bool = field(
        default=True,
        metadata=described("False draws a start that is no identity, for tests; the global RNG is left alone"),
    )
    weights_sha256: str | None = field(
        default=None,
        metadata=described("filled in when saving: the checksum that the file of weights beside this one must have"),
    )

    # Fields without which the trained tensors would mean something else, though they fit.
    OF_THE_FUNCTION: ClassVar[tuple[str, ...]] = ("share",)

    def settings(self) -> dict[str, Any]:
        """Of OF_THE_FUNCTION, what is not at its default: so is a field that comes later in all files of before."""
        defaults = {each.name: each.default for each in fields(self)}
        values = {name: getattr(self, name) for name in self.OF_THE_FUNCTION}
        return {name: value for name, value in values.items() if value != defaults[name]}

    def __post_init__(self) -> None:
        """Sequences of any type (an OmegaConf ListConfig, say) become sets and lists, which PEFT writes as JSON."""
        super().__post_init__()
        self._require_booleans()
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
        if self.share not in (None, "role"):
            raise ValueError(f"share={self.share!r} is neither None nor 'role'")
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("layers_pattern goes with layers_to_transform, which is None")

    def _require_booleans(self) -> None:
        """Of every field that is true or false by its type, the subclass's too: the word 'no' would count as true."""
        types = get_type_hints(type(self))
        for name in (each.name for each in fields(self)):
            value, kind = getattr(self, name), types[name]
            if kind in (bool, bool | None) and not isinstance(value, kind):
                choices = "neither True nor False" if kind is bool else "none of True, False and None"
                raise ValueError(f"{name}={value!r} is {choices}")

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """As PEFT does, which has written the weights by now, with their checksum; not for weights as a pickle."""
        self.weights_sha256 = _sha256_of_weights(Path(save_directory))
        try:
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.weights_sha256 = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, subfolder: str | None = None, **kwargs: Any) -> Self:
        """As PEFT does. Raises ValueError where weights lie beside it that are not those it was saved with."""
        config = super().from_pretrained(pretrained_model_name_or_path, subfolder, **kwargs)
        folder = Path(pretrained_model_name_or_path, subfolder or "")
        expected, config.weights_sha256 = config.weights_sha256, None
        if expected is not None and _sha256_of_weights(folder) not in (expected, None):
            raise ValueError(
                f"{folder / SAFETENSORS_WEIGHTS_NAME} is damaged, or is not the file that was saved with the "
                "adapter_config.json beside it: its checksum differs; take both from a copy (whoever has changed the "
                "weights on purpose removes weights_sha256 from adapter_config.json)"
            )
        return config


def _sha256_of_weights(folder: Path) -> str | None:
    """None where there are none, as before the first save or where they stay on the hub."""
    path = folder / SAFETENSORS_WEIGHTS_NAME
    if not path.exists():
        return None
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
