"""The file that a benchmark leaves: where it ran, what it measured."""

import re
from pathlib import Path
from typing import Any

import torch

from harness.store import provenance
from harness.store.files import write_json

SCHEMA = 1


def header(bench: str, device: torch.device, dtype: str) -> dict[str, Any]:
    """What every file says first: schema, bench, device, threads, torch, packages, dtype, commit, dirty."""
    origin = provenance.collect(device)
    return {
        "schema": SCHEMA,
        "bench": bench,
        "device": origin["device"],
        "threads": torch.get_num_threads(),
        "torch": origin["packages"]["torch"],
        "packages": origin["packages"],
        "dtype": dtype,
        **origin["code"],
    }


def slug(device: dict[str, Any]) -> str:
    """The device's name for a file name: lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{device['type']} {device['name']}".lower()).strip("-")


def write(folder: Path, name: str, result: dict[str, Any]) -> Path:
    path = folder / f"{name}-{slug(result['device'])}.json"
    write_json(path, result)
    return path
