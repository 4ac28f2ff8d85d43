"""A saved adapter meets the singular vectors computed here.

W0 fixes each pair (u_i, v_i) only up to a common sign e_i, and another LAPACK may choose the other one. An adapter
that was trained with the pairs e_i (u_i, v_i) keeps its function here if its coefficients change sign with them; those
that layers share stay as they are, and each layer keeps its e_i.
Where two singular values are equal, the vectors themselves differ and no change of signs helps: it is refused.
"""

from __future__ import annotations

import torch

from ..decomposition.fingerprint import WEIGHT_TOLERANCE
from ..decomposition.prints import FullPrint, Print
from ..decomposition.svd import Basis
from .layer import BasisLayer

WITHIN_PEFT_MODEL = "base_model.model."
BASIS_KEY = "basis_stored"
PRINT = "basis_print"
FULL_PRINT = ("basis_probe", "basis_fingerprint")  # in the place of a print, in older files

Tensors = dict[str, torch.Tensor]


def require_layers(saved: Tensors, adapted: dict[str, BasisLayer]) -> None:
    """Raise ValueError where a file, keyed `<layer>.<attribute>`, has other layers than those adapted here."""
    names = {name for layer in adapted.values() for name in layer.tensor_names}.union(FULL_PRINT)
    parts = (key.rpartition(".") for key in saved)
    there = {layer for layer, _, attribute in parts if attribute in names}
    if extra := there - adapted.keys():
        raise ValueError(
            f"the adapter file has layer '{bare(min(extra))}' ({len(extra)} in all), which is not adapted here: "
            "target_modules in adapter_config.json does not name it, or the model has no such layer"
        )
    if lacking := adapted.keys() - there:
        raise ValueError(
            f"the adapter file lacks layer '{bare(min(lacking))}' ({len(lacking)} in all), which is adapted here: it "
            "was not saved whole, or target_modules in adapter_config.json names more than was trained"
        )


def bare(layer: str) -> str:
    """Its path in the base model."""
    return layer.removeprefix(WITHIN_PEFT_MODEL)


def restore(layer: BasisLayer, adapter_name: str, saved: Tensors, prefix: str) -> None:
    """Makes `saved`, keyed `<prefix>.<attribute>.<adapter>`, fit the basis here in place; ValueError if it cannot."""

    def key(attribute: str) -> str:
        return f"{prefix}.{attribute}.{adapter_name}"

    # Not a part of the model, so PEFT leaves these keys as they were saved.
    stored = [saved.pop(f"{prefix}.{BASIS_KEY}_{field}", None) for field in Basis._fields]
    full = [saved.pop(f"{prefix}.{name}") for name in FULL_PRINT if f"{prefix}.{name}" in saved]
    names = layer.tensor_names
    tensors = {name: saved[key(name)] for name in names if key(name) in saved}
    if layer.basis_weight_print.is_meta or _of_another_size(layer, adapter_name, tensors):
        return  # nothing to compare with; PEFT reports sizes
    _refuse_other_tensors(
        layer.tensors_of(adapter_name), tensors, [n for n in names if f"{prefix}.{n}" in saved], prefix
    )
    found = FullPrint(*full) if len(full) == 2 else _print(layer, adapter_name, tensors, prefix)
    _refuse_other_weight(found.weight_distance(layer.basis_weight_print), prefix)
    layer.check_saved(adapter_name, tensors)

    layer.forget_own_basis(adapter_name)
    signs, aligned = found.align(layer.probe_of(adapter_name))
    if aligned.all():
        if (signs < 0).any() and layer.configs[adapter_name].share:
            layer.basis_signs[adapter_name] = signs.to(layer.basis_weight_print.device, torch.int8)
        elif (signs < 0).any():
            saved.update({key(name): turned for name, turned in layer.turn(adapter_name, tensors, signs).items()})
        saved[key(PRINT)] = layer.print_of(adapter_name)
    elif all(tensor is not None for tensor in stored):
        layer.give_own_basis(adapter_name, Basis(*stored).to(layer.basis_weight_print.device))
        saved[key(PRINT)] = layer.print_of(adapter_name)
    else:
        vectors, ambiguous = layer.words_of(adapter_name)
        raise ValueError(
            f"layer '{prefix}': up to {int((~aligned).sum())} of {len(aligned)} {vectors} are not those that "
            f"the adapter was trained with ({ambiguous}, or a weight rounded differently); "
            f"{_remedy(layer)}"
        )


def _of_another_size(layer: BasisLayer, adapter_name: str, tensors: Tensors) -> bool:
    here = layer.tensors_of(adapter_name)
    trained = here.keys() & tensors.keys() & set(layer.adapter_layer_names)
    return any(tensors[name].shape != here[name].shape for name in trained)


def _refuse_other_tensors(here: Tensors, tensors: Tensors, unknown: list[str], prefix: str) -> None:
    """Where an adapter of another configuration has other tensors than the one here; a print apart."""
    missing = sorted(here.keys() - tensors.keys() - {PRINT})
    if missing or unknown:
        differs = [f"lacks {' and '.join(missing)}"] * bool(missing) + [f"has {' and '.join(unknown)}"] * bool(unknown)
        raise ValueError(
            f"layer '{prefix}': the adapter file {' and '.join(differs)}, unlike an adapter of the configuration here; "
            "it is damaged, or adapter_config.json is not the one that it was saved with"
        )


def _print(layer: BasisLayer, adapter_name: str, tensors: Tensors, prefix: str) -> Print:
    if PRINT not in tensors:
        raise ValueError(f"layer '{prefix}': the adapter file lacks {PRINT}, so its basis cannot be checked")
    here = layer.tensors_of(adapter_name)[PRINT]
    found = Print.read(tensors[PRINT], layer.directions(adapter_name))
    if len(tensors[PRINT]) != len(here) or found is None or found.settings != layer.settings_of(adapter_name):
        raise ValueError(
            f"layer '{prefix}': adapter_config.json is not the one that the adapter was saved with; the adapter is of "
            f"another configuration than {layer.configs[adapter_name].settings()}"
        )
    return found


def _refuse_other_weight(distance: float, prefix: str) -> None:
    if distance > WEIGHT_TOLERANCE:
        raise ValueError(
            f"layer '{prefix}': the base weight is not the one that this adapter was trained on "
            f"(relative distance about {distance:.2g} or more, allowed {WEIGHT_TOLERANCE:g})"
        )


def _remedy(layer: BasisLayer) -> str:
    dtype, stored = layer.get_base_layer().weight.dtype, "save the adapter with save_basis=True"
    if dtype.itemsize != 2:
        return stored
    return (
        f"{stored}; or, if it was trained on a base in float32, load base and adapter in float32 and convert both "
        f"then, with model.to({dtype}), which rounds the frequencies of a rotary embedding, too"
    )
