#!/usr/bin/env bash
# Package:  peft 0.21.2 (ShadowPEFT; torch 2.15.0, transformers 5.23.0)
# Surprise: ShadowPEFT's auxiliary loss is added by the tuner's forward, which PeftModel without a task type does not call:
#           training then leaves it out and says nothing. With task_type="CAUSAL_LM" it is added in eval() too, so that a
#           validation loss is not that of the outputs.
# Guess:    a task type is a label; and an auxiliary loss belongs to training.
# Hurt:     who trains it without a task type (another method than the paper's), and who chooses a checkpoint by, or
#           compares methods by, the model's validation loss.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import ShadowConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

ids = torch.randint(0, 40, (2, 9), generator=torch.Generator().manual_seed(0))
shape = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2}


def extra(training: bool, **fields) -> float:
    """What the model's loss has beside the cross entropy of its logits."""
    torch.manual_seed(0)
    config = ShadowConfig(r=2, shadow_dropout=0.0, auxiliary_loss_weight=0.05, **fields)
    model = get_peft_model(LlamaForCausalLM(LlamaConfig(**shape)), config).train(training)
    with torch.no_grad():
        output = model(input_ids=ids, labels=ids)
    return (output.loss - torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())).item()


typed, untyped = ([extra(training, **fields) for training in (True, False)] for fields in ({"task_type": "CAUSAL_LM"}, {}))
print("Described: with a task type the loss has an extra part in train() and in eval(); without one in neither.")
print(f"Seen: extra part with task_type=CAUSAL_LM: train {typed[0]:.4f}, eval {typed[1]:.4f}")
print(f"Seen: extra part without a task type: train {untyped[0]:.1e}, eval {untyped[1]:.1e}")
sys.exit(not (min(typed) > 0.1 and max(map(abs, untyped)) < 1e-5))
PY
