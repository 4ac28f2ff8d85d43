"""What a training changed, as a plain LoRA. This exists where W - W0 = B A has a lower rank than the layer.

Shapes: O out_features, I in_features, R rank.
"""

from collections.abc import Collection, Mapping

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from errors import SettingError
from harness.layers import linear

# Relative to a layer's largest singular value. Smaller singular values of W - W0 are rounding errors of fp32.
NOISE = 1e-6

Factors = tuple[torch.Tensor, torch.Tensor]  # B (O, R), A (R, I)


def differences(base: nn.Module, trained: nn.Module, head: Collection[str]) -> dict[str, Factors]:
    """Factors of every changed linear layer outside of `head`, by its name; both models have the same layers.

    Raises SettingError where something else was changed, or a layer by a matrix of full rank.
    """
    layers = {f"{name}.weight": base.get_submodule(name) for name in linear.layers(base)}
    now, inside = dict(trained.named_parameters()), tuple(f"{module}." for module in head)
    found = {}
    for name, before in base.named_parameters():
        difference = now[name].detach().double() - before.detach().double()
        size = _largest(before.detach().double())
        if name.startswith(inside) or difference.abs().max() <= NOISE * size:
            continue
        if name not in layers:
            raise SettingError(f"{name} was trained, and is no weight of a linear layer, so no LoRA holds it")
        found[name.removesuffix(".weight")] = _factors(linear.as_matrix(difference, layers[name]), NOISE * size, name)
    return found


def _largest(weight: torch.Tensor) -> float:
    """The largest singular value; of a vector, the largest entry."""
    return weight.abs().max().item() if weight.ndim != 2 else _spectrum(weight)[0][-1].sqrt().item()


def _spectrum(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared singular values in rising order and singular vectors of the short side, from its Gram matrix."""
    values, vectors = torch.linalg.eigh(matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix)
    return values.clamp(min=0), vectors


def _factors(difference: torch.Tensor, noise: float, name: str) -> Factors:
    values, vectors = _spectrum(difference)
    kept = values.sqrt() > noise
    rank = int(kept.sum())
    if rank == min(difference.shape):
        raise SettingError(
            f"{name} was changed by a matrix of full rank ({rank}), which no LoRA is; export the merged model instead"
        )
    vectors, scale = vectors[:, kept], values[kept].pow(0.25)  # the two factors are of one size
    if difference.shape[0] <= difference.shape[1]:
        return vectors * scale, (vectors.T @ difference) / scale[:, None]
    return (difference @ vectors) / scale, (vectors * scale).T


def as_lora(base: nn.Module, factors: Mapping[str, Factors], head: Collection[str]) -> PeftModel:
    """The base with a LoRA of these factors, all of the largest rank among them; `head` is saved with it as it is."""
    if not factors:
        raise SettingError("no layer was changed, so there is nothing for a LoRA to hold")
    rank = max(a.shape[0] for _, a in factors.values())
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(factors), modules_to_save=list(head) or None)
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, (b, a) in factors.items():
            layer = model.base_model.model.get_submodule(name)
            lora_a, lora_b = layer.lora_A["default"].weight.zero_(), layer.lora_B["default"].weight.zero_()
            lora_a[: a.shape[0]], lora_b[:, : b.shape[1]] = a, b
    return model
