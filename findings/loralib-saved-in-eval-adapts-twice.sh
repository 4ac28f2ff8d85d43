#!/usr/bin/env bash
# Package:  loralib 0.1.2 (torch 2.15.0)
# Surprise: eval() adds the update to the weight, and whether it has is a Python attribute, not part of the state. A
#           state_dict taken in eval() and loaded into a new model has the update twice; one taken in train() and loaded
#           into a model that is in eval() has it not at all. All keys match.
# Guess:    a state_dict is the model; loading it gives the same outputs, in whichever mode it was taken.
# Hurt:     who saves the best checkpoint right after evaluating it, or resumes from it: the outputs are those of twice
#           the adapter, and training goes on from there.
# Date:     2026-12-01
# Source:   https://github.com/microsoft/LoRA/issues/190 (open)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding loralib==0.1.2 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys
from copy import deepcopy

import loralib
import torch

torch.manual_seed(0)
trained = loralib.Linear(16, 16, r=4)
torch.nn.init.normal_(trained.lora_B)
x = torch.randn(8, 16)
with torch.no_grad():
    base = torch.nn.functional.linear(x, trained.weight, trained.bias)
    update = trained(x) - base


def times(saved_in_training: bool, loaded_in_training: bool) -> float:
    """How many times the update is in the outputs, in eval(), of a new model that loaded the state."""
    trained.train(saved_in_training)
    state = deepcopy(trained.state_dict())
    model = loralib.Linear(16, 16, r=4)
    model.train(loaded_in_training)
    model.load_state_dict(state)
    model.train(False)
    with torch.no_grad():
        added = model(x) - base
    return round(((added * update).sum() / (update**2).sum()).item(), 3)


print("Described: loaded in another mode than it was saved in, the update is in the outputs twice or not at all.")
modes = {True: "train()", False: "eval()"}
found = {}
for saved in modes:
    for loaded in modes:
        found[saved, loaded] = times(saved, loaded)
        print(f"Seen: saved in {modes[saved]}, loaded in {modes[loaded]}: {found[saved, loaded]} times the update")
want = {(True, True): 1, (True, False): 0, (False, True): 2, (False, False): 1}
sys.exit(any(abs(found[key] - want[key]) > 1e-3 for key in want))
PY
