"""Which engine continues prompts, and whether adapters are merged meanwhile, where the configuration says `auto`.

`auto` is `refill` with adapters merged: the fastest way. It is taken where its tokens can be relied on to be those of
the reference: in greedy search over weights of 32 bits or more, in a model whose layers all attend to keys and values.
In 16 bits a merged weight is rounded anew, which moves tokens, and a batch of another size may, too.
"""

import inspect

from torch import nn
from transformers import GenerationConfig, PreTrainedModel

from harness.adapters import merging

AUTO = "auto"
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}  # of a configuration's `layer_types`
COPIED = 2**30  # bytes of adapted weights that are copied without being asked for


def is_greedy(settings: GenerationConfig) -> bool:
    return settings.num_beams == 1 and not settings.do_sample


def engine(asked: str, model: nn.Module, settings: GenerationConfig) -> str:
    """The name of the engine for what `evaluate.engine` says. Only `generate` knows beams."""
    if not is_greedy(settings):
        return "generate"
    if asked != AUTO:
        return asked
    return "refill" if _is_exact(model) and _can_refill(model) else "generate"


def merges(asked: bool | str, model: nn.Module, engine: str) -> bool:
    """Whether adapters are merged for what `evaluate.merged` says, by the chosen engine.

    `auto` goes with `refill` alone, which knows where two tokens are too close for a merge to decide between them.
    """
    if asked != AUTO:
        return bool(asked)
    if engine != "refill" or not _is_exact(model) or merging.obstacle(model) is not None:
        return False
    return merging.copied_bytes(model) <= COPIED


def _is_exact(model: nn.Module) -> bool:
    return all(p.is_floating_point() and p.dtype.itemsize >= 4 for p in model.parameters())


def _can_refill(model: nn.Module) -> bool:
    """Whether a text can be read on from keys and values, at positions that are given."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = getattr(model, "active_peft_config", None)
    if not isinstance(base, PreTrainedModel) or base._is_stateful or getattr(config, "is_prompt_learning", False):
        return False
    takes = inspect.signature(base.forward).parameters.keys()
    layers = getattr(base.config.get_text_config(), "layer_types", None) or ()
    own_cache = base.config.is_encoder_decoder or not base._supports_default_dynamic_cache()
    return {"position_ids", "past_key_values"} <= takes and ATTENTION.issuperset(layers) and not own_cache
