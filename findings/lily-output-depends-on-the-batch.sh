#!/usr/bin/env bash
# Package:  peft 0.21.2 (Lily; torch 2.15.0)
# Surprise: with Lily, a row's output depends on the other rows of its batch, in eval() too: the router's probabilities
#           are averaged over all rows and positions, and one mixture of the experts serves the whole batch.
# Guess:    an adapter on nn.Linear maps each vector by itself, and a router routes each token.
# Hurt:     who evaluates Lily: predictions change with the batch size, the order of the data and the padding; in a
#           causal model a later token changes the outputs at earlier ones, and generation with a cache is another
#           function than training.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import LilyConfig, LoraConfig, get_peft_model


def changes(config) -> list[float]:
    """Of row 0's output by another row 1, of its first position's by a later one, in parts of what the adapter adds."""
    torch.manual_seed(0)
    model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 16)), config).eval()
    row, other, third = torch.randn(3, 4, 16)  # 4 positions each
    with torch.no_grad():
        rows = model(torch.stack([row, other]))[0], model(torch.stack([row, third]))[0]
        positions = model(row[None])[0, 0], model(torch.cat([row[:3], other[3:]])[None])[0, 0]
        with model.disable_adapter():
            scale = (rows[0] - model(row[None])[0]).abs().max()
    return [((a - b).abs().max() / scale).item() for a, b in (rows, positions)]


lily = changes(LilyConfig(r=4, num_B=2, target_modules=["0", "1"], init_weights=False))
lora = changes(LoraConfig(r=4, target_modules=["0", "1"], init_lora_weights=False))
print("Described: in eval(), another second row, or in a batch of one a later position, changes an output with Lily and not")
print("with LoRA. In parts of what the adapter adds:")
for i, name in enumerate(("another second row", "another last position")):
    print(f"Seen: {name}: Lily {lily[i]:.4f}; LoRA {lora[i]:.1e}")
sys.exit(not (min(lily) > 1e-3 and max(lora) < 1e-5))
PY
