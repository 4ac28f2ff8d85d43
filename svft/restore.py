"""A saved adapter meets the singular vectors computed here.

W0 fixes each pair (u_i, v_i) only up to a common sign e_i, and LAPACK paths differ in it: an adapter trained with the
pairs e_i (u_i, v_i) keeps its function here if its coefficients turn too. Where singular values coincide, none do.
"""

from __future__ import annotations

import torch

from .basis_layer import BasisLayer
from .decomposition import Basis
from .fingerprint import WEIGHT_TOLERANCE, align, weight_distance

BASIS_KEY = "basis_stored"


def restore(layer: BasisLayer, adapter_name: str, saved: dict[str, torch.Tensor], prefix: str) -> None:
    """Makes `saved`, keyed `<prefix>.<attribute>.<adapter>`, fit the basis here in place; ValueError if it cannot."""

    def key(attribute: str) -> str:
        return f"{prefix}.{attribute}.{adapter_name}"

    # Not a part of the model, so PEFT leaves these keys as they were saved.
    stored = [saved.pop(f"{prefix}.{BASIS_KEY}_{field}", None) for field in Basis._fields]
    names = (*layer.adapter_layer_names, *layer.other_param_names)
    tensors = {name: saved[key(name)] for name in names if key(name) in saved}
    if layer.basis_weight_print.is_meta or not _of_this_shape(layer, adapter_name, tensors):
        return  # nothing to compare with; PEFT reports missing keys and sizes
    if missing := [name for name in ("basis_probe", "basis_fingerprint") if name not in tensors]:
        raise ValueError(
            f"layer '{prefix}': the adapter file lacks {' and '.join(missing)}, so its basis cannot be checked"
        )
    _refuse_other_weight(layer, tensors["basis_fingerprint"], prefix)
    layer.check_saved(adapter_name, tensors)

    layer.forget_own_basis(adapter_name)
    live = layer.probe_of(adapter_name)
    signs, aligned = align(tensors["basis_probe"], live)
    if aligned.all():
        if (signs < 0).any():
            saved.update({key(name): turned for name, turned in layer.turn(adapter_name, tensors, signs).items()})
        saved[key("basis_probe")] = live
    elif all(tensor is not None for tensor in stored):
        layer.give_own_basis(adapter_name, Basis(*stored).to(live.device))
    else:
        raise ValueError(
            f"layer '{prefix}': {int((~aligned).sum())} of {len(live)} singular vectors are not those that the adapter "
            "was trained with (equal singular values, or a weight rounded differently); save it with save_basis=True"
        )


def _of_this_shape(layer: BasisLayer, adapter_name: str, tensors: dict[str, torch.Tensor]) -> bool:
    """Whether every trained tensor of this adapter is there, in the size that it has here."""
    here = {name: getattr(layer, name) for name in layer.adapter_layer_names}
    trained = {name: store[adapter_name].shape for name, store in here.items() if adapter_name in store}
    return all(name in tensors and tensors[name].shape == shape for name, shape in trained.items())


def _refuse_other_weight(layer: BasisLayer, saved: torch.Tensor, prefix: str) -> None:
    distance = weight_distance(saved, layer.basis_weight_print)
    if distance > WEIGHT_TOLERANCE:
        raise ValueError(
            f"layer '{prefix}': the base weight is not the one that this adapter was trained on "
            f"(relative distance about {distance:.2g}, allowed {WEIGHT_TOLERANCE:g})"
        )
