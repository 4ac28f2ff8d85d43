"""SVFT with the Trainer of transformers: a small ViT learns handwritten digits, python examples/trainer.py"""

import argparse
from pathlib import Path

import torch
from peft import get_peft_model
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate
from transformers import AutoModelForImageClassification, Trainer, TrainingArguments

from svft import SvftConfig, check_adapters

CHECKPOINT = Path(__file__).parents[1] / "assets" / "micro_vit"  # or a name on the hub
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--out", default="digits_adapter")
options = parser.parse_args()

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1  # (1797, 1, 8, 8), from -1 to 1
images = interpolate(images, size=16, mode="bilinear")  # the size that this ViT takes
rows = [{"pixel_values": x, "labels": y} for x, y in zip(images, digits.target.tolist(), strict=True)]

torch.manual_seed(0)  # of the new head
base = AutoModelForImageClassification.from_pretrained(
    CHECKPOINT, num_labels=10, ignore_mismatched_sizes=True, dtype=torch.float32
)
config = SvftConfig(pattern="banded", d=4, target_modules="all-linear", modules_to_save=["classifier"])
model = get_peft_model(base, config)
model.print_trainable_parameters()
check_adapters(model, {"pixel_values": images[:4], "labels": torch.tensor(digits.target[:4])})

settings = {"per_device_train_batch_size": 50, "learning_rate": 1e-2, "save_strategy": "no", "report_to": "none"}
trainer = Trainer(model, TrainingArguments(options.out, max_steps=options.steps, **settings), train_dataset=rows[:1000])
trainer.train()
guesses = trainer.predict(rows[1000:]).predictions.argmax(-1)
print(f"accuracy on 797 other images: {(guesses == digits.target[1000:]).mean():.3f}")
model.save_pretrained(options.out)
