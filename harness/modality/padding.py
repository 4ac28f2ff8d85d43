"""Checks that each row of a batch stands alone: padding does not change its outputs, nor, in a decoder, later tokens.

Some models ignore the attention mask (FNet, RWKV) or do not count positions from where a text begins (BART's decoder).
An encoder that is loaded as a decoder sees the token that it has to predict. Nothing else would show either fault.

Shapes: B batch, T tokens, V vocabulary.
"""

import torch
from torch import nn

from errors import SettingError
from harness.generate.batches import Tokens, can_keep_the_last_logits, device_of, padded_left

TOKENS = 16  # of a text that is looked at
FILLED = 8  # tokens that it is filled up with
# Root mean square of a difference by that of the logits. Rounding alone makes 0.06 of it in SmolLM2-135M in bfloat16.
SAME, SAME_IN_16_BITS = 0.001, 0.25

Inputs = dict[str, torch.Tensor]


@torch.no_grad()
def require_causal(model: nn.Module, row: Tokens) -> None:
    """Raise SettingError where what is said of a token depends on those that follow it."""
    row = row[:TOKENS]
    whole, start = (_logits(model, {"input_ids": torch.tensor([ids])}) for ids in (row, row[:-1]))  # (1, T, V)
    if _differ(whole[:, -2], start[:, -1], model):
        raise SettingError(
            f"what {_name(model)} says of a token depends on the tokens that follow it, so it would read what it is to "
            "predict; it is no causal model"
        )


@torch.no_grad()
def require_alone(model: nn.Module, row: Tokens, filler: int) -> None:
    """Raise SettingError where the next token of a text depends on what fills the text up, on its left."""
    row = row[:TOKENS]
    alone = {"input_ids": torch.tensor([row])}
    ids, mask = padded_left([row, row[:1] * (len(row) + FILLED)], filler, torch.device("cpu"))  # (B, T)
    filled = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    if _differ(_logits(model, alone)[0, -1], _logits(model, filled)[0, -1], model):
        raise SettingError(
            f"what {_name(model)} generates for a text depends on the longer texts in its batch, for which it is "
            "filled up; evaluate.batch_size=1 goes without filling up"
        )


@torch.no_grad()
def require_alone_in_class(model: nn.Module, alone: Inputs, filled: Inputs) -> None:
    """alone: a text in a batch of its own; filled: in the first row of a batch, filled up on its right."""
    if _differ(_logits(model, alone)[0], _logits(model, filled)[0], model):
        raise SettingError(
            f"the class that {_name(model)} gives to a text depends on the longer texts in its batch, for which it is "
            "filled up; train.micro_batch_size=1 and evaluate.batch_size=1 go without filling up"
        )


def _logits(model: nn.Module, inputs: Inputs) -> torch.Tensor:
    more = {"use_cache": False} if can_keep_the_last_logits(model) else {}
    was = [(module, module.training) for module in model.modules()]
    device = device_of(model)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            return model.eval()(**{name: tensor.to(device) for name, tensor in inputs.items()}, **more).logits.float()
    finally:
        for module, training in was:
            module.training = training


def _differ(one: torch.Tensor, other: torch.Tensor, model: nn.Module) -> bool:
    """Not where either is not finite, which is told elsewhere."""
    in_16_bits = any(parameter.dtype in (torch.bfloat16, torch.float16) for parameter in model.parameters())
    same = SAME_IN_16_BITS if in_16_bits else SAME
    return bool((one - other).square().mean().sqrt() > same * one.square().mean().sqrt())


def _name(model: nn.Module) -> str:
    return type(model.get_base_model() if hasattr(model, "get_base_model") else model).__name__
