"""SVFT in a loop of your own: a small Gemma learns to add; then save, load and merge. python examples/plain_loop.py"""

import argparse
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from svft import SvftConfig

CHECKPOINT = Path(__file__).parents[1] / "assets" / "micro_gemma"  # or a name on the hub
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=150)
parser.add_argument("--out", default="sums_adapter")
options = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
base = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32)
model = get_peft_model(base, SvftConfig(pattern="random", d=8, target_modules="all-linear"))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
generator = torch.Generator().manual_seed(0)
for step in range(options.steps):
    pairs = torch.randint(1, 50, (16, 2), generator=generator).tolist()
    batch = tokenizer([f"{a} and {b} make {a + b}." for a, b in pairs], return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)  # padding is not learnt
    loss = model(**batch, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 25 == 0:
        print(f"step {step}: loss {loss.item():.3f}")
model.eval().save_pretrained(options.out)  # the coefficients, and what a reload needs to recognise the base

base = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32)
merged = PeftModel.from_pretrained(base, options.out).merge_and_unload()  # a plain Gemma with changed weights
with torch.no_grad():
    difference = (merged(**batch).logits - model(**batch).logits).abs().max().item()
print(f"the logits of the merged model differ by at most {difference:.1e}")
