#!/usr/bin/env bash
# Package:  peft 0.21.2 (FRoD; torch 2.15.0)
# Surprise: FRoD's adapter is U (diag(l) + S) V^T. save_projection=True, the default, stores V; loading puts that V beside a
#           U that was worked out a moment before from the V of this process. Where the two V differ, the pair fits nothing:
#           the adapter is further off than with save_projection=False, which stores neither. Where one layer of a role is
#           adapted and its weight is square, the eigenvectors behind V are those of a multiple of 1, so that rounding
#           alone decides them: weights that differ by 1e-7 give another function.
# Guess:    "guarantees that we can reload the adapter on all system configurations" (its help), "independent of
#           regeneration details" (its page).
# Hurt:     who trains FRoD on a base in fp32 and serves it in bf16, or loads it with another LAPACK, number of threads or
#           device, where signs and order of eigenvectors are others.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys
import warnings

import torch
from peft import FrodConfig, LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

warnings.simplefilter("ignore")
inputs = torch.randn(32, 64, generator=torch.Generator().manual_seed(1))


class Model(torch.nn.Module):
    def __init__(self, layers: int):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.ModuleDict({"q": torch.nn.Linear(64, 64)}) for _ in range(layers))

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.nn.functional.gelu(layer["q"](x))
        return x


def outputs(model, dtype=torch.float32):
    with torch.no_grad():
        return model(inputs.to(dtype)).float()


def off(config, layers: int, dtype=torch.float32, noise: float = 0.0) -> float:
    """How far the outputs of the reloaded adapter are from those of the trained one, relative."""
    model = get_peft_model(Model(layers), config())
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(20):
        (model(inputs) - 1).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    base = Model(layers)
    for parameter in base.parameters():
        parameter.data *= 1 + noise * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    again = get_peft_model(base.to(dtype), config())
    set_peft_model_state_dict(again, get_peft_model_state_dict(model))
    return ((outputs(again, dtype) - outputs(model)).norm() / outputs(model).norm()).item()


def frod(saved: bool):
    return lambda: FrodConfig(target_modules=["q"], save_projection=saved, progressbar=False)


def lora():
    return LoraConfig(target_modules=["q"])


print("Described: with V stored, a bf16 base moves the reloaded adapter more than with V worked out again, and 10 times as much")
print("as LoRA; with one adapted layer, weights that differ by 1e-7 make it another function; on the same base it is exact.")
saved, again, plain = (off(each, 6, torch.bfloat16) for each in (frod(True), frod(False), lora))
print(f"Seen: six layers, bf16 base: V stored {saved:.3f}; V worked out again {again:.3f}; LoRA {plain:.3f}")
one = [off(each, 1, noise=1e-7) for each in (frod(True), frod(False), lora)]
print("Seen: one layer, weights off by 1e-7: V stored {:.3f}; V worked out again {:.3f}; LoRA {:.1e}".format(*one))
same = off(frod(True), 6)
print(f"Seen: six layers, the same base: {same:.1e}")
sys.exit(not (saved > 3 * again and saved > 10 * plain and min(one[:2]) > 0.03 and one[2] < 1e-5 and same < 1e-5))
PY
