#!/usr/bin/env bash
# Package:  peft 0.21.2 (OSF; transformers 5.23.0, torch 2.15.0)
# Surprise: On GPT-2, whose layers are transformers' Conv1D, get_peft_model with OSF returns a model without a single adapted
#           layer and with nothing to train, and lists the layers as adapted (targeted_module_names). No error, no warning.
# Guess:    "Target module Conv1D(...) is not supported", as a dozen of PEFT's other tuners raise there.
# Hurt:     who compares tuners on GPT-2: OSF's row is the untouched base, or the head alone where there is one.
# Date:     2026-12-01
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys
import warnings

import torch
from peft import HRAConfig, LoraConfig, OSFConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=50, bos_token_id=1, eos_token_id=2)), ["c_attn", "c_fc"]


def llama():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=50)), ["q_proj", "up_proj"]


def adapted(base, config, **options) -> tuple[int, int, int, int]:
    """Layers said to be adapted, layers that are, trained numbers, warnings of either."""
    model, names = base()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = get_peft_model(model, config(target_modules=names, **options))
    layers = sum(isinstance(module, BaseTunerLayer) for module in model.modules())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    told = [each for each in caught if "Conv1D" in str(each.message) or "osf" in str(each.message).lower()]
    return len(model.targeted_module_names), layers, trained, len(told)


print("Described: OSF on GPT-2 says that it adapts 4 layers, adapts none and trains nothing, without a warning of it; on a")
print("Llama it adapts the 4; LoRA adapts GPT-2's, and HRA refuses them.")
osf = adapted(gpt2, OSFConfig, effective_rank=8)
other, lora = adapted(llama, OSFConfig, effective_rank=8), adapted(gpt2, LoraConfig, fan_in_fan_out=True)
try:
    adapted(gpt2, HRAConfig)
    refused = "no error"
except TypeError as error:
    refused = str(error)
for name, found in (("OSF on GPT-2", osf), ("OSF on a Llama", other), ("LoRA on GPT-2", lora)):
    print("Seen: {}: said to be adapted {}, adapted {}, trained {:,}, warnings {}".format(name, *found))
print(f"Seen: HRA on GPT-2: {refused}")
as_described = osf == (4, 0, 0, 0) and other[:2] == lora[:2] == (4, 4) and min(other[2], lora[2]) > 0
sys.exit(not (as_described and "not supported" in refused))
PY
