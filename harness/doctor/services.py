"""What a run talks to: the hub, Weights & Biases, SLURM."""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

from huggingface_hub import constants, get_token

from harness.doctor.checks import Finding
from harness.doctor.software import installed
from harness.run import tracking

SECONDS = 3
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # either is enough


def hub() -> Iterator[Finding]:
    if constants.HF_HUB_OFFLINE:
        by = [name for name in OFFLINE if os.environ.get(name)]
        yield Finding("note", f"hub: offline by {' and '.join(by)}; only what is cached can be loaded",
                      f"unset {' '.join(by)}")  # fmt: skip
        return
    trouble = unreachable(constants.ENDPOINT)
    if trouble:
        yield Finding("note", f"hub: {constants.ENDPOINT} is not reachable ({trouble}); only what is cached can load",
                      "export HF_HUB_OFFLINE=1    # so that nothing waits for it")  # fmt: skip
    else:
        yield Finding("ok", f"hub: {constants.ENDPOINT} answers")


def unreachable(address: str) -> str:
    """Why `address` does not answer; empty where it does, be it with a refusal."""
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError:
        return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def token() -> Iterator[Finding]:
    if get_token():
        yield Finding("ok", "hub: a token is there, for gated models (Gemma, LLaMA)")
    else:
        yield Finding("note", "hub: no token; gated models (Gemma, LLaMA) cannot be fetched",
                      "accept the licence on the model's page, then: hf auth login")  # fmt: skip


def wandb() -> Iterator[Finding]:
    mode = tracking.wandb_mode("auto")
    said = f"Weights & Biases: {mode} where wandb.mode=auto"
    if mode == "disabled":
        yield Finding("ok", f"{said} (WANDB_MODE)")
    elif mode == "online":
        yield Finding("ok", f"{said}, a key is there")
    else:
        yield Finding("note", f"{said}; records do not depend on it", "wandb login, or wandb.mode=disabled")


def slurm() -> Iterator[Finding]:
    missing = [name for name in ("sbatch", "squeue", "sinfo") if shutil.which(name) is None]
    if len(missing) == 3:
        yield Finding("ok", "SLURM: none here; runs of a sweep follow each other")
        return
    if missing:
        yield Finding("problem", f"SLURM: {', '.join(missing)} not found", "load SLURM's module, or extend PATH")
        return
    try:
        done = subprocess.run(["sinfo", "-h", "-o", "%P %a %D %G"], capture_output=True, text=True, timeout=SECONDS,
                              check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Finding("problem", f"SLURM: sinfo does not answer in {SECONDS} seconds", "sinfo    # by hand, later")
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Finding("problem", f"SLURM: sinfo fails ({reason[:120]})",
                      "scontrol ping    # does the controller answer? else: export SLURM_CONF=PATH")  # fmt: skip
        return
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    names = ", ".join(dict.fromkeys(f"{row[0]} ({row[2]} nodes, {row[1]})" for row in rows if len(row) >= 3))
    yield Finding("ok", f"SLURM: partitions {names or '(none shown)'}")
    if not installed("submitit"):
        yield Finding("problem", "SLURM: submitit is not installed", "pip install submitit")
