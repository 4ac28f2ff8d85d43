"""Base weights that are shared, computed or not there: the right function, or one sentence."""

import copy

import peft
import pytest
import torch
import torch.distributed as dist
from accelerate import cpu_offload
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm
from transformers import AutoModelForCausalLM, GemmaConfig

from baselines import SpectralAdapterConfig, UpdateConfig, VectorFitConfig
from svft import SvftConfig

CONFIGS = {
    "svft": SvftConfig(pattern="random", d=2, init="kaiming"),
    "authors": SvftConfig(pattern="random", d=2, rank=4, preset="authors_code"),
    "spectral": SpectralAdapterConfig(r=2, init_weights=False),
    "update": UpdateConfig(kind="ssb", init_weights=False),
    "vectorfit": VectorFitConfig(init_weights=False),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
X = torch.linspace(-1, 1, 42, dtype=torch.float64).view(3, 14)


def linears(*names: str) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential()
    for name in names:
        model.add_module(name, nn.Linear(14, 14, dtype=torch.float64))
    return model


def adapted(model: nn.Module, config, *targets: str, **fields) -> peft.PeftModel:
    config = copy.copy(config)
    config.target_modules = {*targets}
    for name, value in fields.items():
        setattr(config, name, value)
    return peft.get_peft_model(model, config)


def refused_to_merge(model: peft.PeftModel, sentence: str, *layers: nn.Module) -> None:
    """In each of the ways to merge, before any layer is merged."""
    before = [layer.weight.detach().clone() for layer in layers]
    output = model(X)
    for merge in (model.merge_adapter, model.merge_and_unload, lambda: model.merge_and_unload(safe_merge=True)):
        with pytest.raises(ValueError, match=sentence):
            merge()
        assert torch.equal(model(X), output)
    for layer, weight in zip(layers, before, strict=True):
        assert torch.equal(layer.weight, weight)


# -- shared


@each_config
def test_a_weight_that_another_layer_has_too_is_not_merged_into(config):
    model = linears("first", "one", "other")
    model.other.weight = model.one.weight
    refused_to_merge(
        adapted(model, config, "first", "one"),
        "layer 'one' shares its weight with 'other', which merging would change too",
        model.first.base_layer,
        model.other,
    )


@each_config
def test_a_layer_that_has_two_places_is_not_merged_into_where_one_is_adapted(config):
    model = linears("one", "between")
    model.add_module("other", model.one)
    refused_to_merge(adapted(model, config, "one"), "layer 'one' shares its weight with 'other'", model.other)


@each_config
def test_an_adapted_layer_in_two_places_is_merged(config):
    model = nn.Sequential()
    model.add_module("block", linears("one"))
    model.add_module("again", model.block)
    model = adapted(model, config, "one")
    expected = model(X)
    torch.testing.assert_close(model.merge_and_unload()(X), expected)


def test_a_bias_that_another_layer_has_too_is_merged_into_where_it_is_not_trained():
    for train_bias in (True, False):
        model = linears("one", "other")
        model.other.bias = model.one.bias
        model = adapted(model, CONFIGS["vectorfit"], "one", train_bias=train_bias)
        if train_bias:
            refused_to_merge(model, "layer 'one' shares its bias with 'other'")
        else:
            expected = model(X)
            torch.testing.assert_close(model.merge_and_unload()(X), expected)


def gemma(**fields) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GemmaConfig(**sizes, num_key_value_heads=1, head_dim=8, vocab_size=40, initializer_range=0.3, **fields)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings", "ignore:.*tied")
def test_a_tied_head_is_merged_once_its_weight_is_its_own():
    tokens = torch.arange(1, 11).view(2, 5)
    tied = adapted(gemma(), CONFIGS["svft"], "q_proj", "lm_head")
    logits = tied(tokens).logits
    with pytest.raises(
        ValueError, match=r"layer 'lm_head' shares its weight with 'model\.embed_tokens'.*untie|tie_word"
    ):
        tied.merge_and_unload()
    untied = gemma(tie_word_embeddings=False)
    untied.load_state_dict({name: tensor.clone() for name, tensor in gemma().state_dict().items()})
    merged = adapted(untied, CONFIGS["svft"], "q_proj", "lm_head").merge_and_unload()
    torch.testing.assert_close(merged(tokens).logits, logits, atol=1e-4, rtol=1e-4)
    dropped = adapted(gemma(), CONFIGS["svft"], "q_proj", "lm_head", keep_weight=False)  # its weight is its own then
    torch.testing.assert_close(dropped.merge_and_unload()(tokens).logits, logits, atol=1e-4, rtol=1e-4)


# -- computed


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def _parametrised(layer: nn.Linear) -> None:
    parametrize.register_parametrization(layer, "weight", Doubled())


# name -> what makes the weight of a layer from others, and what makes it a plain weight again
COMPUTED = {
    "pruned": (
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
        lambda layer: prune.remove(layer, "weight"),
    ),
    "weight norm": (weight_norm, nn.utils.remove_weight_norm),
    "spectral norm": (lambda layer: spectral_norm(layer.eval()), nn.utils.remove_spectral_norm),
    "parametrised": (_parametrised, lambda layer: parametrize.remove_parametrizations(layer, "weight")),
    "weight norm, parametrised": (
        parametrizations.weight_norm,
        lambda layer: parametrize.remove_parametrizations(layer, "weight"),
    ),
}
each_computed = pytest.mark.parametrize(("make", "undo"), COMPUTED.values(), ids=COMPUTED)


@each_config
@each_computed
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_a_computed_weight_is_adapted_but_not_merged_into(config, make, undo):
    model = linears("first", "one")
    make(model.one)
    model = adapted(model, config, "first", "one").eval()
    layer = model.base_model.model.one
    with torch.no_grad():
        weight = layer.base_layer.weight + layer.get_delta_weight("default")
        bias = layer.base_layer.bias + (0 if layer.delta_bias("default") is None else layer.delta_bias("default"))
    expected = nn.functional.linear(X, weight, bias)
    torch.testing.assert_close(layer(X), expected)
    refused_to_merge(model, "layer 'one': its weight is computed from other tensors")
    with pytest.raises(ValueError, match="layer 'one': its weight is computed from other tensors"):
        layer.merge()
    undo(layer.base_layer)
    layer.merge()
    torch.testing.assert_close(layer(X), expected)


@each_computed
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_a_computed_weight_is_decomposed_as_it_is_in_the_next_forward_pass(make, undo):
    """torch's older hooks write it there, so that it is stale after loading a state."""
    model = linears("one")
    make(model.one)
    with torch.no_grad():
        for parameter in model.one.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64))
    layer = adapted(model, CONFIGS["svft"], "one").base_model.model.one
    layer.base_layer(X)
    torch.testing.assert_close(layer.basis_s, torch.linalg.svdvals(layer.base_layer.weight.detach()))


@each_computed
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_a_computed_weight_is_not_dropped(make, undo):
    model = linears("one")
    make(model.one)
    with pytest.raises(ValueError, match="layer 'one': keep_weight=False needs a plain linear layer, not a"):
        adapted(model, CONFIGS["svft"], "one", keep_weight=False)


# -- not there


def _partitioned(model: nn.Module) -> None:
    """As DeepSpeed's ZeRO-3 leaves a parameter between forward passes."""
    weight = model.one.weight
    weight.ds_id, weight.ds_shape = 0, weight.shape
    weight.data = torch.empty(0, dtype=weight.dtype)


def _flattened(model: nn.Module) -> None:
    """As FSDP1 does."""
    model.one.weight.data = model.one.weight.data.flatten()[:50]


def _on_meta(model: nn.Module) -> None:
    model.one.to("meta")


def _lazy(model: nn.Module) -> None:
    model.one = nn.LazyLinear(14, dtype=torch.float64)


def _offloaded(model: nn.Module) -> None:
    cpu_offload(model)


ABSENT = {
    "offloaded": (_offloaded, r"is offloaded by accelerate.*load the base model on one device \(device_map"),
    "lazy": (_lazy, "has no shape before the first batch.*call the model on a batch first"),
    "ZeRO-3": (_partitioned, r"is partitioned by DeepSpeed \(ZeRO-3\).*GatheredParameters"),
    "FSDP1": (_flattened, r"has the shape \(50,\), not \(14, 14\).*before it is partitioned"),
    "meta": (_on_meta, "is on the meta device, without values.*load the base model whole"),
}


@each_config
@pytest.mark.parametrize(("change", "sentence"), ABSENT.values(), ids=ABSENT)
def test_a_weight_that_is_not_there_is_named_before_anything_is_decomposed(monkeypatch, config, change, sentence):
    model = linears("one", "other")
    change(model)
    monkeypatch.setattr("svft.basis.layer.decompose", lambda weight: pytest.fail("decomposed"))
    with pytest.raises(ValueError, match=f"layer 'one': its weight {sentence}"):
        adapted(model, config, "one", "other")


def test_a_sharded_weight_is_refused(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = linears("one")
        fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (1,)))
        with pytest.raises(
            ValueError, match=r"layer 'one': its weight is sharded \(a DTensor\).*before it is partitioned"
        ):
            adapted(model, CONFIGS["svft"], "one")
    finally:
        dist.destroy_process_group()


def test_a_lazy_layer_is_adapted_after_its_first_batch():
    model = linears("one")
    _lazy(model)
    model(X)
    adapted(model, CONFIGS["svft"], "one")


def test_a_model_that_is_all_on_the_meta_device_is_counted():
    with torch.device("meta"):
        model = linears("one", "other")
    model = adapted(model, SvftConfig(), "one", "other")
    assert model.get_nb_trainable_parameters() == (28, 28 + 2 * (14 * 14 + 14))
