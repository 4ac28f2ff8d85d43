"""Micro checkpoints cut down to their first block: what a run does is the same, in a third of the time.

For tests of what surrounds a model. What the shipped checkpoints can do is asked of them whole.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"\.layers?\.(\d+)\.")
WEIGHTS, MANIFEST = "model.safetensors", "MANIFEST.json"


def folder(name: str) -> str:
    """Where the first block of assets/<name> lies, relative to the root as in conf/model."""
    digest = hashlib.sha256((ROOT / "assets" / name / MANIFEST).read_bytes()).hexdigest()
    return f".cache/one_block/{name}-{digest[:8]}"


def settings(name: str) -> tuple[str, ...]:
    return f"model={name}", f"model.checkpoint={folder(name)}", "model.blocks=1"


GEMMA = settings("micro_gemma")


def make(name: str) -> None:
    """Writes `folder(name)` unless it is there; several processes may do so at a time."""
    target = ROOT / folder(name)
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent))
    _write(ROOT / "assets" / name, partial)
    try:
        os.replace(partial, target)
    except OSError:  # another process was first
        shutil.rmtree(partial)


def _write(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(WEIGHTS, MANIFEST, "*.jsonl"), dirs_exist_ok=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}), encoding="utf-8")
    kept = {name: tensor for name, tensor in load_file(source / WEIGHTS).items() if _block(name) in (None, "0")}
    save_file(kept, target / WEIGHTS, metadata={"format": "pt"})


def _block(name: str) -> str | None:
    found = BLOCK.search(name)
    return found and found[1]
