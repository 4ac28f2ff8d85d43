"""What is said about a shipped folder: the command that made it, its figures, and the SHA-256 of each file."""

import hashlib
import json
from pathlib import Path
from typing import Any

MANIFEST = "MANIFEST.json"


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of each file of the folder except the manifest itself; folders in it have their own."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST and path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_manifest(folder: Path, command: str, facts: dict[str, Any]) -> None:
    content = {"command": command, **facts, "sha256": file_hashes(folder)}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n")
