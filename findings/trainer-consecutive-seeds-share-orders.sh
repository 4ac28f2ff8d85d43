#!/usr/bin/env bash
# Package:  transformers 5.23.0 (Trainer), accelerate 1.15.0
# Surprise: the order of the data in epoch e of a run with seed s is drawn with seed s + e: seed 43 sees in its first
#           epoch, row by row, what seed 42 sees in its second, and so on.
# Guess:    two seeds give two unrelated streams of orders.
# Hurt:     who repeats a run with seeds 0, 1, 2, ... and takes the results for independent: 5 seeds of 3 epochs train
#           on 7 orders and not on 15, so the spread over seeds leaves out part of what the order does. Seeds that are
#           as far apart as there are epochs do not overlap.
# Date:     2026-11-30
# Source:   own observation; accelerate/data_loader.py:99 (`seed = self.epoch + self.initial_seed`), which Trainer uses
#           by default (use_seedable_sampler); its docs say that "initial seed as well as the current iteration" count
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 accelerate==1.15.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

ROWS, EPOCHS = 12, 3


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, row):
        self.seen += row.tolist()
        return {"loss": (self.weight * row).mean()}


def orders(seed: int) -> list[tuple[int, ...]]:
    arguments = TrainingArguments(
        "out", seed=seed, num_train_epochs=EPOCHS, per_device_train_batch_size=4, use_cpu=True, report_to=[],
        disable_tqdm=True, save_strategy="no", logging_strategy="no",
    )
    trainer = Trainer(Model(), arguments, train_dataset=[{"row": i} for i in range(ROWS)])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [tuple(trainer.model.seen[i : i + ROWS]) for i in range(0, EPOCHS * ROWS, ROWS)]


runs = {seed: orders(seed) for seed in (42, 43, 44, 45, 46, 1000)}
near = [order for seed in range(42, 47) for order in runs[seed]]
print("Described: epoch e of seed s and epoch e - 1 of seed s + 1 have one order.")
for seed in (42, 43, 1000):
    for epoch, order in enumerate(runs[seed]):
        print(f"Seen: seed {seed}, epoch {epoch}:", *order)
print(f"Seen: seeds 42 to 46, {EPOCHS} epochs each: {len(set(near))} orders in {len(near)} epochs")
shared = all(runs[s][e] == runs[s + 1][e - 1] for s in range(42, 46) for e in range(1, EPOCHS))
sys.exit(not (shared and len(set(near)) == 7 and not set(runs[1000]) & set(near)))
PY
