"""A run's configuration as it was when the run was submitted. The job runs this, whatever was edited meanwhile.

The file holds the composed configuration before interpolation, since the identity of a run is computed with another
seed. The job resolves it and compares the result with that of the submission, so changed code is noticed as well.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from errors import SettingError
from harness.plan import config
from harness.store import files


@dataclass(frozen=True)
class Frozen:
    """path: the file; text, resolved: SHA-256 of the file and of the configuration that it resolves to."""

    path: str
    text: str
    resolved: str


def freeze(cfg: DictConfig, path: Path) -> Frozen:
    text = OmegaConf.to_yaml(cfg)
    files.write_text(path, text)
    return Frozen(str(path), _sha256(text), _of_values(config.resolve(cfg)))


def thaw(frozen: Frozen) -> DictConfig:
    """The configuration. Raises SettingError where it is not what was submitted."""
    path = Path(frozen.path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"the frozen configuration of this run cannot be read: {error}; submit it again") from error
    if _sha256(text) != frozen.text:
        raise SettingError(f"{path} is not what was submitted; submit the run again")
    cfg = OmegaConf.create(text)
    OmegaConf.set_struct(cfg, True)
    if _of_values(config.resolve(cfg)) != frozen.resolved:
        raise SettingError(
            f"{path} resolves to other values than when it was submitted, so the code has changed; submit the run again"
        )
    return cfg


def _of_values(resolved: dict[str, Any]) -> str:
    return _sha256(json.dumps(resolved, sort_keys=True))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
