"""Make `assets/micro_vit`: a ViT of 0.45M parameters, pre-trained to name letters in the fonts that matplotlib ships.

    python -m assets.make_micro_vit --out assets/micro_vit

Letters are drawn as scikit-learn's digits were: bright strokes filling a 32 x 32 bitmap, averaged over 4 x 4 blocks to
8 x 8. No digit is among them.
"""

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor, get_cosine_schedule_with_warmup

from assets.manifest import write_manifest

# Lower-case letters only where they differ from the capital in more than size.
GLYPHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abdefghmnqrty" + "αβγδεζηθλμξπσφψω" + "ГДЖЛФЦЮЯ"
# Font families, by the start of the file name.
ALL_SCRIPTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral")
LATIN_ONLY = ("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10")
NOT_TEXT = ("DejaVuSansDisplay", "DejaVuSerifDisplay")

FONT_SIZE = 64
CANVAS = 32
STORED = 8  # pixels of scikit-learn's digits
IMAGE_SIZE = 16
LOG_EVERY = 100


@dataclass(frozen=True)
class PretrainingArgs:
    out: Path
    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def load_glyphs() -> list[list[Image.Image]]:
    """For each glyph, its cropped drawings: one for each font that has it, thin and thickened."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    drawings: list[list[Image.Image]] = [[] for _ in GLYPHS]
    for path in sorted(folder.glob("*.ttf")):
        if path.stem in NOT_TEXT or not path.stem.startswith((*ALL_SCRIPTS, *LATIN_ONLY)):
            continue
        known = FT2Font(str(path)).get_charmap()
        font = ImageFont.truetype(str(path), FONT_SIZE)
        for label, glyph in enumerate(GLYPHS):
            if ord(glyph) not in known or (path.stem in LATIN_ONLY and not glyph.isascii()):
                continue
            canvas = Image.new("L", (2 * FONT_SIZE, 2 * FONT_SIZE))
            ImageDraw.Draw(canvas).text((FONT_SIZE // 2, FONT_SIZE // 4), glyph, fill=255, font=font)
            for drawing in (canvas, canvas.filter(ImageFilter.MaxFilter(7))):
                drawings[label].append(drawing.crop(drawing.getbbox()))
    return drawings


def draw(drawing: Image.Image, rng: random.Random) -> np.ndarray:
    """A random affine view of the drawing, uint8 of shape (STORED, STORED)."""
    width, height = drawing.size
    rise = CANVAS * rng.uniform(0.8, 1.0) / height  # canvas pixels per drawing pixel
    run = min(rise * rng.uniform(0.6, 1.1), CANVAS / width)
    angle, shear = math.radians(rng.uniform(-15, 15)), rng.uniform(-0.3, 0.3)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    forward = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([run, rise])
    inverse = np.linalg.inv(forward)
    target = np.array([CANVAS / 2 + rng.uniform(-2, 2), CANVAS / 2 + rng.uniform(-1, 1)])
    offset = np.array([width / 2, height / 2]) - inverse @ target
    rows = np.column_stack([inverse, offset]).ravel()
    view = drawing.transform((CANVAS, CANVAS), Image.Transform.AFFINE, tuple(rows), Image.Resampling.BILINEAR)
    return np.asarray(view.reduce(CANVAS // STORED))


def preprocess(images: np.ndarray) -> Tensor:
    """uint8 (B, H, W) to (B, 1, IMAGE_SIZE, IMAGE_SIZE) in [-1, 1]: resized bilinearly, mean and deviation 0.5."""
    pixels = torch.from_numpy(images)[:, None].float() / 255
    return (F.interpolate(pixels, size=IMAGE_SIZE, mode="bilinear") - 0.5) / 0.5


def batches(batch_size: int, rng: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Pixels (batch_size, 1, IMAGE_SIZE, IMAGE_SIZE) and labels (batch_size,), drawn afresh."""
    glyphs = load_glyphs()
    while True:
        labels = [rng.randrange(len(GLYPHS)) for _ in range(batch_size)]
        yield preprocess(np.stack([draw(rng.choice(glyphs[label]), rng) for label in labels])), torch.tensor(labels)


def make_model() -> ViTForImageClassification:
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=96,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=384,
            image_size=IMAGE_SIZE,
            patch_size=4,
            num_channels=1,
            num_labels=len(GLYPHS),
        )
    )


def pretrain(model: ViTForImageClassification, args: PretrainingArgs) -> list[dict[str, float]]:
    """Train in fp32 with AdamW and a cosine schedule; returns one row every LOG_EVERY steps.

    Each picture is a new view of a drawing that was seen before, and accuracy is measured before the step.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.05, fused=True)
    schedule = get_cosine_schedule_with_warmup(
        optimizer, num_warmup_steps=args.steps // 10, num_training_steps=args.steps
    )
    log: list[dict[str, float]] = []
    losses, hits = [], []
    stream = batches(args.batch_size, random.Random(args.seed))
    progress = tqdm(range(1, args.steps + 1), desc="pre-training", mininterval=5)
    for step in progress:
        pixels, labels = next(stream)
        logits = model(pixels).logits
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        hits.append((logits.argmax(-1) == labels).float().mean().item())
        if step % LOG_EVERY == 0 or step == args.steps:
            log.append(
                {"step": step, "loss": round(sum(losses) / len(losses), 4), "accuracy": round(sum(hits) / len(hits), 4)}
            )
            progress.write(json.dumps(log[-1]))
            losses.clear()
            hits.clear()
    return log


def main(args: PretrainingArgs) -> None:
    torch.manual_seed(args.seed)
    model = make_model()
    print(f"{model.num_parameters():,} parameters, {len(GLYPHS)} glyphs")
    log = pretrain(model, args)

    # The head that names letters stays behind, and its labels with it; a task brings its own.
    model.config.num_labels = ViTConfig().num_labels
    model.vit.to(torch.float16).save_pretrained(args.out)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    ViTImageProcessor(size=size, resample=Image.Resampling.BILINEAR, image_mean=[0.5], image_std=[0.5]).save_pretrained(
        args.out
    )
    (args.out / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
    command = (
        f"python -m assets.make_micro_vit --out assets/micro_vit --steps {args.steps} --batch-size {args.batch_size} "
        f"--learning-rate {args.learning_rate} --seed {args.seed}"
    )
    facts = {
        "num_params": model.vit.num_parameters(),
        "images_seen": args.steps * args.batch_size,
        "glyphs": GLYPHS,
        "seed": args.seed,
        "dtype": "float16",
        "final": log[-1],
    }
    write_manifest(args.out, command, facts)


def parse_args() -> PretrainingArgs:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    return PretrainingArgs(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parse_args())
