"""SVFT on a base in 4 bits (NF4; needs bitsandbytes), or in 16 bits: python examples/four_bit_base.py --bits 16"""

import argparse
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from svft import SvftConfig

CHECKPOINT = Path(__file__).parents[1] / "assets" / "micro_gemma"  # or a name on the hub
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--bits", type=int, choices=[4, 16], default=4)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--out", default="four_bit_adapter")
options = parser.parse_args()


def load_base():
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    quantised = {"quantization_config": four} if options.bits == 4 else {}
    return AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.bfloat16, **quantised).train()


batch = AutoTokenizer.from_pretrained(CHECKPOINT)(["Tom has 3 apples and gets 4. He has 7."], return_tensors="pt")
model = get_peft_model(load_base(), SvftConfig(pattern="plain", target_modules="all-linear"))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2)
for step in range(options.steps):
    loss = model(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: loss {loss.item():.3f}")
model.save_pretrained(options.out)

# is_trainable: in evaluation mode bitsandbytes computes on a CPU by another kernel, which rounds otherwise.
again = PeftModel.from_pretrained(load_base(), options.out, is_trainable=True)
print("the reloaded model has the same logits:", torch.equal(again(**batch).logits, model(**batch).logits))
