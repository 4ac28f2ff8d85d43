"""The machine: devices, disks, and what a process may do."""

import fcntl
import locale
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import constants

from harness.doctor.checks import Finding
from harness.store import provenance

GIB = 2**30
LITTLE, SCARCE = 1 * GIB, 20 * GIB  # free bytes: nothing goes on below, a 7B checkpoint does not fit below
SHARED_MEMORY = 1 * GIB
ELSEWHERE = {
    "records": "runs_dir=PATH",
    "hub's cache": "export HF_HOME=PATH",
    "SVD cache": "export SVFT_CACHE_DIR=PATH",
}
OPEN_FILES = 1024


def code() -> Iterator[Finding]:
    found = provenance.collect(torch.device("cpu"))["code"]
    if found["commit"] is None:
        yield Finding("note", "no git checkout: records will name no commit", "git clone the project and work there")
    elif found["dirty"]:
        yield Finding("note", f"commit {found['commit'][:12]} with changes: records will say dirty", "git status")
    else:
        yield Finding("ok", f"commit {found['commit'][:12]}, no changes")


def processor() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield Finding("ok", f"{cores} CPU cores, {memory:.0f} GiB of memory, {platform.machine()}")


def gpus() -> Iterator[Finding]:
    drivers = _drivers()
    if not torch.cuda.is_available():
        if drivers:
            yield Finding("problem", f"{len(drivers)} GPUs (driver {drivers[0]}) that torch {torch.__version__} does "
                          f"not see", "pip install a torch built for this driver: https://pytorch.org")  # fmt: skip
        else:
            yield Finding("note", "no GPU: micro models train here, others take days",
                          "python run.py experiment=table1 plan=h100    # what they need")  # fmt: skip
        return
    bf16 = "with bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "without bf16"
    driver = drivers[0] if drivers else "unknown"
    for number in range(torch.cuda.device_count()):
        name, memory = torch.cuda.get_device_name(number), torch.cuda.get_device_properties(number).total_memory
        said = f"GPU {number}: {name}, {memory / GIB:.0f} GiB, {bf16}, CUDA {torch.version.cuda}, driver {driver}"
        if bf16 == "with bf16":
            yield Finding("ok", said)
        else:
            yield Finding("note", f"{said}: bf16 is emulated there, and slow", "train.precision=fp32")


def _drivers() -> list[str]:
    """The driver's version once a GPU; nothing where nvidia-smi is not there or sees none."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def compiler() -> Iterator[Finding]:
    """PEFT builds BOFT's CUDA kernel when it is first used, and does without where it cannot."""
    cc = next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None)
    parts = {"a GPU": torch.cuda.is_available(), "nvcc": shutil.which("nvcc"), "ninja": shutil.which("ninja"),
             "a C++ compiler": cc, "Python's headers": _headers()}  # fmt: skip
    missing = [name for name, found in parts.items() if not found]
    if missing:
        yield Finding("note", f"BOFT without its CUDA kernel ({', '.join(missing)} not found): PEFT builds one "
                      "butterfly factor, whatever is asked for; records say so",
                      "on a GPU machine: pip install ninja, and load the CUDA toolkit (nvcc)")  # fmt: skip
    else:
        yield Finding("ok", "BOFT: PEFT can build its CUDA kernel when it is first used")


def _headers() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").is_file()


def places(runs: Path, svd: Path | None) -> list[tuple[str, Path]]:
    """What is written to; `svd` is the cache of decompositions, None where it is switched off."""
    found = [("records", runs), ("hub's cache", Path(constants.HF_HUB_CACHE)), ("SVD cache", svd)]
    return [(name, folder) for name, folder in found if folder is not None]


def disk(name: str, folder: Path, needed: float = 0) -> Iterator[Finding]:
    """`needed`: bytes that are still to be written there."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    variable = ELSEWHERE[name]
    trouble = _writing(there)
    if trouble:
        yield Finding("problem", f"{name}: {folder} cannot be written ({trouble})", variable)
        return
    state = os.statvfs(there)
    free = state.f_bavail * state.f_frsize
    said = f"{name}: {folder}, {free / GIB:,.0f} GiB free"
    if free < max(LITTLE, needed):
        wanted = f", {needed / GIB:,.0f} GiB are needed" if needed > free else ""
        yield Finding("problem", f"{said}{wanted}", f"make space, or {variable}")
    elif free < SCARCE:
        yield Finding("note", f"{said}: too little for large checkpoints", f"make space, or {variable}")
    else:
        yield Finding("ok", said)


def _writing(folder: Path) -> str:
    """Why a file cannot be made and locked in `folder`; empty where it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def encoding() -> Iterator[Finding]:
    found = {sys.getfilesystemencoding(), sys.stdout.encoding or "", locale.getpreferredencoding(False)}
    wrong = sorted(name for name in found if not re.fullmatch(r"utf-?8", name, re.IGNORECASE))
    if wrong:
        yield Finding("note", f"text is not UTF-8 here ({', '.join(filter(None, wrong)) or 'unknown'})",
                      "export PYTHONUTF8=1 LC_ALL=C.UTF-8")  # fmt: skip
    else:
        yield Finding("ok", "text is UTF-8")


def shared_memory() -> Iterator[Finding]:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return
    state = os.statvfs(folder)
    size = state.f_blocks * state.f_frsize
    said = f"/dev/shm has {size / GIB:.2g} GiB"
    if size < SHARED_MEMORY:
        yield Finding("note", f"{said}: little for several processes", "docker run --shm-size=8g ...")
    else:
        yield Finding("ok", said)


def limits() -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = "any number of files" if files == resource.RLIM_INFINITY else f"{files} files"
    few = files != resource.RLIM_INFINITY and files < OPEN_FILES
    yield Finding("note" if few else "ok", f"a process may open {said}", f"ulimit -n {OPEN_FILES}" if few else "")
