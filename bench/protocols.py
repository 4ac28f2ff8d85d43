"""Whole models and the methods on them: the project's own comparison, and those that others published of SVFT's cost.

Published: LLaMA-3-8B in bfloat16, the layers U D O G, d = 8 beside LoRA of rank 64; and the shapes of LLaMA-3.2-3B, all
linear layers, plain beside LoRA of rank 1. The reference adapts the same layers.
"""

from dataclasses import dataclass

from bench import methods
from bench.methods import DROPPED_OF, LETTERS, Method
from bench.released import Released


@dataclass(frozen=True)
class Protocol:
    """`model`: overrides that choose it; every method is held against `reference`."""

    model: tuple[str, ...]
    methods: dict[str, Method]
    reference: str


_SVFT = {
    "svft_plain": "method=svft_plain",
    "svft_banded": "method=svft_banded method.adapter.d=8",
    "svft_random": "method=svft_random method.adapter.d=8",
}
_3B = (
    "model=llama3_8b", "model.blocks=28", *(f"model.architecture.{each}" for each in (
        "num_hidden_layers=28", "hidden_size=3072", "intermediate_size=8192", "num_attention_heads=24",
        "tie_word_embeddings=true")),
)  # fmt: skip
_TINY = (
    "model.blocks=2", *(f"++model.architecture.{each}" for each in (
        "num_hidden_layers=2", "hidden_size=64", "intermediate_size=192", "num_attention_heads=4",
        "num_key_value_heads=2", "head_dim=16", "vocab_size=128")),
)  # fmt: skip


def _beside_lora(patterns: tuple[str, ...], letters: str, rank: int) -> dict[str, Method]:
    """Each pattern with W0 kept and dropped, random also as the released code computes it; and LoRA."""
    targets, found = f"method.targets={letters}", {}
    for pattern in patterns:
        found[pattern] = Method(f"{_SVFT[pattern]} {targets}")
        found[f"{pattern}_dropped"] = Method(f"{_SVFT[pattern]} {targets} {DROPPED_OF}", ", W0 dropped")
    if "svft_random" in patterns:
        random = f"{_SVFT['svft_random']} {targets}"
        found[methods.RELEASED] = Method(random, ", released formula", adapter=Released.like)
    return found | {f"lora_r{rank}": Method(f"method=lora method.adapter.r={rank} {targets}")}


PROTOCOLS = {
    "llama3_8b_udog": Protocol(("model=llama3_8b",), _beside_lora(tuple(_SVFT), "UDOG", 64), "lora_r64"),
    "llama3_3b_all": Protocol(_3B, _beside_lora(("svft_plain",), LETTERS, 1), "lora_r1"),
}
METHODS = tuple(dict.fromkeys(name for one in PROTOCOLS.values() for name in one.methods))


def own(model: str) -> Protocol:
    """The project's: a model of conf/ with the methods of bench.methods."""
    return Protocol((f"model={model}",), methods.METHODS, methods.REFERENCE)


def tiny(protocol: Protocol) -> Protocol:
    """Two blocks 64 wide: everything but the size is as in the whole."""
    return Protocol((*protocol.model, *_TINY), protocol.methods, protocol.reference)
