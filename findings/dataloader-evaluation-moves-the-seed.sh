#!/usr/bin/env bash
# Package:  torch 2.15.0
# Surprise: iterating over an evaluation DataLoader (shuffle=False, num_workers=0) draws a number from the global
#           generator, so a validation changes the dropout masks and the shuffling of the training after it.
# Guess:    without shuffling and without workers nothing is random, and evaluating a model in eval() leaves no trace.
# Hurt:     who compares runs that validate at different intervals, or not at all, under one seed: they are different
#           trainings. A generator of the loader's own avoids it.
# Date:     2026-11-30
# Source:   own observation; https://github.com/pytorch/pytorch/issues/11062
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

data = TensorDataset(torch.arange(8.0))


def mask_after(loader: DataLoader | None) -> list[int]:
    """A dropout mask that is drawn after an evaluation with this loader."""
    torch.manual_seed(0)
    if loader is not None:
        rows = torch.cat([batch for (batch,) in loader])
        assert torch.equal(rows, torch.arange(8.0))
    return torch.nn.functional.dropout(torch.ones(16), 0.5).bool().int().tolist()


none = mask_after(None)
plain = mask_after(DataLoader(data, batch_size=4, shuffle=False, num_workers=0))
own = mask_after(DataLoader(data, batch_size=4, shuffle=False, num_workers=0, generator=torch.Generator()))
print("Described: after a pass over an ordered loader dropout draws another mask; with a generator of its own the same.")
print("Seen: no evaluation              ", *none)
print("Seen: evaluation                 ", *plain)
print("Seen: evaluation, own generator  ", *own)
sys.exit(not (plain != none and own == none))
PY
