"""Batches of prompts, padded on the left.

Shapes: B batch, T tokens of the longest row in the batch.
"""

import inspect
from collections.abc import Collection, Iterator, Sequence

import torch
from torch import nn

Tokens = list[int]


def longest_first(rows: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices of rows in batches of like length, the longest first, so that a lack of memory shows at once."""
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def padded_left(rows: Sequence[Tokens], filler: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and the attention mask, each (B, T)."""
    longest = max(map(len, rows))
    ids = torch.tensor([[filler] * (longest - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def can_keep_the_last_logits(model: nn.Module) -> bool:
    """Whether the base model's forward has transformers' `logits_to_keep`; an adapter passes it on."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def until(tokens: Tokens, ends: Collection[int]) -> Tokens:
    """The tokens before the first that is one of `ends`."""
    return tokens[: next((at for at, token in enumerate(tokens) if token in ends), len(tokens))]
