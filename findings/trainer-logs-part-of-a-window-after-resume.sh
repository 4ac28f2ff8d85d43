#!/usr/bin/env bash
# Package:  transformers 5.23.0 (Trainer, with accelerate 1.15.0 and torch 2.15.0)
# Surprise: a run that is resumed between two logged losses logs, at the next one, the mean of the steps since the
#           resume only; the steps before it are in no logged loss, although they are in the checkpoint.
# Guess:    a resumed run logs what the undisturbed run logs: data order, random state and optimiser are all restored.
# Hurt:     who compares loss curves of resumed and whole runs, or tests that a resume is exact: one point differs by
#           more than rounding. Saving at multiples of logging_steps avoids it.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 accelerate==1.15.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import statistics
import sys

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.manual_seed(0)
config = BertConfig(
    vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=1.0,
)
rows = [{"input_ids": torch.randint(32, (8,)), "labels": i % 2} for i in range(32)]


def losses(logging_steps: int, resume: str | None = None) -> dict[int, float]:
    """The logged ones, by step: 8 steps, a checkpoint after step 6."""
    arguments = TrainingArguments(
        output_dir="run", per_device_train_batch_size=4, max_steps=8, save_steps=6, logging_steps=logging_steps,
        learning_rate=1e-3, report_to=[], use_cpu=True, disable_tqdm=True,
    )
    torch.manual_seed(0)
    trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows)
    trainer.log = lambda logs, *_, **__: trainer.state.log_history.append(logs | {"step": trainer.state.global_step})
    trainer.train(resume_from_checkpoint=resume)
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


each = losses(1)
whole, resumed = losses(4), losses(4, "run/checkpoint-6")
window, rest = (statistics.fmean(each[step] for step in steps) for steps in ((5, 6, 7, 8), (7, 8)))
print("Described: logging every 4 steps and resuming after step 6, the loss logged at step 8 is the mean of steps 7 and 8.")
print("Seen: by step", {step: round(loss, 4) for step, loss in each.items()})
print(f"Seen: logged at step 8: undisturbed {whole[8]:.4f}, resumed {resumed[8]:.4f}")
print(f"Seen: mean of steps 5 to 8 {window:.4f}, of steps 7 and 8 {rest:.4f}")
sys.exit(not (abs(whole[8] - window) < 1e-4 and abs(resumed[8] - rest) < 1e-4 and abs(window - rest) > 1e-2))
PY
