#!/usr/bin/env bash
# Package:  peft 0.21.2 (with transformers 5.23.0)
# Surprise: get_peft_model writes what "all-linear" meant for a model into the LoraConfig. Used again on a deeper model
#           of the family, the same object adapts the layers that the first model had, and no others, without a word.
# Guess:    a config describes; "all-linear" is worked out anew for each model.
# Hurt:     who makes one config at the top of a comparison of model sizes: the larger models are trained in their first
#           layers only, and the numbers say that the method does not scale.
# Date:     2026-11-30
# Source:   own observation; peft/tuners/tuners_utils.py:2489. That a config should not be used twice is said in
#           https://github.com/huggingface/peft/pull/3770 (of modules_to_save), not in the docstrings
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 transformers==5.23.0 torch==2.15.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys
import warnings

from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

warnings.simplefilter("error")  # a warning would be a word
warnings.simplefilter("ignore", FutureWarning)  # of transformers: a deprecated name


def model(layers: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=layers, num_attention_heads=2,
        )
    )


def adapted(layers: int, config: LoraConfig) -> list[int]:
    """How many linear layers are adapted in each layer of the model."""
    names = get_peft_model(model(layers), config).targeted_module_names
    return [sum(f".{i}." in name for name in names) for i in range(layers)]


once = LoraConfig(r=2, target_modules="all-linear")
small, large = adapted(1, once), adapted(4, once)
fresh = adapted(4, LoraConfig(r=2, target_modules="all-linear"))
print('Described: a LoraConfig("all-linear") that has served a model of 1 layer adapts layer 0 of a model of 4 layers.')
print("Seen: target_modules of the config by now:", min(once.target_modules), "...", max(once.target_modules))
print("Seen: linear layers adapted by layer, model of 1 layer:               ", small)
print("Seen: linear layers adapted by layer, model of 4, same config:        ", large)
print("Seen: linear layers adapted by layer, model of 4, a config of its own:", fresh)
sys.exit(not (small == [7] and large == [7, 0, 0, 0] and fresh == [7] * 4))
PY
