"""ViTs of timm with the weights of their authors (Steiner et al. 2021, arXiv:2106.10270), and Q, K and V apart.

timm keeps the three in one matrix. The paper counts and adapts each alone, so the matrix is split, and their outputs
are put side by side as timm's attention expects them.

Shapes: B images, C channels, S side of an image, T tokens, E width, K classes.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PretrainedConfig
from transformers.modeling_outputs import ImageClassifierOutput

from errors import ModelError

NEW = ("head.weight", "head.bias")  # tensors that no checkpoint has
HEAD_STD = 0.02  # of a new head's weights, as timm and transformers start one


class SplitQKV(nn.Module):
    """Three linear layers in the place of `fused`, with its weights: (B, T, E) to (B, T, 3E)."""

    def __init__(self, fused: nn.Linear):
        super().__init__()
        weights = fused.weight.chunk(3)  # 3 x (E, E), in the order in which timm's attention takes them apart
        biases = [None] * 3 if fused.bias is None else fused.bias.chunk(3)
        self.q, self.k, self.v = (_linear(w, b) for w, b in zip(weights, biases, strict=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)

    @property
    def weight(self) -> torch.Tensor:
        """Raises ModelError: whoever reads it, as timm's BEiT, EVA and Swin V2 do, would leave out what is adapted."""
        raise ModelError(
            "the attention of this timm model reads qkv.weight and never calls qkv, so adapters of Q, K and V would do "
            "nothing; choose another in model.architecture.name, such as a vit_*"
        )


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


class TimmViT(nn.Module):
    """A ViT of timm and a new head, with the interface of transformers' image classifiers."""

    def __init__(self, vit: nn.Module, num_labels: int):
        super().__init__()
        self.config = PretrainedConfig(num_labels=num_labels)
        for block in vit.blocks:
            block.attn.qkv = SplitQKV(block.attn.qkv)
        self.vit = vit
        self.head = nn.Linear(vit.num_features, num_labels)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None) -> ImageClassifierOutput:
        """pixel_values: (B, C, S, S); labels: (B,). Logits are (B, K), the loss is cross-entropy in fp32."""
        tokens = self.vit.forward_features(pixel_values.to(self.vit.cls_token.dtype))  # (B, T, E)
        features = self.vit.forward_head(tokens, pre_logits=True)  # (B, E)
        logits = self.head(features)
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return ImageClassifierOutput(loss=loss, logits=logits)


def build(architecture: dict[str, Any], num_labels: int | None, device: str) -> TimmViT:
    """The architecture with weights of no meaning."""
    with torch.device(device):
        return TimmViT(_vit(architecture), num_labels or 0)


def load(architecture: dict[str, Any], weights: Path, num_labels: int | None, dtype: torch.dtype) -> TimmViT:
    """timm's weights in `dtype` and a new head; the checkpoint's own head is left out. weights: a safetensors file.

    Raises ValueError where the file holds other tensors than the architecture.
    """
    with torch.device("meta"):
        vit = _vit(architecture)
    tensors = {name: t.to(dtype) for name, t in load_file(weights).items() if not name.startswith("head.")}
    try:
        vit.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        differences = " ".join(str(error).split())
        raise ValueError(f"{weights.name} does not hold a {architecture['name']}: {differences}") from error
    model = TimmViT(vit, num_labels or 0)
    nn.init.trunc_normal_(model.head.weight, std=HEAD_STD)
    nn.init.zeros_(model.head.bias)
    return model.to(dtype)


def _vit(architecture: dict[str, Any]) -> nn.Module:
    """timm's model without its head. Keys besides library and name are options of timm's. Raises ModelError."""
    options = {key: value for key, value in architecture.items() if key not in ("library", "name")}
    vit = timm.create_model(architecture["name"], pretrained=False, num_classes=0, **options)
    fused = [getattr(getattr(block, "attn", None), "qkv", None) for block in getattr(vit, "blocks", ())]
    if not fused or not all(isinstance(layer, nn.Linear) for layer in fused):
        raise ModelError(
            f"model.architecture.name={architecture['name']} is no ViT whose blocks have Q, K and V in one qkv; "
            "choose another, such as a vit_*"
        )
    del vit.head  # an identity, whose name PEFT would take for the head's
    return vit
