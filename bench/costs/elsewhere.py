"""An adapter loaded in another process: a copy of one that has imported the libraries and seen none of the models."""

import multiprocessing
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from bench.costs import subject
from harness.run import command_line
from harness.store import trained

LOGITS, BATCH = "logits.pt", "batch.pt"
PATIENCE = 600  # seconds
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def logits(model: subject.Model, method: tuple[str, ...], folder: Path) -> dict[str, torch.Tensor]:
    """Of the adapter in `folder` on model.held_out, by who loads it: `run` as run.py does, `peft` by PEFT's own words.

    Raises RuntimeError with the reason where that failed.
    """
    torch.save(model.held_out, folder / BATCH)
    what = (tuple(model.overrides), method, str(folder), torch.get_num_threads(), model.device.type)
    process = _processes.Process(target=_load, args=what)
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    found = torch.load(folder / LOGITS, weights_only=True) if (folder / LOGITS).is_file() else None
    if found is None:
        raise RuntimeError(f"the other process ended with {process.exitcode} and gave nothing")
    if "failed" in found:
        raise RuntimeError(found["failed"])
    return found


def _load(overrides: tuple[str, ...], method: tuple[str, ...], folder: str, threads: int, device: str) -> None:
    os.environ["SVFT_CACHE_DIR"] = "off"  # decompositions are made again, as elsewhere they would be
    command_line.quiet()
    warnings.simplefilter("ignore")  # the first process has said them
    torch.set_num_threads(threads)
    path = Path(folder)
    try:
        found = _loaded(overrides, method, path, torch.device(device))
    except Exception as error:  # whatever it is, it is the answer
        found = {"failed": f"{type(error).__name__}: {error}"}
    torch.save(found, path / LOGITS)


def _loaded(overrides: tuple[str, ...], method: tuple[str, ...], folder: Path, device: torch.device) -> dict[str, Any]:
    model = subject.Model(overrides, device, batch=1, batches=1)
    batch = torch.load(folder / BATCH, weights_only=True)
    adapted = model.adapted(model.composed(*method)).model
    trained.load(adapted, folder)
    found = {"run": subject.logits(adapted, batch)}
    if isinstance(adapted, PeftModel):
        found["peft"] = subject.logits(PeftModel.from_pretrained(model.base(), str(folder)).to(device), batch)
    return found
