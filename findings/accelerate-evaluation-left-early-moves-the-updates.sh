#!/usr/bin/env bash
# Package:  accelerate 1.15.0 (torch 2.15.0)
# Surprise: leave an evaluation loop over a prepared loader with `break` inside a training epoch, and the rest of the
#           epoch is trained otherwise: its last, incomplete accumulation is not stepped, its gradients go into the
#           first update of the next epoch, and the windows of accumulation have moved.
# Guess:    an evaluation without gradients, on a loader of its own, leaves training as it was; `break` ends a loop.
# Hurt:     who evaluates on the first few batches in the middle of an epoch: fewer updates, some of them of gradients
#           of two epochs, and a training that depends on whether one looked at it.
# Date:     2026-12-01
# Source:   https://github.com/huggingface/accelerate/pull/4248 (open): the loader's end() is not called, so that it
#           stays GradientState's active one and the training loader's end is not seen
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding accelerate==1.15.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset


def train(batches: int) -> tuple[list[str], torch.Tensor]:
    """The updates (epoch.batch) of 2 epochs of 6 batches, with an evaluation of so many batches after the third."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    rows = TensorDataset(torch.randn(24, 4), torch.randn(24, 1))
    loaders = DataLoader(rows, batch_size=4), DataLoader(rows, batch_size=4)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, training, evaluation = accelerator.prepare(model, sgd, *loaders)
    updates = []
    for epoch in (1, 2):
        for i, (x, y) in enumerate(training, 1):
            with accelerator.accumulate(model):
                accelerator.backward(((model(x) - y) ** 2).mean())
                optimizer.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                updates.append(f"{epoch}.{i}")
            if i == 3 and batches:
                for j, (x, _) in enumerate(evaluation, 1):
                    with torch.no_grad():
                        model(x)
                    if j == batches:
                        break
    return updates, model.weight.detach().clone()


runs = {}
for name, batches in (("none", 0), ("on all batches", 99), ("left after 2", 2)):
    runs[name] = train(batches)
print("Described: an evaluation left early moves and drops the updates that follow; one that runs to its end does not.")
for name, (updates, weight) in runs.items():
    numbers = " ".join(f"{value:.4f}" for value in weight.flatten())
    print(f"Seen: evaluation {name + ':':<15} updates after batches {' '.join(updates):<16} weights {numbers}")
none, whole, left = runs.values()
same = none[0] == whole[0] == ["1.4", "1.6", "2.4", "2.6"] and torch.equal(none[1], whole[1])
sys.exit(not (same and left[0] == ["1.4", "2.2", "2.6"] and not torch.allclose(left[1], none[1], atol=1e-3)))
PY
