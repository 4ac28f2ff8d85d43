"""`adapter_names`: each row of a batch gets the output of its own adapter, or a refusal."""

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GemmaConfig, GenerationConfig, T5Config

from baselines import SpectralAdapterConfig, UpdateConfig, VectorFitConfig
from svft import SvftConfig

RANDOM = {"pattern": "random", "d": 2, "init_weights": False}
DRAWN = {"r": 2, "init_weights": False}
PAIRS = {
    "svft": (SvftConfig(**RANDOM), SvftConfig(seed=1, **RANDOM)),
    "svft, weight dropped": (SvftConfig(keep_weight=False, **RANDOM), SvftConfig(init_weights=False)),
    "svft, truncated": (SvftConfig(preset="authors_code", rank=4, **RANDOM), SvftConfig(rank=3, **RANDOM)),
    "spectral": (SpectralAdapterConfig(**DRAWN), SpectralAdapterConfig(mode="rotation", block=2, **DRAWN)),
    "updates": (UpdateConfig(kind="ssl", init_weights=False), UpdateConfig(kind="ssb", init_weights=False)),
    "vectorfit": (VectorFitConfig(init_weights=False), VectorFitConfig(multiplicative=True, init_weights=False)),
}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40}
NAMES = ["one", "__base__", "two", "one", "__base__", "two"]
TOKENS = torch.arange(1, 31).view(6, 5)
each_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def two_adapters(base, configs, targets, **fields) -> peft.PeftModel:
    """Adapters `one` and `two`; the first alone adapts the first of the targets."""
    for config, names in zip(configs, (targets, targets[1:]), strict=True):
        config.target_modules = set(names)
    model = peft.get_peft_model(base, configs[0], adapter_name="one", **fields)
    model.add_adapter("two", configs[1])
    return model.eval()


def decoder(configs) -> peft.PeftModel:
    config = GemmaConfig(
        num_key_value_heads=1, head_dim=6, intermediate_size=24, initializer_range=0.3, pad_token_id=0, **SIZES
    )
    return two_adapters(AutoModelForCausalLM.from_config(config), configs, ["q_proj", "down_proj", "o_proj"])


def alone(model, name: str, function):
    """`function(model)` with this adapter in every row."""
    if name == "__base__":
        with model.disable_adapter():
            return function(model)
    model.set_adapter(name)
    return function(model)


def row_by_row(model, function, names=NAMES):
    """What each row is with its adapter alone, function(model) having a row for each name."""
    return [alone(model, name, function)[row] for row, name in enumerate(names)]


@each_pair
def test_each_row_of_a_forward_pass_has_the_logits_of_its_adapter(pair):
    model = decoder(pair)
    expected = torch.stack(row_by_row(model, lambda m: m(TOKENS).logits))
    assert (expected - alone(model, "__base__", lambda m: m(TOKENS).logits)).flatten(1).norm(dim=1)[[0, 2]].min() > 0.1
    for active in ("one", "two"):
        model.set_adapter(active)
        torch.testing.assert_close(model(TOKENS, adapter_names=NAMES).logits, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(TOKENS).logits, alone(model, "two", lambda m: m(TOKENS).logits))


GENERATION = {
    "greedy": ({}, 1),
    "beams": ({"num_beams": 3}, 1),
    "beams by a configuration": ({"generation_config": GenerationConfig(num_beams=2, pad_token_id=0)}, 1),
    "two beams of three": ({"num_beams": 3, "num_return_sequences": 2}, 2),
}


@pytest.mark.parametrize(("options", "of_each"), GENERATION.values(), ids=GENERATION)
@pytest.mark.parametrize("name", ["svft", "svft, weight dropped", "spectral"])
def test_each_row_is_generated_with_its_adapter(name, options, of_each):
    model = decoder(PAIRS[name])

    def generated(m, **names):
        tokens = m.generate(input_ids=TOKENS, min_new_tokens=4, max_new_tokens=4, **options, **names)
        return tokens.view(len(TOKENS), of_each, 9)

    expected = torch.stack(row_by_row(model, generated))
    assert not torch.equal(expected, alone(model, "__base__", generated))
    assert torch.equal(generated(model, adapter_names=NAMES), expected)


def test_an_encoder_is_called_once_for_all_the_beams_of_a_row():
    config = T5Config(
        d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, vocab_size=40, decoder_start_token_id=0, pad_token_id=0
    )
    model = two_adapters(AutoModelForSeq2SeqLM.from_config(config), PAIRS["svft"], ["q", "v", "wo"])

    def generated(m, **names):
        return m.generate(input_ids=TOKENS, num_beams=2, min_new_tokens=4, max_new_tokens=4, **names)

    expected = torch.stack(row_by_row(model, generated))
    assert torch.equal(generated(model, adapter_names=NAMES), expected)


@each_pair
def test_a_head_of_one_adapter_is_for_its_rows_only(pair):
    base = torch.nn.Sequential()
    base.add_module("lin", torch.nn.Linear(9, 9, dtype=torch.float64))
    base.add_module("head", torch.nn.Linear(9, 3, dtype=torch.float64))
    for config, head in zip(pair, (None, ["head"]), strict=True):
        config.modules_to_save, config.target_modules = head, {"lin"}
    model = peft.get_peft_model(base, pair[0], adapter_name="one")
    model.add_adapter("two", pair[1])
    model.eval().base_model.model.head.modules_to_save["two"].weight.data += 1
    x = torch.randn(6, 9, dtype=torch.float64)
    expected = torch.stack(row_by_row(model, lambda m: m(x)))
    for active in ("one", "two"):
        model.set_adapter(active)
        torch.testing.assert_close(model(x, adapter_names=NAMES), expected)


def refused(sentence: str, model, names, kind=ValueError, rows=TOKENS):
    with pytest.raises(kind, match=sentence):
        model(rows, adapter_names=names)
    model.eval()
    assert torch.equal(model(TOKENS).logits, model(TOKENS).logits)


def test_what_cannot_be_right_is_refused_and_leaves_nothing_behind():
    model = decoder(PAIRS["svft"])
    refused("non-existing adapter.*: three", model, ["one", "three", *NAMES[2:]])
    refused("Length of `adapter_names`.*got 2 and 6", model, ["one", "two"])
    refused("adapter_names='one' is no list of names", model, "one", TypeError)
    refused("in training mode", model.train(), NAMES)
    expected = model(TOKENS).logits
    with pytest.raises(ValueError, match="Length of"):
        model(TOKENS, adapter_names=["two"])
    assert torch.equal(model(TOKENS).logits, expected)  # no hook of the call that failed is left
    model.merge_adapter()
    refused("merged adapters, please call `unmerge_adapter` first", model, NAMES)


def test_biases_that_belong_to_one_adapter_are_not_given_to_rows_of_another():
    pair = SvftConfig(bias="svft_only", **RANDOM), SvftConfig(seed=1, **RANDOM)
    model = decoder(pair)
    refused("adapter 'one' has bias='svft_only'", model, NAMES)
    logits = model(TOKENS, adapter_names=["one"] * 6).logits
    torch.testing.assert_close(logits, model(TOKENS).logits)
