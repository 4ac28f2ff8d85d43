#!/usr/bin/env bash
# Package:  peft 0.21.2
# Surprise: add_weighted_adapter on a model in eval() makes an adapter whose dropout is in training mode: model.training
#           is False, and two forward passes over one input differ.
# Guess:    a module that is added to a model in eval() is in eval(), the more so one that is not for training.
# Hurt:     who loads adapters (from_pretrained leaves the model in eval()), mixes them, and evaluates the mixture: it
#           is scored with dropout, so mixing looks worse than it is, and differently each time. model.eval() after
#           add_weighted_adapter helps.
# Date:     2026-11-30
# Source:   own observation; of get_peft_model and add_adapter it is known, open, September 2026:
#           https://github.com/huggingface/peft/issues/3753
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model


def base() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 16))


config = LoraConfig(r=4, lora_dropout=0.1, target_modules=["0"], init_lora_weights=False)
for name in ("one", "two"):
    get_peft_model(base(), config).save_pretrained(name)  # two trained adapters
model = PeftModel.from_pretrained(base(), "one", adapter_name="one")
model.load_adapter("two", "two")
model.add_weighted_adapter(["one", "two"], [0.5, 0.5], "mixed", combination_type="cat")
x = torch.randn(64, 16)


@torch.no_grad()
def apart(adapter: str) -> float:
    """Two passes over x, in parts of what the adapter adds."""
    model.set_adapter(adapter)
    first, second = model(x), model(x)
    with model.disable_adapter():
        return ((first - second).norm() / (first - model(x)).norm()).item()


training = model.training
loaded, mixed = max(apart("one"), apart("two")), apart("mixed")
model.eval()
after = apart("mixed")
print("Described: in eval(), passes with a loaded adapter agree, and with a mixture of them they do not.")
print("Seen: model.training:", training)
print(f"Seen: two passes differ by, in parts of the update: loaded {loaded:.3f}; mixed {mixed:.3f}; ", end="")
print(f"mixed after model.eval() {after:.3f}")
sys.exit(not (training is False and loaded == 0 and mixed > 0.1 and after == 0))
PY
