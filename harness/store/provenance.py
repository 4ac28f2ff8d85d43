"""What a number depends on besides its configuration: code, packages, device, and where base and data came from."""

import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import SettingError
from harness.store.files import checked_sums, read_json

if TYPE_CHECKING:  # torch takes seconds to import, and `code` and `packages` do not need it
    import torch

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "SOURCE.json"  # in a folder of fetched files: package, version, licence, and `files`, the SHA-256 of each
PACKAGES = ("torch", "transformers", "peft", "timm", "datasets", "accelerate", "tokenizers", "numpy", "scikit-learn")


def set_up(wanted: str, threads: int | None) -> "torch.device":
    """The device of the run; "auto" takes a GPU if there is one. Raises SettingError for one that is not here."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    name = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingError("device=cuda, but torch sees no GPU here")
    return torch.device(name)


def collect(device: "torch.device") -> dict[str, Any]:
    return {"code": code(), "packages": packages(), "device": describe(device)}


def describe(device: "torch.device") -> dict[str, Any]:
    import torch

    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return {"type": "cuda", "name": properties.name, "bytes": properties.total_memory, "cuda": torch.version.cuda}
    return {"type": device.type, "name": _processor(), "threads": torch.get_num_threads()}


def sources(folders: Iterable[Path]) -> dict[str, Any]:
    """What stands in the SOURCE.json of those folders that have one, by the folder's name; {} where none has.

    Raises Damaged where a file is not the one that SOURCE.json tells of.
    """
    found = {folder.name: read_json(folder / SOURCE) for folder in folders if (folder / SOURCE).is_file()}
    for folder in folders:
        if folder.name in found:
            checked_sums(folder, found[folder.name]["files"])
    return {"sources": found} if found else {}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def packages() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def code() -> dict[str, Any]:
    """The commit, and whether tracked files differ from it. Both are None outside a git checkout."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!runs", ":!analysis/output")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def is_tracked(path: Path) -> bool:
    """Whether the file belongs to this checkout."""
    return bool(_git("ls-files", "--", str(path)))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
