#!/usr/bin/env bash
# Package:  peft 0.21.2 (with transformers 5.23.0)
# Surprise: with TaskType.SEQ_CLS PEFT trains and saves the modules named "classifier" and "score". BART and T5 call
#           theirs "classification_head": it stays as it was drawn, is neither trained nor saved, and nothing says so.
# Guess:    SEQ_CLS stands for "train and save the new head", whatever its name, or for an error where none is found.
# Hurt:     who fine-tunes BART, mBART or T5 on a classification task: the adapter works against a frozen random head,
#           and loaded onto the base model again it meets another random head: the predictions are other ones.
# Date:     2026-11-30
# Source:   own observation; peft/peft_model.py:1830. A like case with a head of another name, in 2023:
#           https://github.com/huggingface/peft/issues/577
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 transformers==5.23.0 torch==2.15.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForSequenceClassification,
)

warnings.simplefilter("ignore")  # of transformers: deprecated names
bart = {"d_model": 8, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "encoder_layers": 1, "decoder_layers": 1}
heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
t5 = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2, "num_layers": 1}
roberta = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
models = {
    "BART": (BartForSequenceClassification, BartConfig(vocab_size=16, **bart, **heads), ["q_proj"]),
    "T5": (T5ForSequenceClassification, T5Config(vocab_size=16, **t5), ["q"]),
    "RoBERTa": (RobertaForSequenceClassification, RobertaConfig(vocab_size=16, **roberta), ["query"]),
}
ids = torch.tensor([[5, 6, 7, 2], [8, 9, 2, 1]])


def tried(kind, config, target: list[str]) -> tuple[list[str], float]:
    """The trained parameters beside LoRA's; by how much the logits change when the adapter is saved and loaded."""
    config.eos_token_id, config.pad_token_id, config.decoder_start_token_id = 2, 1, 0
    torch.manual_seed(0)
    first = kind(config)
    torch.manual_seed(1)
    again = kind(config)  # as from_pretrained does it: the body of the checkpoint, a head drawn anew
    again.base_model.load_state_dict(first.base_model.state_dict())
    lora = LoraConfig(r=2, task_type=TaskType.SEQ_CLS, target_modules=target, init_lora_weights=False)
    model = get_peft_model(first, lora).eval()
    trained = [n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n]
    model.save_pretrained("adapter")
    loaded = PeftModel.from_pretrained(again, "adapter").eval()
    with torch.no_grad():
        logits, after = model(input_ids=ids).logits, loaded(input_ids=ids).logits
    return trained, ((after - logits).abs().max() / logits.abs().max()).item()


seen = {name: tried(*parts) for name, parts in models.items()}
print("Described: of BART and T5 no parameter of the head is trained, and the logits are other ones after saving and")
print("loading; RoBERTa's head, named classifier, is trained and saved.")
for name, (trained, change) in seen.items():
    print(f"Seen: {name}: trained tensors of the head: {len(trained)}; logits change by {change:.1e} of their size")
lost = all(not seen[name][0] and seen[name][1] > 0.1 for name in ("BART", "T5"))
sys.exit(not (lost and len(seen["RoBERTa"][0]) == 4 and seen["RoBERTa"][1] < 1e-5))
PY
