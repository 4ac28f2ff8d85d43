#!/usr/bin/env bash
# Package:  transformers 5.23.0 (Trainer)
# Surprise: dataloader_drop_last=True leaves out the last rows of evaluate() and predict() too. The metrics are those of
#           fewer rows, how many depends on the batch size, and the log names the full number ("Num examples").
# Guess:    the flag is for training, where a small last batch disturbs; an evaluation has every row.
# Hurt:     who sets it for training: scores are of another test set for each batch size, and predictions are too few
#           for the rows that they are joined with. In sorted data it is the last class that is missing.
# Date:     2026-11-30
# Source:   own observation; transformers/trainer.py:1045 is for all loaders, training_args.py:605 does not say which
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 accelerate==1.15.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

ROWS = [{"x": float(i), "labels": int(i >= 90)} for i in range(100)]  # ten of the second class, at the end


class Model(torch.nn.Module):
    """Knows the first class only."""

    def forward(self, x, labels):
        return {"loss": torch.zeros(()), "logits": torch.stack([torch.ones_like(x), torch.zeros_like(x)], 1)}


def evaluated(batch: int, drop_last: bool) -> tuple[float, int]:
    """The accuracy, and the number of predictions."""
    arguments = TrainingArguments(
        "out", dataloader_drop_last=drop_last, per_device_eval_batch_size=batch, use_cpu=True, report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(
        Model(), arguments, compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(1) == p.label_ids).mean()},
    )
    trainer.remove_callback(PrinterCallback)
    return round(trainer.evaluate(ROWS)["eval_accuracy"], 4), len(trainer.predict(ROWS).predictions)


full = [evaluated(batch, False) for batch in (1, 32, 64)]
cut = [evaluated(batch, True) for batch in (1, 32, 64)]
print("Described: with the flag the accuracy on 100 rows depends on the batch size, and predict() gives fewer rows.")
for batch, plain, dropped in zip((1, 32, 64), full, cut, strict=True):
    print(f"Seen: batch {batch:2}: accuracy {plain[0]}, {plain[1]} predictions; ", end="")
    print(f"drop_last: accuracy {dropped[0]}, {dropped[1]} predictions")
sys.exit(not (full == [(0.9, 100)] * 3 and cut == [(0.9, 100), (0.9375, 96), (1.0, 64)]))
PY
