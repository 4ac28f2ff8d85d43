"""Whole transformers models, made from configurations."""

from dataclasses import replace

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    DebertaV2Config,
    GemmaConfig,
    GPT2Config,
    ViTConfig,
)

from baselines import SpectralAdapterConfig, VectorFitConfig
from svft import SvftConfig, SvftLinear

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "initializer_range": 0.3,  # of 0.02 the logits would not show much
}
RANDOM = {"pattern": "random", "d": 2, "init": "kaiming"}


def gemma() -> torch.nn.Module:
    return AutoModelForCausalLM.from_config(GemmaConfig(vocab_size=40, num_key_value_heads=1, head_dim=8, **SMALL))


def vit() -> torch.nn.Module:
    return AutoModelForImageClassification.from_config(ViTConfig(image_size=8, patch_size=4, num_labels=3, **SMALL))


def deberta() -> torch.nn.Module:
    attention = {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
    }
    config = DebertaV2Config(vocab_size=40, max_position_embeddings=32, num_labels=3, **attention, **SMALL)
    return AutoModelForSequenceClassification.from_config(config)


def gpt2() -> torch.nn.Module:
    return AutoModelForCausalLM.from_config(
        GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.3)
    )


TOKENS = {"input_ids": torch.arange(1, 11).view(2, 5)}
PIXELS = {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)}
GEMMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
VIT = {"target_modules": r".*layers\..*(proj|fc1|fc2)", "modules_to_save": ["classifier"]}
DEBERTA = {
    "target_modules": r".*encoder.*\.(query_proj|key_proj|value_proj|dense)",
    "modules_to_save": ["pooler", "classifier"],  # the pooler is no single layer with a weight
    "task_type": "SEQ_CLS",
}
# name -> model, fields of the configuration, inputs, number of adapted layers
CASES = {
    "gemma": (gemma, {"target_modules": GEMMA}, TOKENS, 14),
    "vit": (vit, VIT, PIXELS, 12),
    "deberta": (deberta, DEBERTA, TOKENS, 12),
    "gpt2": (gpt2, {"target_modules": ["c_attn", "c_fc"]}, TOKENS, 4),
}


@pytest.mark.parametrize("preset", ["clean", "authors_code"])
@pytest.mark.parametrize(("build", "fields", "inputs", "layers"), CASES.values(), ids=CASES)
def test_saved_loaded_and_merged_models_give_the_same_logits(tmp_path, preset, build, fields, inputs, layers):
    torch.manual_seed(0)
    base = build().eval()
    start, weights = base(**inputs).logits, {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model = peft.get_peft_model(base, SvftConfig(preset=preset, **RANDOM, **fields)).eval()
    assert sum(isinstance(module, SvftLinear) for module in model.modules()) == layers
    logits = model(**inputs).logits
    assert (logits - start).abs().max() > 0.05
    model.save_pretrained(tmp_path)

    other = build().eval()
    other.load_state_dict(weights)
    loaded = peft.PeftModel.from_pretrained(other, tmp_path).eval()
    torch.testing.assert_close(loaded(**inputs).logits, logits)

    merged = model.merge_and_unload()
    assert not any("svft" in name for name in [*merged.state_dict(), *dict(merged.named_modules())])
    torch.testing.assert_close(merged(**inputs).logits, logits, atol=1e-4, rtol=1e-4)


def test_unloading_gives_the_base_model_back():
    base = deberta().eval()
    start = base(**TOKENS).logits
    model = peft.get_peft_model(base, SvftConfig(**RANDOM, **DEBERTA))
    assert torch.equal(model.unload()(**TOKENS).logits, start)


def test_gradient_checkpointing_gives_the_same_gradients():
    model = peft.get_peft_model(gemma(), SvftConfig(gate=True, target_modules=GEMMA, **RANDOM)).train()
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        model(**TOKENS, labels=TOKENS["input_ids"]).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad})
    assert len(gradients[0]) == 28
    assert all(gradient.abs().sum() > 0 for gradient in gradients[0].values())
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_all_linear_and_selected_blocks_are_understood():
    model = peft.get_peft_model(gemma(), SvftConfig(target_modules="all-linear"))
    assert sum(isinstance(module, SvftLinear) for module in model.modules()) == 14
    selected = SvftConfig(target_modules=["q_proj", "v_proj"], layers_to_transform=[1], layers_pattern="layers")
    model = peft.get_peft_model(gemma(), selected)
    assert model.base_model.targeted_module_names == [
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.self_attn.v_proj",
    ]


@pytest.mark.parametrize(
    "config", [{"pattern": "plain"}, {"pattern": "banded", "d": 2}, RANDOM, {"pattern": "topk", "d": 2}]
)
@pytest.mark.filterwarnings("ignore:pattern='topk'")
def test_training_lowers_the_loss(config):
    torch.manual_seed(0)
    model = peft.get_peft_model(gemma(), SvftConfig(target_modules=GEMMA, **config)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        losses.append(model(**TOKENS, labels=TOKENS["input_ids"]).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("config", [SvftConfig(), VectorFitConfig(), SpectralAdapterConfig(r=2)], ids=type)
def test_all_linear_means_the_same_layers_for_a_second_adapter(config):
    config.target_modules = "all-linear"
    model = peft.get_peft_model(gemma(), replace(config))
    model.add_adapter("second", replace(config))
    names = {name: sorted(model.peft_config[name].target_modules) for name in ("default", "second")}
    assert names["second"] == names["default"]
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    assert len(layers) == 14
    assert all(set(layer.configs) == {"default", "second"} for layer in layers)
