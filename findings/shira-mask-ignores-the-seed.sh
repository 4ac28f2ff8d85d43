#!/usr/bin/env bash
# Package:  peft 0.21.2 (torch 2.15.0)
# Surprise: ShiraConfig() without random_seed gives the same "random" mask whatever torch.manual_seed says: the mask is
#           drawn from a fresh torch.Generator(), which always starts from one constant seed.
# Guess:    random_seed=None means the global generator, as for the random start of LoRA.
# Hurt:     who reports SHiRA over several seeds: all seeds share one mask (and all layers of one shape do), so the
#           spread leaves out what is random in the method.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import ShiraConfig, get_peft_model


def masks(seed: int, **fields) -> list[torch.Tensor]:
    """The places that the two layers train."""
    torch.manual_seed(seed)
    base = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16))
    model = get_peft_model(base, ShiraConfig(r=1, target_modules=["0", "2"], **fields))
    layers = [model.base_model.model[i] for i in (0, 2)]
    return [layer.shira_indices["default"].clone() for layer in layers]


seeds = (0, 1, 2)
default = [masks(seed) for seed in seeds]
same_over_seeds = all(torch.equal(m, default[0][0]) for m, _ in default)
same_over_layers = all(torch.equal(first, second) for first, second in default)
given = [masks(seed, random_seed=seed)[0] for seed in seeds]
differ = not any(torch.equal(given[0], m) for m in given[1:])
print("Described: without random_seed one mask for all torch seeds and for both layers; with random_seed=seed one each.")
for seed, (m, _) in zip(seeds, default):
    print(f"Seen: torch.manual_seed({seed}): first places {m[:, :6].T.tolist()}")
print(f"Seen: same over seeds {same_over_seeds}; same in both layers {same_over_layers}; differ with random_seed {differ}")
sys.exit(not (same_over_seeds and same_over_layers and differ))
PY
