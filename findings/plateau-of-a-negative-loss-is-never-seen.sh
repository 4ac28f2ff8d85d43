#!/usr/bin/env bash
# Package:  torch 2.15.0
# Surprise: with a negative metric ReduceLROnPlateau does not lower the rate: its threshold is best * (1 - 1e-4), which
#           for a negative best is worse than best, so that standing still is an improvement in each epoch, and so is
#           slowly getting worse, which becomes the new best. A positive constant loss lowers the rate as documented.
# Guess:    a constant loss is a plateau, whatever its sign.
# Hurt:     who watches a log-likelihood, an ELBO, a reward, a contrastive or Dice loss, in mode min or max: the rate
#           stays at its start for the whole run, without a word.
# Date:     2026-12-01
# Source:   https://github.com/pytorch/pytorch/issues/47513 (open); threshold_mode="abs" ends it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch


def schedule(mode: str, values) -> tuple[float, float]:
    """The learning rate and the best value after these."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=3)
    for value in values:
        scheduler.step(value)
    return optimizer.param_groups[0]["lr"], scheduler.best


worsening = [-1 + 5e-5 * epoch for epoch in range(40)]
print("Described: 40 epochs without an improvement lower the rate of a positive metric, and not of a negative one.")
rates = {}
for mode in ("min", "max"):
    for value in (1.0, -1.0):
        rates[mode, value], _ = schedule(mode, [value] * 40)
        print(f"Seen: mode {mode}, always {value:>4}: rate 1 -> {rates[mode, value]:.4f}")
rate, best = schedule("min", worsening)
print(f"Seen: mode min, from {worsening[0]} up to {worsening[-1]:.5f}: rate 1 -> {rate:.4f}, best {best:.5f}")
lowered = all((rates[key] < 0.01) == (key[1] > 0) for key in rates)
sys.exit(not (lowered and rates["min", -1.0] == rates["max", -1.0] == rate == 1.0 and best == worsening[-1]))
PY
