#!/usr/bin/env bash
# Package:  transformers 5.23.0 (Trainer, with torch 2.15.0)
# Surprise: with bf16_full_eval one evaluate() or predict() before train() rounds the weights of the model to bf16 and
#           leaves them so: the training that follows is in pure bf16, and so is what is saved.
# Guess:    a flag for evaluation, which "only applies during evaluation" by its docstring, leaves the training alone.
# Hurt:     who measures the untrained model first: updates that are small beside a weight are rounded away, so the
#           model learns less or nothing, and runs with and without that first measurement are two experiments. After
#           training, an evaluation before save_model() has rounded weights saved. fp16_full_eval does it too.
# Date:     2026-11-30
# Source:   own observation; transformers/trainer.py:2941 casts the model in place, training_args.py:288 says the above
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 accelerate==1.15.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

ROWS = [{"x": 1.0}] * 32


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0]))

    def forward(self, x):
        return {"loss": ((self.weight * x.to(self.weight.dtype) - 2) ** 2).mean()}  # 2 is best


def trained(measured_first: bool) -> tuple[str, float]:
    arguments = TrainingArguments(
        "out", bf16_full_eval=True, learning_rate=1e-3, lr_scheduler_type="constant", per_device_train_batch_size=1,
        optim="sgd", use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
        num_train_epochs=10, max_grad_norm=0,
    )
    trainer = Trainer(Model(), arguments, train_dataset=ROWS, eval_dataset=ROWS)
    trainer.remove_callback(PrinterCallback)
    if measured_first:
        trainer.evaluate()
    trainer.train()
    return str(trainer.model.weight.dtype), trainer.model.weight.item()


without, behind = trained(False), trained(True)
print("Described: the same training moves a weight from 1 towards 2, and after one evaluation leaves it at 1, in bf16.")
print(f"Seen: trained:                  {without[0]}, weight {without[1]:.4f}")
print(f"Seen: evaluated, then trained:  {behind[0]}, weight {behind[1]:.4f}")
sys.exit(not (without[0] == "torch.float32" and without[1] > 1.4 and behind == ("torch.bfloat16", 1.0)))
PY
