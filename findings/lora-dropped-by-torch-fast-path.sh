#!/usr/bin/env bash
# Package:  peft 0.21.2 with torch 2.15.0
# Surprise: LoRA on linear1 and linear2 of nn.TransformerEncoderLayer trains, and is dropped in evaluation: the layer's
#           fast path reads linear1.weight, which PEFT answers with the weight of the base layer.
# Guess:    an adapter that is injected, listed as trainable and lowers the training loss also acts in model.eval().
# Hurt:     who fine-tunes a model made of torch's own encoder layers (batch_first): every evaluation is that of the
#           base model, without a warning, until the adapter is merged.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
model = get_peft_model(layer, LoraConfig(r=4, target_modules=["linear1", "linear2"], init_lora_weights=False))
x = torch.randn(2, 5, 16)


@torch.no_grad()
def difference() -> float:
    """Of the outputs with and without the adapter, at most."""
    with_adapter = model(x)
    with model.disable_adapter():
        return (with_adapter - model(x)).abs().max().item()


training = difference()  # dropout is 0, so modes differ in nothing else
model.eval()
evaluation = difference()
torch.backends.mha.set_fastpath_enabled(False)
slow = difference()
torch.backends.mha.set_fastpath_enabled(True)
with torch.no_grad(), model.disable_adapter():
    base = model(x)
with torch.no_grad():
    merged = (model.merge_and_unload().eval()(x) - base).abs().max().item()
print("Described: the adapter changes the output in training mode, and not by one bit in eval() under no_grad.")
print(f"Seen: largest change by the adapter: train() {training:.3f}; eval() {evaluation}")
print(f"Seen: eval() with set_fastpath_enabled(False) {slow:.3f}; eval() after merge_and_unload {merged:.3f}")
sys.exit(not (training > 0.1 and evaluation == 0.0 and slow > 0.1 and merged > 0.1))
PY
