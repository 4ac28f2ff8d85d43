"""Models of random weights: one block of a decoder, and the sizes it comes in."""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig, open_dict
from torch import nn
from transformers import PretrainedConfig

from harness.models import bases
from harness.plan import counting

# One block without a vocabulary to speak of, which only the layers around the block would see.
_ONE = ("model.blocks=1", "model.architecture.num_hidden_layers=1", "model.architecture.vocab_size=128")
SHAPES: dict[str, tuple[str, ...]] = {
    # A quarter of Gemma-2B in width: three matrices of the MLP hold nine tenths of the block, as they do there.
    "gemma_small": (
        "model=gemma2b", *_ONE,
        "model.architecture.hidden_size=512", "model.architecture.intermediate_size=4096",
        "model.architecture.num_attention_heads=2",
    ),
    "gemma_tiny": (
        "model=gemma2b", *_ONE,
        "model.architecture.hidden_size=32", "model.architecture.intermediate_size=128",
        "model.architecture.num_attention_heads=2", "model.architecture.head_dim=16",
    ),
    "gemma2b": ("model=gemma2b", *_ONE),
    "gemma7b": ("model=gemma7b", *_ONE),
    "llama3_8b": ("model=llama3_8b", *_ONE),
}  # fmt: skip


def build(
    model: DictConfig, dtype: str, head: Sequence[str], device: torch.device, seed: int, layers: int | None = None
) -> nn.Module:
    """The architecture with random weights of a fresh model's scale, the same for every method.

    All blocks, or so many `layers`, have the weights of the first, so that one decomposition serves all. A head that is
    trained shares no weight with the embedding.
    """
    with open_dict(model):
        model = counting.with_architecture(model)
        model.architecture.dtype = dtype
        if layers is not None:
            model.blocks = model.architecture.num_hidden_layers = layers
        if head:
            model.architecture.tie_word_embeddings = False
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        built = bases.build(model, device=str(device))
    first, *others = blocks(built)
    for block in others:
        block.load_state_dict(first.state_dict())
    return built


def blocks(base: nn.Module) -> nn.ModuleList:
    """The decoder layers of a language model of transformers."""
    return base.base_model.layers


def sizes(config: PretrainedConfig) -> dict[str, Any]:
    heads = config.num_attention_heads
    return {
        "hidden": config.hidden_size,
        "intermediate": config.intermediate_size,
        "heads": heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // heads,
    }
