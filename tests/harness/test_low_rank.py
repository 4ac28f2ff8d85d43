"""A change of weights as a LoRA: exactly where its rank is low, and refused where something else was trained."""

import copy

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, VeraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from baselines.spectral import SpectralAdapterConfig
from errors import SettingError
from harness.adapters import low_rank
from svft import SvftConfig
from tests.harness.finished_runs import TINY


def base():
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", **TINY | {"intermediate_size": 40}, vocab_size=20, initializer_range=0.3)
    return AutoModelForSequenceClassification.from_config(config).eval()


def trained(config):
    """The merged model in float64, and the logits before it was merged."""
    model = get_peft_model(copy.deepcopy(base()), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model = model.double().eval()
    logits = model(input_ids=IDS).logits
    return model.merge_and_unload(), logits


IDS = torch.arange(2, 14).reshape(2, 6)
LAYERS = ["query", "intermediate.dense", "output.dense"]
LOW = {
    "lora": (LoraConfig(r=3, target_modules=LAYERS), 3),
    "rslora": (LoraConfig(r=3, lora_alpha=7, use_rslora=True, target_modules=LAYERS), 3),
    "pissa": (LoraConfig(r=2, init_lora_weights="pissa", target_modules=LAYERS), 4),
    "adalora": (AdaLoraConfig(init_r=3, target_r=2, total_step=9, target_modules=LAYERS), 3),
    "vera": (VeraConfig(r=4, target_modules=["query", "key"]), 4),
    "spectral": (SpectralAdapterConfig(r=2, block="top", target_modules=LAYERS), 4),
}


@pytest.mark.parametrize("name", LOW)
def test_a_change_of_low_rank_is_a_lora_with_the_same_logits(name):
    config, rank = LOW[name]
    model, wanted = trained(config)
    factors = low_rank.differences(base(), model, [])
    assert {a.shape[0] for _, a in factors.values()} == {rank}
    lora = low_rank.as_lora(base(), factors, []).eval()
    found = lora(input_ids=IDS).logits
    assert (found - wanted).abs().max() < 1e-5
    assert not torch.allclose(base()(input_ids=IDS).logits.double(), wanted, atol=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=2, use_dora=True, target_modules=LAYERS),
        SvftConfig(pattern="banded", d=2, target_modules=LAYERS),
    ],
)
def test_a_change_of_full_rank_is_refused(config):
    with pytest.raises(SettingError, match=r"weight was changed by a matrix of full rank \(16\)"):
        low_rank.differences(base(), trained(config)[0], [])


def test_what_is_no_weight_of_a_linear_layer_is_refused_and_a_head_is_not_looked_at():
    model = copy.deepcopy(base())
    model.classifier.weight.data += 1
    assert low_rank.differences(base(), model, ["classifier"]) == {}
    model.bert.encoder.layer[0].output.dense.bias.data += 1
    with pytest.raises(SettingError, match=r"output.dense.bias was trained, and is no weight of a linear layer"):
        low_rank.differences(base(), model, ["classifier"])


def test_nothing_trained_is_no_lora():
    with pytest.raises(SettingError, match="no layer was changed"):
        low_rank.as_lora(base(), {}, [])
