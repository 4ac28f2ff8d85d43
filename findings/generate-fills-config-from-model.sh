#!/usr/bin/env bash
# Package:  transformers 5.23.0 (generate, with torch 2.15.0)
# Surprise: a GenerationConfig that is passed to generate is completed from the model's own generation_config, field by
#           field, so GenerationConfig(do_sample=False) is greedy decoding with the repetition penalty that the
#           checkpoint ships.
# Guess:    the object that is passed replaces the model's; the docstring says that fields left out take the defaults of
#           the class ("unspecified parameters will inherit GenerationConfig's default values").
# Hurt:     who evaluates several checkpoints "greedily" with one GenerationConfig: each is decoded by another rule,
#           silently (repetition penalties make copied numbers wrong).
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    bos_token_id=None, eos_token_id=None, pad_token_id=0,
)
model = LlamaForCausalLM(config).eval()
prompt = torch.tensor([[3, 5, 7]])


def tokens(**fields) -> list[int]:
    passed = GenerationConfig(max_new_tokens=10, do_sample=False, **fields)
    return model.generate(prompt, generation_config=passed)[0, 3:].tolist()


plain = tokens()
model.generation_config.repetition_penalty = 5.0  # as a checkpoint's generation_config.json may set it
leaked = tokens()
explicit = tokens(repetition_penalty=1.0)
print("GenerationConfig().repetition_penalty is", GenerationConfig().repetition_penalty)
print("Described: the model's repetition_penalty acts although the GenerationConfig passed has none; 1.0 stops it.")
print("Seen: model without a penalty               ", plain)
print("Seen: model with 5.0, config leaves it out  ", leaked)
print("Seen: model with 5.0, config says 1.0       ", explicit)
sys.exit(not (leaked != plain and explicit == plain))
PY
