"""The methods that are set side by side: how each is composed from conf/, and attached to a model of its own."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import nn

from bench.released import Released
from harness.adapters import adapt
from harness.plan import config

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Method:
    """Overrides as run.py takes them, what the label says besides, and what is made of the method's `adapter`."""

    overrides: str
    note: str = ""
    head: tuple[str, ...] = ()  # trained by the method that trains a head alone: a language model's is its last layer
    adapter: Callable[[DictConfig], Any] = config.instantiate


REFERENCE, RELEASED = "lora_r32", "svft_released"
LETTERS = "QKVUDOG"  # every linear layer of a block, as the paper adapts Gemma with SVFT
ALL = f"method.targets={LETTERS}"
DROPPED_OF = "++method.adapter.keep_weight=false"
DROPPED = f"{ALL} {DROPPED_OF}"
HALF_OF = "++method.adapter.factor_dtype=float16"
HALF_NOTE = ", U and V in 16 bits"
METHODS = {
    "svft_plain": Method(f"method=svft_plain {ALL}"),
    "svft_banded": Method(f"method=svft_banded {ALL}"),
    "svft_random": Method(f"method=svft_random {ALL}"),
    "svft_random_half": Method(f"method=svft_random {ALL} {HALF_OF}", HALF_NOTE),
    "svft_plain_dropped": Method(f"method=svft_plain {DROPPED}", ", W0 dropped"),
    "svft_banded_dropped": Method(f"method=svft_banded {DROPPED}", ", W0 dropped"),
    "svft_random_dropped": Method(f"method=svft_random {DROPPED}", ", W0 dropped"),
    RELEASED: Method(f"method=svft_random {ALL}", ", released formula", adapter=Released.like),
    REFERENCE: Method("method=lora method.adapter.r=32 method.targets=QKVUD"),  # these five: as in the paper's Table 1
    "lora_r1": Method("method=lora method.adapter.r=1 method.targets=QKVUD"),
    "dora": Method("method=dora method.adapter.r=16 method.targets=QKVUD"),
    "vera": Method("method=vera method.targets=GU"),
    # One factor: PEFT builds no more without its CUDA extension, and what is labelled is to be what is timed.
    "boft": Method("method=boft method.targets=QV method.adapter.boft_n_butterfly_factor=1"),
    "full": Method("method=full"),
    "head": Method("method=head", head=("lm_head",)),
}
SVFT = tuple(name for name in METHODS if name.startswith("svft") and name != RELEASED)


def configuration(*overrides: str) -> DictConfig:
    """The one that run.py would get."""
    config.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def composed(method: Method, model: Sequence[str], *others: str) -> DictConfig:
    """The method on a model (overrides), in the training of GSM-8K."""
    return configuration(*model, "task=gsm8k", *method.overrides.split(), *others)


def attached(base: nn.Module, method: Method, cfg: DictConfig) -> adapt.Adapted:
    adapted = adapt.adapt(base, method.adapter(cfg.method.adapter), method.head)
    adapted.model.train()
    return adapted


def base_of(model: nn.Module) -> nn.Module:
    """The language model inside of a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@contextmanager
def own_decompositions() -> Iterator[None]:
    """A cache of decompositions that lives as long as the benchmark: random weights have no place in the user's."""
    before = os.environ.get("SVFT_CACHE_DIR")
    with tempfile.TemporaryDirectory(prefix="svft-bench-") as folder:
        os.environ["SVFT_CACHE_DIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["SVFT_CACHE_DIR"]
            else:
                os.environ["SVFT_CACHE_DIR"] = before
