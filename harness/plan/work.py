"""What a run computes, counted on its model without weights: operations of dense products, and operators launched.

The model of the run, method attached, goes through a forward and a backward pass on the meta device while torch's
FlopCounterMode counts each product (a x b)(b x c) as 2abc. For a decoder of P weights that is close to 2P operations a
token forward, 2P more backward through the activations and 2P more for weights that are trained (Kaplan et al. 2020,
arXiv:2001.08361, Table 1, with the backward pass split in two); what an adapter adds is counted, not modelled.
"""

import json
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from errors import SettingError
from harness.plan import config, counting

BLOCKS = "num_hidden_layers"  # of a transformers architecture


@dataclass(frozen=True)
class Work:
    """Of one call of the model, or of a forward and a backward pass together."""

    operations: int  # of dense products
    launches: int  # operators that compute something: views are none


@dataclass(frozen=True)
class RunWork:
    micro_step: Work  # forward and backward of a micro-batch at its longest
    forward: Work  # of such a micro-batch
    decode: Work  # one token more for each of `rows` texts; of an encoder it is nothing
    weight_bytes: int  # read by each call of the model
    cache_bytes: int  # keys and values of one token of one text
    micro_batch: int  # examples
    rows: int


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        returns = func._schema.returns
        self.number += not any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        return func(*args, **(kwargs or {}))


class _Counter:
    """Counts inside `with`, from the start of it; `work` may be looked up on the way."""

    def __init__(self) -> None:
        self._flops, self._launches = FlopCounterMode(display=False), _Launches()

    def __enter__(self) -> "_Counter":
        self._flops.__enter__()
        self._launches.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._launches.__exit__(*exception)
        self._flops.__exit__(*exception)

    @property
    def work(self) -> Work:
        return Work(self._flops.get_total_flops(), self._launches.number)


def of_run(cfg: DictConfig, rows: int) -> RunWork:
    """`rows`: texts that are continued together. Raises SettingError where the model does not run without weights."""
    resolved = config.resolve(cfg)
    method = {name: resolved["method"][name] for name in ("name", "adapter")}
    sections = json.dumps({"model": resolved["model"], "method": method}, sort_keys=True)
    train = resolved["train"]
    return _of_run(sections, train["micro_batch_size"], train["max_length"], train["precision"], rows)


@cache
def _of_run(sections: str, batch: int, length: int, precision: str, rows: int) -> RunWork:
    cfg = OmegaConf.create(json.loads(sections))
    cfg.model = counting.with_architecture(cfg.model)
    blocks = OmegaConf.select(cfg.model, f"architecture.{BLOCKS}")
    try:
        if blocks != cfg.model.blocks or blocks < 3:
            return _whole(cfg, batch, length, precision, rows)
        one, two = (_whole(_cut(cfg, number), batch, length, precision, rows) for number in (1, 2))
    except (RuntimeError, NotImplementedError) as error:  # of the meta device, which holds no values
        reason = str(error).split("\n")[0]
        raise SettingError(f"model {cfg.model.name} cannot be counted without weights ({reason})") from error
    return RunWork(*(_line(*pair, blocks) for pair in zip(astuple(one), astuple(two), strict=True)))


def _cut(cfg: DictConfig, blocks: int) -> DictConfig:
    """With fewer blocks: all but the first do the same, so a count of one and one of two say what many do."""
    return OmegaConf.merge(cfg, {"model": {"blocks": blocks, "architecture": {BLOCKS: blocks}}})


def _line(one: Any, two: Any, blocks: int) -> Any:
    """The value at `blocks` of the line through those at 1 and 2."""
    if isinstance(one, tuple):
        return Work(*(_line(*pair, blocks) for pair in zip(one, two, strict=True)))
    return one + (blocks - 1) * (two - one)


def _whole(cfg: DictConfig, batch: int, length: int, precision: str, rows: int) -> RunWork:
    model = counting.adapted_without_weights(cfg, "present").model
    model.to(compute_dtype(cfg.model.dtype, precision)).train()
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers()]}.values()
    weight_bytes = sum(t.numel() * t.element_size() for t in tensors)
    with counting.butterfly_kernel_without_values():
        forward, micro_step = _training(model, _inputs(cfg.model, model, batch, length))
        decode = _decoding(model, rows) if cfg.model.family == "decoder" else Work(0, 0)
    return RunWork(micro_step, forward, decode, weight_bytes, _cache_bytes(model, cfg.model.family), batch, rows)


def compute_dtype(dtype: str, precision: str) -> torch.dtype:
    """What products are taken in: autocast's dtype, or else the model's."""
    return torch.bfloat16 if precision == "bf16" else getattr(torch, dtype)


def _inputs(cfg: DictConfig, model: nn.Module, batch: int, length: int) -> dict[str, torch.Tensor]:
    if "image" in cfg:
        shape, dtype = (batch, cfg.image.channels, cfg.image.size, cfg.image.size), next(model.parameters()).dtype
        return {"pixel_values": torch.empty(shape, dtype=dtype, device="meta")}
    ids = torch.zeros(batch, length, dtype=torch.int64, device="meta")
    # A decoder would look at the values of a mask; without one nothing is padded.
    return {"input_ids": ids} if cfg.head is None else {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _training(model: nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[Work, Work]:
    """Forward, and forward and backward; the loss itself has no products."""
    with _Counter() as counter:
        logits = model(**inputs)["logits"]
        forward = counter.work
        if logits.requires_grad:
            logits.sum().backward()
        return forward, counter.work


def _decoding(model: nn.Module, rows: int) -> Work:
    """One token for each text. Attention to what was read before is not in it: it is bound by reading the cache."""
    with torch.no_grad(), _Counter() as counter:
        model(input_ids=torch.zeros(rows, 1, dtype=torch.int64, device="meta"))
        return counter.work


def _cache_bytes(model: nn.Module, family: str) -> int:
    if family != "decoder":
        return 0
    text: Any = model.config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * head * next(model.parameters()).element_size()
