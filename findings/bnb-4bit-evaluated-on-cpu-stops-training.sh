#!/usr/bin/env bash
# Package:  bitsandbytes 0.50.2 (torch 2.15.0), on a CPU with avx512_bf16
# Surprise: one forward pass in eval() without gradients rearranges the weight of a Linear4bit for a faster kernel, and
#           train() does not put it back. From then on no gradient passes the layer, and dequantize_4bit gives another
#           matrix, as does whoever calls it (PEFT merges, SVFT and PiSSA decompose).
# Guess:    an evaluation between two steps of training changes nothing.
# Hurt:     who fine-tunes a 4-bit base on a CPU and evaluates first, or after an epoch: adapters below the last layer
#           get no gradient or a gradient of zero, in silence but for a warning of autograd.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
grep -q avx512_bf16 /proc/cpuinfo || { echo "error: this needs a processor with avx512_bf16" >&2; exit 2; }
finding bitsandbytes==0.50.2 torch==2.15.0 <<'PY'
import sys

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit

torch.manual_seed(0)
layer = Linear4bit(128, 256, bias=False, quant_type="nf4", compute_dtype=torch.bfloat16).to("cpu")
x = torch.randn(4, 128, dtype=torch.bfloat16)


def gradient() -> float:
    """Norm of the gradient that reaches the layer's input in training."""
    given = x.clone().requires_grad_()
    layer.train()(given).sum().backward()
    return 0.0 if given.grad is None else given.grad.norm().item()


def weight() -> torch.Tensor:
    return dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()


before = gradient(), weight()
with torch.no_grad():
    layer.eval()(x)
after = gradient(), weight()
moved = ((after[1] - before[1]).norm() / before[1].norm()).item()
print("Described: after one evaluation no gradient passes the layer in training, and its dequantised weight is another.")
print(f"Seen: norm of the gradient before {before[0]:.2f}, after {after[0]:.2f}; the weight moved by {moved:.2f} of its norm")
sys.exit(not (before[0] > 0 and after[0] == 0 and moved > 0.1))
PY
