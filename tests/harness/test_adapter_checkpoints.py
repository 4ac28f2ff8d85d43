"""A checkpoint is a model. An adapter is none, and one that lies beside a model is not loaded on top of it."""

import json
import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from errors import ModelError
from harness.models import bases
from tests.conftest import ROOT

MICRO = ROOT / "assets" / "micro_gemma"


def chosen(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(overrides=["+seed=0", "+method=lora", *overrides])


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A folder with a LoRA of micro-Gemma that changes it."""
    folder = tmp_path_factory.mktemp("adapter")
    lora = LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(MICRO), lora).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("model", ["+model=micro_gemma", "+model=decoder"])
def test_an_adapter_is_refused_with_the_model_that_it_is_of(adapter, model):
    cfg = chosen(model, f"model.checkpoint={adapter}")
    with pytest.raises(ModelError, match=rf"is an adapter of {MICRO}, not a model: name the model, or merge"):
        bases.complete(cfg) if model == "+model=decoder" else bases.load(cfg.model, "generation")


def test_an_adapter_beside_the_model_is_not_loaded_on_top_of_it(adapter, tmp_path):
    """transformers loads it, so that the base is another than the one whose files were fingerprinted."""
    folder = shutil.copytree(MICRO, tmp_path / "merged")
    shutil.copy(adapter / "adapter_config.json", folder)
    shutil.copy(adapter / "adapter_model.safetensors", folder)
    ids = torch.tensor([[3, 4, 5]])
    plain, both = (AutoModelForCausalLM.from_pretrained(path)(ids).logits for path in (MICRO, folder))
    assert (plain - both).abs().max() > 0.01
    cfg = chosen("+model=micro_gemma", f"model.checkpoint={folder}")
    with pytest.raises(ModelError, match="has an adapter beside the model .*; if the model is the merged one, mo"):
        bases.load(cfg.model, "generation")


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"peft_type": "LORA"})])
def test_an_adapter_that_names_no_model_is_refused_all_the_same(tmp_path, content):
    (tmp_path / "adapter_config.json").write_text(content)
    cfg = chosen("+model=decoder", f"model.checkpoint={tmp_path}")
    with pytest.raises(ModelError, match="is an adapter, not a model"):
        bases.complete(cfg)
