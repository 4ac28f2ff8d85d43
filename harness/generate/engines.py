"""How prompts are continued: by which loop, and with adapters beside the weights or merged into them.

An engine is a function (model, prompts, settings, batch size) -> pairs of a prompt's index and the tokens that follow
it, in the order in which they are finished. The reference is `generate` with adapters beside the weights. Any other way
is used only after it has given the same tokens as the reference for some of the prompts. It may leave out a prompt that
it cannot decide, which the reference then continues.

`settings` is all that counts: a checkpoint brings generation settings of its own, such as a penalty on repetitions,
and `generate` would take from them whatever is not set.

Shapes: B batch, T tokens of the longest prompt in the batch, N new tokens.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from torch import nn
from transformers import GenerationConfig

from harness.adapters.merging import merged
from harness.generate import choice
from harness.generate.batches import Tokens, device_of, longest_first, padded_left, until
from harness.generate.refill import refill

Continued = Iterator[tuple[int, Tokens]]
Engine = Callable[[nn.Module, Sequence[Tokens], GenerationConfig, int], Continued]

CHECKED = 16  # prompts that are continued both ways
CHECKED_TOGETHER = 8  # fewer, so that what happens between batches is checked too


def generate(model: nn.Module, prompts: Sequence[Tokens], settings: GenerationConfig, batch_size: int) -> Continued:
    """transformers' `generate`, over batches of prompts of like length, padded on the left under an attention mask.

    A text does not depend on what it shares a batch with; a batch lasts until the last of its texts has ended.
    """
    for batch in longest_first(prompts, batch_size):
        ids, mask = padded_left([prompts[i] for i in batch], settings.pad_token_id, device_of(model))  # (B, T)
        with without_own_settings(model):
            output = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)  # (B, T + N)
        for index, row in zip(batch, output, strict=True):
            yield index, until(row[ids.shape[1] :].tolist(), settings.eos_token_id)


@contextmanager
def without_own_settings(model: nn.Module) -> Iterator[None]:
    """Inside, no part of the model has generation settings from its checkpoint."""
    owners = {module: module.generation_config for module in model.modules() if "generation_config" in vars(module)}
    try:
        for module in owners:
            module.generation_config = GenerationConfig()
        yield
    finally:
        for module, own in owners.items():
            module.generation_config = own


@contextmanager
def without_router_losses(model: nn.Module) -> Iterator[None]:
    """Inside, a mixture of experts computes no loss of its router: with it, it cannot read a text token by token."""
    configs = {id(module.config): module.config for module in model.modules() if hasattr(module, "config")}
    asked = [config for config in configs.values() if getattr(config, "output_router_logits", False)]
    try:
        for config in asked:
            config.output_router_logits = False
        yield
    finally:
        for config in asked:
            config.output_router_logits = True


ENGINES: dict[str, Engine] = {"generate": generate, "refill": refill}
REFERENCE = "generate", False


def continued(
    model: nn.Module,
    prompts: Sequence[Tokens],
    settings: GenerationConfig,
    batch_size: int,
    *,
    engine: str,
    merge: bool | str,
    told: Callable[[str, bool], None] = lambda engine, merged: None,
) -> Continued:
    """The tokens of the reference, by `engine`, with adapters merged into the weights or not; both may be AUTO.

    CHECKED prompts of all lengths are continued both ways first. If a token differs, a warning says so and the
    reference does the rest. Beam search always goes through `generate`.

    told: called with the engine that was used in the end, and whether adapters were merged.
    """
    name = choice.engine(engine, model, settings)
    asked, merge = merge is True, choice.merges(merge, model, name)
    if ENGINES[name] is generate and not merge:
        told(name, False)
        yield from generate(model, prompts, settings, batch_size)
        return
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    checked = order[:: -(-len(order) // CHECKED) or 1]
    others = {index: None for index in order if index not in set(checked)}
    expected = dict(_of(generate, model, prompts, checked, settings, batch_size))
    yield from expected.items()
    with merged(model, asked_for=asked) if merge else nullcontext(False) as is_merged:
        together = min(batch_size, CHECKED_TOGETHER)
        found = dict(_of(ENGINES[name], model, prompts, checked, settings, together))
        different = sum(expected[index] != tokens for index, tokens in found.items())
        told(*(REFERENCE if different else (name, is_merged)))
        if not different:
            for index, tokens in _of(ENGINES[name], model, prompts, list(others), settings, batch_size):
                del others[index]
                yield index, tokens
    if different:
        warnings.warn(
            f"evaluate.engine={name} with evaluate.merged={str(merge).lower()} gave other tokens than the reference "
            f"for {different} of {len(checked)} prompts and is not used",
            stacklevel=2,
        )
    yield from _of(generate, model, prompts, list(others), settings, batch_size)


def _of(
    engine: Engine, model: nn.Module, prompts: Sequence[Tokens], which: Sequence[int], settings: GenerationConfig,
    batch_size: int,
) -> Continued:  # fmt: skip
    """Only the prompts `which`, with the indices that they have among all prompts."""
    for index, tokens in engine(model, [prompts[i] for i in which], settings, batch_size):
        yield which[index], tokens
