"""`share="role"`: the layers of one role train one set of tensors, each in its own basis; as PiCa's (arXiv:2505.20211).

A group is the layers of one role and one shape that train tensors of the same shapes. Its first layer holds the
tensors, registered and saved as its own; the others register none and ask it for them. So they are counted, trained,
moved, saved and loaded once, and nothing can untie them.

Another LAPACK may turn pairs (u_i, v_i) of one layer and not of the next (see `restore`), and shared tensors cannot
follow both. They stay as they were trained, then, and each layer turns what it takes of them by its own signs e_i.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from peft.tuners._buffer_dict import BufferDict

from ..decomposition.svd import Basis

if TYPE_CHECKING:
    from .layer import BasisLayer

NUMBER = re.compile(r"(?<![^.])\d+\.")

Tensors = dict[str, torch.Tensor]  # by attribute


def role(name: str) -> str:
    """`layers.*.attn.q_proj` of `layers.3.attn.q_proj`.

    Each number is an index into blocks, stages or experts; but the last part of a name is the layer's own.
    """
    return NUMBER.sub("*.", name)


def share(layers: Iterable[BasisLayer], adapter_name: str) -> None:
    """Make one set of what each group of these layers, in the order of the model, has for the adapter."""
    groups: dict[Any, list[BasisLayer]] = {}
    for layer in layers:
        shapes = tuple((name, tensor.shape) for name, tensor in layer.held(adapter_name).items())
        groups.setdefault((role(layer.name), layer.out_features, layer.in_features, shapes), []).append(layer)
    for group in groups.values():
        group[0].lead(adapter_name, group)
        for layer in group[1:]:
            layer.follow(adapter_name, group[0])


class Sharing:
    """Of a layer: its trained tensors, wherever they are held."""

    name: str
    adapter_layer_names: tuple[str, ...]
    of_the_group: ClassVar[tuple[str, ...]] = ()  # what the first layer holds for all besides the trained tensors
    basis_signs: BufferDict  # e_i (int8) of shared adapters that were trained with the pairs e_i (u_i, v_i)
    holders: dict[str, BasisLayer]  # of shared adapters, in all layers of a group but the first

    def trained_name(self, share: str | None) -> str:
        """What trained tensors and random streams are called by."""
        return self.name if share is None else role(self.name)

    def lead(self, adapter_name: str, group: Sequence[BasisLayer]) -> None:
        """Before the others follow this layer: set what depends on all of them."""

    def follow(self, adapter_name: str, holder: BasisLayer) -> None:
        for name in (*self.adapter_layer_names, *self.of_the_group):
            if adapter_name in (store := getattr(self, name)):
                del store[adapter_name]
        self.holders[adapter_name] = holder

    def held(self, adapter_name: str) -> Tensors:
        """What the adapter trains, as it is registered and saved."""
        return self.from_group(adapter_name, self.adapter_layer_names)

    def from_group(self, adapter_name: str, names: Sequence[str]) -> Tensors:
        """What is there of these attributes in the layer that holds them; on the device of this one."""
        holder = self.holders.get(adapter_name, self)
        stores = {name: getattr(holder, name) for name in names}
        tensors = {name: store[adapter_name] for name, store in stores.items() if adapter_name in store}
        if holder is self:
            return tensors
        return {name: tensor.to(self.basis_weight_print.device) for name, tensor in tensors.items()}

    def trained(self, adapter_name: str) -> Tensors:
        """What the adapter trains, for the pairs of vectors that this layer has."""
        tensors = self.held(adapter_name)
        if adapter_name not in self.basis_signs:
            return tensors
        return tensors | self.turn(adapter_name, tensors, self.basis_signs[adapter_name])

    def trained_basis(self, adapter_name: str) -> Basis:
        """The pairs of vectors that go with `held`."""
        U, s, Vh = self.basis(adapter_name)
        if adapter_name not in self.basis_signs:
            return Basis(U, s, Vh)
        signs = self.basis_signs[adapter_name]
        signs = F.pad(signs, (0, len(s) - len(signs)), value=1)  # pairs beyond those that the adapter uses
        return Basis(U * signs, s, signs[:, None] * Vh)
