#!/usr/bin/env bash
# Package:  torch 2.15.0
# Surprise: inside one torch.autocast block the bf16 copies of fp32 weights are made once. Load other weights into the
#           model in that block, and it goes on with the copies of the first: all checkpoints get the score of one. An
#           outer block with enabled=False, around a block of its own for each checkpoint, has the same effect.
# Guess:    a forward pass uses the weights that the model has; load_state_dict is seen, as any change in place.
# Hurt:     who evaluates checkpoints or averages of weights in a loop and puts the block around the loop: a flat curve,
#           or an average that is as good as its first part. An optimizer that steps in the block trains a model that
#           never changes. Weights that need no gradient are read anew.
# Date:     2026-11-30
# Source:   aten/src/ATen/autocast_mode.cpp (cached_cast; emptied when the outermost block is left). A training that
#           stood still by it: https://github.com/X-GenGroup/Flow-Factory/pull/186
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torch==2.15.0 numpy==2.4.6 <<'PY'
import sys
from contextlib import nullcontext

import torch

torch.manual_seed(0)
model = torch.nn.Linear(8, 1)
checkpoints = [torch.nn.Linear(8, 1).state_dict() for _ in range(3)]
x, y = torch.randn(64, 8), torch.randn(64, 1)


def bf16(enabled: bool = True) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


@torch.no_grad()
def losses(around, each) -> list[float]:
    """Of the checkpoints, with one context around the loop and one in each round."""
    found = []
    with around:
        for weights in checkpoints:
            model.load_state_dict(weights)
            with each:
                found.append(round(((model(x) - y) ** 2).mean().item(), 3))
    return found


each = losses(nullcontext(), bf16())
one = losses(bf16(), nullcontext())
off = losses(bf16(enabled=False), bf16())
model.requires_grad_(False)
frozen = losses(bf16(), nullcontext())
print("Described: with a block around the loop each checkpoint has the loss of the first, unless the model is frozen.")
print("Seen: losses of 3 checkpoints, a block for each:         ", *each)
print("Seen: losses, one block around the loop:                 ", *one)
print("Seen: losses, a block for each, around them enabled=False:", *off)
print("Seen: losses, one block, requires_grad_(False):          ", *frozen)
sys.exit(not (len(set(each)) == 3 and one == off == each[:1] * 3 and frozen == each))
PY
