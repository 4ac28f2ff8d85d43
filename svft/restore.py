"""A saved adapter meets the singular vectors computed here.

W0 fixes each pair (u_i, v_i) only up to a common sign e_i, and LAPACK paths differ in it: an adapter trained with the
pairs e_i (u_i, v_i) keeps its function here with coefficients e_i e_j m_ij. Where singular values coincide, none do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from . import patterns
from .decomposition import Basis
from .fingerprint import WEIGHT_TOLERANCE, align, probe, weight_distance

if TYPE_CHECKING:
    from .layer import SvftLayer


def restore(layer: SvftLayer, adapter_name: str, saved: dict[str, torch.Tensor], prefix: str) -> None:
    """Makes `saved`, keyed `<prefix>.<attribute>.<adapter>`, fit the basis here in place; ValueError if it cannot."""

    def key(attribute: str) -> str:
        return f"{prefix}.{attribute}.{adapter_name}"

    basis = [saved.pop(f"{prefix}.svft_basis_{name}", None) for name in Basis._fields]
    m = saved.get(key("svft_m"))
    if m is None or layer.svft_U.is_meta or m.shape != layer.svft_m[adapter_name].shape:
        return  # nothing to compare with; PEFT reports missing keys and sizes
    if missing := [name for name in ("svft_probe", "svft_fingerprint") if key(name) not in saved]:
        raise ValueError(
            f"layer '{prefix}': the adapter file lacks {' and '.join(missing)}, so its basis cannot be checked"
        )
    _refuse_other_weight(layer, saved[key("svft_fingerprint")], prefix)
    _restore_pattern(layer, adapter_name, saved, prefix)

    K = layer.directions(adapter_name)
    live = probe(layer.svft_U[:, :K], layer.svft_Vh[:K])
    signs, aligned = align(saved[key("svft_probe")], live)
    if adapter_name in layer.svft_own_basis:
        del layer.svft_own_basis[adapter_name]  # of what was loaded under this name before
    if aligned.all():
        saved[key("svft_m")] = _turn(m, signs, saved.get(key("svft_topk"), layer.index(adapter_name)))
        saved[key("svft_probe")] = live
    elif all(tensor is not None for tensor in basis):
        layer.svft_own_basis[adapter_name] = _as_module(Basis(*basis).to(layer.svft_U.device))
    else:
        raise ValueError(
            f"layer '{prefix}': {int((~aligned).sum())} of {K} singular vectors are not those that the adapter was "
            "trained with (equal singular values, or a weight rounded differently); save it with save_basis=True"
        )


def _refuse_other_weight(layer: SvftLayer, saved: torch.Tensor, prefix: str) -> None:
    distance = weight_distance(saved, layer.svft_weight_print)
    if distance > WEIGHT_TOLERANCE:
        raise ValueError(
            f"layer '{prefix}': the base weight is not the one that this adapter was trained on "
            f"(relative distance about {distance:.2g}, allowed {WEIGHT_TOLERANCE:g})"
        )


def _restore_pattern(layer: SvftLayer, adapter_name: str, saved: dict[str, torch.Tensor], prefix: str) -> None:
    """Ω of random follows from the stored stream, also where the layer had another name."""
    omega = saved.get(f"{prefix}.svft_omega.{adapter_name}")
    if omega is None:
        return
    stream, check = omega.tolist()
    config, index = layer.svft_config[adapter_name], layer.svft_index[adapter_name]
    if stream != layer.svft_omega[adapter_name][0].item():
        index = patterns.random(layer.directions(adapter_name), len(index), stream, config.replacement).to(index.device)
        layer.svft_index[adapter_name] = index
    if patterns.checksum(index) != check:
        raise ValueError(
            f"layer '{prefix}': the random pattern drawn here is not the one that the adapter was trained on"
        )


def _turn(m: torch.Tensor, signs: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
    """e_i e_j m_ij; on the diagonal that is m_ii."""
    if index is None or (signs > 0).all():
        return m
    index, signs = index.to(m.device, torch.int64), signs.to(m.device, m.dtype)
    return m * signs[index // len(signs)] * signs[index % len(signs)]


def _as_module(basis: Basis) -> nn.Module:
    module = nn.Module()
    for name, tensor in basis._asdict().items():
        module.register_buffer(name, tensor, persistent=False)
    return module
