#!/usr/bin/env bash
# Package:  transformers 5.23.0 (Trainer, with accelerate 1.15.0 and torch 2.15.0)
# Surprise: with gradient_accumulation_steps=4, Trainer logs and back-propagates 4 times the loss of
#           BertForSequenceClassification: its forward takes **kwargs, so Trainer passes num_items_in_batch and divides
#           by nothing, and the head ignores it.
# Guess:    4 micro-batches of 4 give the loss and gradient of one batch of 16 (the loss is a plain mean).
# Hurt:     who fine-tunes a classifier with accumulation: gradient clipping sets in 4 times too early, SGD steps are 4
#           times too long, logged losses of different micro-batch sizes cannot be compared.
# Date:     2026-11-30
# Source:   own observation; reported upstream as https://github.com/huggingface/transformers/issues/47688
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding transformers==5.23.0 accelerate==1.15.0 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.utils import logging

logging.set_verbosity_error()
torch.manual_seed(0)
config = BertConfig(
    vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)
model = BertForSequenceClassification(config)
rows = [{"input_ids": torch.randint(32, (8,)), "labels": i % 2} for i in range(16)]


def one_step(micro_batch: int, accumulation: int) -> dict:
    arguments = TrainingArguments(
        output_dir=".", per_device_train_batch_size=micro_batch, gradient_accumulation_steps=accumulation,
        max_steps=1, logging_steps=1, learning_rate=0.0, max_grad_norm=1e9,  # nothing moves, nothing is clipped
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.log = lambda logs, *_, **__: trainer.state.log_history.append(logs)
    trainer.train()
    return trainer.state.log_history[0]


whole, parts = one_step(16, 1), one_step(4, 4)
print("Described: the same 16 rows, as 4 micro-batches of 4, give 4 times the loss and 4 times the gradient.")
for name in ("loss", "grad_norm"):
    print(f"Seen: {name} 1 x 16: {whole[name]:.4f}; 4 x 4: {parts[name]:.4f}; ratio {parts[name] / whole[name]:.3f}")
sys.exit(not all(abs(parts[name] / whole[name] - 4) < 0.01 for name in ("loss", "grad_norm")))
PY
