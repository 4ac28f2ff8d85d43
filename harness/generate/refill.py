"""Greedy search without waiting: a text that has ended leaves the batch at once, and a new prompt takes its row.

Shapes: B rows in work, T tokens of the longest of them so far, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import DynamicCache, GenerationConfig

from harness.generate.batches import Tokens, can_keep_the_last_logits, device_of, longest_first, padded_left, until

# Two likeliest tokens whose logits are as close as this, by the largest logit, are too close: rounding could decide.
TIE = 1e-4
FREE = 0.25  # share of rows that are free before others are begun: beginning a few costs as much as beginning many


def refill(
    model: nn.Module, prompts: Sequence[Tokens], settings: GenerationConfig, batch_size: int
) -> Iterator[tuple[int, Tokens]]:
    """An engine (harness/generate/engines.py). Every layer of the model has to attend to keys and values.

    Left out is a text in which two tokens were equally likely up to rounding: which of them the reference takes is for
    the reference to say. In 16 bits that would be most texts, and none is left out.
    """
    waiting = [index for batch in longest_first(prompts, batch_size) for index in batch]
    rows = None
    while waiting or rows:
        free = batch_size - len(rows.indices) if rows else batch_size
        if waiting and free >= FREE * batch_size:
            new, waiting = waiting[:free], waiting[free:]
            begun = _Rows.begun(model, new, [prompts[i] for i in new], settings.pad_token_id)
            rows = begun.joined(rows) if rows else begun
        else:
            rows.lengthen(model)
        yield from rows.take_ended(settings)
        rows = rows if rows.indices else None


@dataclass
class _Rows:
    """Texts in work, padded on the left."""

    indices: list[int]  # B: of their prompts
    tokens: list[Tokens]  # B: generated so far
    mask: torch.Tensor  # (B, T): 1 where there is a token
    cache: DynamicCache  # of T tokens
    last: torch.Tensor  # (B,): the newest token, not in mask and cache
    close: torch.Tensor  # (B,): whether another token was as likely somewhere, up to rounding

    @classmethod
    def begun(cls, model: nn.Module, indices: list[int], prompts: list[Tokens], filler: int) -> "_Rows":
        ids, mask = padded_left(prompts, filler, device_of(model))
        cache = DynamicCache()  # without a configuration no layer forgets what has left its window
        last, close = _next(model, ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), cache)
        return cls(indices, [[token] for token in last.tolist()], mask, cache, last, close)

    def lengthen(self, model: nn.Module) -> None:
        """Each text by one token."""
        self.mask = pad(self.mask, (0, 1), value=1)
        positions = self.mask.sum(-1, keepdim=True) - 1
        self.last, close = _next(model, self.last[:, None], self.mask, positions, self.cache)
        self.close = self.close | close
        for tokens, token in zip(self.tokens, self.last.tolist(), strict=True):
            tokens.append(token)

    def joined(self, other: "_Rows") -> "_Rows":
        """The rows of both, in the cache of the first."""
        longest = max(self.mask.shape[1], other.mask.shape[1])

        def both(mine: torch.Tensor, others: torch.Tensor, after: int = 0) -> torch.Tensor:
            """`after`: dimensions behind that of the tokens."""
            padded = [pad(t, (0, 0) * after + (longest - t.shape[-1 - after], 0)) for t in (mine, others)]
            return torch.cat(padded)

        for layer, layer_of_other in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.keys = both(layer.keys, layer_of_other.keys, after=1)  # (B, heads, T, head width)
            layer.values = both(layer.values, layer_of_other.values, after=1)
        return _Rows(
            self.indices + other.indices, self.tokens + other.tokens, both(self.mask, other.mask), self.cache,
            torch.cat([self.last, other.last]), torch.cat([self.close, other.close]),
        )  # fmt: skip

    def take_ended(self, settings: GenerationConfig) -> Iterator[tuple[int, Tokens]]:
        """Remove and return the texts that have ended. The others stay, without columns that are all padding."""
        ends, most = settings.eos_token_id, settings.max_new_tokens
        ended = [tokens[-1] in ends or len(tokens) == most for tokens in self.tokens]
        if not any(ended):
            return
        rows = zip(self.indices, self.tokens, self.close.tolist(), ended, strict=True)
        yield from ((index, until(tokens, ends)) for index, tokens, close, over in rows if over and not close)
        rest = [row for row, over in enumerate(ended) if not over]
        self.indices, self.tokens = [self.indices[row] for row in rest], [self.tokens[row] for row in rest]
        if rest:
            self._keep(torch.tensor(rest, device=self.mask.device))

    def _keep(self, rows: torch.Tensor) -> None:
        self.mask, self.last, self.close = self.mask[rows], self.last[rows], self.close[rows]
        start = int(self.mask.any(0).int().argmax())
        self.mask = self.mask[:, start:]
        for layer in self.cache.layers:
            layer.keys, layer.values = layer.keys[rows, :, start:], layer.values[rows, :, start:]


def _next(
    model: nn.Module, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest next token of each row (B,), and whether another one is as likely up to rounding (B,).

    Keys and values of `ids` are added to the cache.
    """
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    if can_keep_the_last_logits(model):
        inputs["logits_to_keep"] = 1
    logits = model(**inputs, past_key_values=cache, use_cache=True).logits[:, -1]  # (B, V)
    values, tokens = logits.float().topk(2)  # (B, 2)
    apart = values[:, 0] - values[:, 1] > TIE * logits.abs().amax(-1)  # false where one is NaN
    rounds = logits.dtype.itemsize < 4
    return tokens[:, 0], torch.zeros_like(apart) if rounds else ~apart
