"""Make `assets/held_out`: inputs as the micro models were pre-trained on, of draws of their own.

    python -m assets.make_held_out --out assets/held_out

numbers.jsonl for micro-Gemma, mixed.jsonl for micro-Pythia and stories.jsonl for micro-DeBERTa have a document a line;
letters/ has images for micro-ViT. What forgets its pre-training shows on them (harness/retention). The generators are
those of pre-training with another seed, so a document may have been seen by chance.
"""

import argparse
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from assets import glue_text, make_micro_pythia, pretraining_text
from assets.make_micro_vit import draw, load_glyphs
from assets.manifest import write_manifest
from harness.store.files import write_bytes, write_text

COUNT = 64
SEED = "held out"  # those of pre-training are numbers

TEXTS: dict[str, Callable[[random.Random], str]] = {
    "numbers": pretraining_text.document,
    "mixed": make_micro_pythia.document,
    "stories": lambda rng: " ".join(glue_text.document(rng)),
}


def write_texts(folder: Path) -> None:
    for name, document in TEXTS.items():
        rng = random.Random(SEED)
        write_text(folder / f"{name}.jsonl", "".join(json.dumps({"text": document(rng)}) + "\n" for _ in range(COUNT)))


def write_letters(folder: Path) -> None:
    rng, glyphs = random.Random(SEED), load_glyphs()
    for number in range(COUNT):
        content = io.BytesIO()
        Image.fromarray(draw(rng.choice(rng.choice(glyphs)), rng)).save(content, format="png")
        write_bytes(folder / f"{number:02}.png", content.getvalue())


def main(out: Path) -> None:
    write_texts(out)
    write_letters(out / "letters")
    for folder in (out, out / "letters"):
        write_manifest(folder, "python -m assets.make_held_out --out assets/held_out", {"count": COUNT, "seed": SEED})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    main(parser.parse_args().out)
