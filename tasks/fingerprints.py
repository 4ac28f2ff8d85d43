"""Fingerprints: the SHA-256 of what determines the examples of a task or a benchmark. They are part of a run's key."""

import hashlib
import json
from pathlib import Path
from typing import Any


def of(*facts: Any) -> str:
    """Of values that JSON can write. The order counts, that of a dictionary's keys as well."""
    return of_bytes(json.dumps(facts).encode())


def of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """Of the content; name and folder do not count."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
