#!/usr/bin/env bash
# Package:  peft 0.21.2 (transformers 5.23.0)
# Surprise: with modules_to_save=["pooler", "classifier"] on DeBERTa, merge_and_unload works for LoRA and AdaLoRA and
#           raises AttributeError for most other tuners, since the saved pooler is given `child.weight`, which it has not.
# Guess:    merge_and_unload treats saved modules alike, whatever the tuner; that is not the tuner's business.
# Hurt:     who fine-tunes a classifier with a pooler of its own (DeBERTa, BERT) by VeRA, OFT, MiSS, IA3 ... and exports it.
# Date:     2026-11-30
# Source:   own observation; tuners/tuners_utils.py, BaseTuner._replace_module
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 torch==2.15.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6 <<'PY'
import sys

import torch
from peft import (
    AdaLoraConfig, BOFTConfig, HRAConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, MissConfig, OFTConfig,
    RandLoraConfig, VeraConfig, get_peft_model,
)
from transformers import AutoConfig, AutoModelForSequenceClassification

sizes = dict(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
architecture = AutoConfig.for_model("deberta-v2", num_labels=2, **sizes)
adapters = [
    LoraConfig(), AdaLoraConfig(total_step=10), VeraConfig(r=4), OFTConfig(oft_block_size=4), BOFTConfig(boft_block_size=4),
    HRAConfig(r=2), IA3Config(feedforward_modules=[]), LoHaConfig(r=2), LoKrConfig(r=2), MissConfig(r=4),
    RandLoraConfig(r=4),
]
found = {True: {}, False: {}}
for saved in (False, True):
    for config in adapters:
        config.target_modules = {"query_proj"}
        config.modules_to_save = ["pooler", "classifier"] if saved else None
        model = get_peft_model(AutoModelForSequenceClassification.from_config(architecture), config)
        try:
            model.merge_and_unload()
            found[saved][config.peft_type.value] = "merges"
        except AttributeError as error:
            found[saved][config.peft_type.value] = f"AttributeError: {error}"
print("Described: without saved modules all merge; with a saved pooler LoRA and AdaLoRA alone.")
for name, said in found[True].items():
    print(f"Seen: {name}: without {found[False][name]}; with a saved pooler {said}")
merging = {name for name, said in found[True].items() if said == "merges"}
sys.exit(not (set(found[False].values()) == {"merges"} and merging == {"LORA", "ADALORA"}))
PY
