#!/usr/bin/env bash
# Package:  peft 0.21.2 with timm 1.0.31 (torch 2.15.0)
# Surprise: LoRA on `qkv` of timm's BEiT never acts, in training neither: the attention calls F.linear with
#           self.qkv.weight to put q and v biases together, so the wrapped module's forward is never called.
# Guess:    `qkv` is an nn.Linear, PEFT wraps it and counts its parameters as trainable, so it is trained (as in timm's
#           ViT).
# Hurt:     who fine-tunes BEiT by a list of layer names that works for ViT: with a trainable head the loss falls, and
#           the number of trainable parameters in the paper is that of an adapter that did nothing.
# Date:     2026-11-30
# Source:   own observation
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding peft==0.21.2 timm==1.0.31 torch==2.15.0 torchvision==0.29.2 transformers==5.23.0 accelerate==1.15.0 \
    numpy==2.4.6 <<'PY'
import sys

import timm
import torch
from peft import LoraConfig, get_peft_model


def acts(name: str) -> bool:
    torch.manual_seed(0)
    base = timm.create_model(
        name, pretrained=False, img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=3
    )
    config = LoraConfig(r=4, target_modules=["qkv"], modules_to_save=["head"], init_lora_weights=False)
    model = get_peft_model(base, config)
    x = torch.randn(4, 3, 32, 32)
    output = model(x)
    output.square().sum().backward()
    lora = {n: p for n, p in model.named_parameters() if "lora_" in n}
    head = [p for n, p in model.named_parameters() if "head" in n and p.requires_grad]
    with torch.no_grad(), model.disable_adapter():
        # the copy of the head is not trained yet, so the adapter alone can make a difference
        change = (output - model(x)).abs().max().item()
    trainable = sum(p.numel() for p in lora.values() if p.requires_grad)
    reached = [sum(p.grad is not None for p in parameters) for parameters in (lora.values(), head)]
    print(f"Seen: {name}: {trainable} trainable numbers in LoRA; change of the output by it {change:.3f}; with a gradient:")
    print(f"      {reached[0]} of {len(lora)} LoRA matrices, {reached[1]} of {len(head)} parameters of the head")
    return change > 0 or reached[0] > 0


print("Described: with BEiT no LoRA parameter gets a gradient or changes the output; with ViT all do.")
beit, vit = acts("beit_base_patch16_224"), acts("vit_base_patch16_224")
sys.exit(not (vit and not beit))
PY
