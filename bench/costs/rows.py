"""The file of one model and device: a row a method, written after each, so that a second call goes on."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench import report
from bench.costs import measures, subject
from harness.store import files

VERSION = 1  # of what is measured, and how
LONGEST = 400  # characters of a reason
NAMES = ("torch", "transformers", "peft")  # packages whose versions a row stands for


class Results:
    """Rows by method. Those of another configuration, version or package are measured anew.

    settings: of the measurement, as a part of each row's key.
    """

    def __init__(self, folder: Path, name: str, device: torch.device, settings: dict[str, Any]):
        self.header = report.header("methods", device, "float32") | {"model": name, **settings}
        self.path = folder / f"methods-{name}-{report.slug(self.header['device'])}.json"
        stored = files.read_json(self.path)["rows"] if self.path.is_file() else []
        self.rows = {row["method"]: row for row in stored}

    def key(self, cfg: DictConfig | None, method: str) -> str:
        packages = {name: self.header["packages"][name] for name in NAMES}
        of = {"version": VERSION, "method": method, "packages": packages, "torch": self.header["torch"]}
        of |= {name: self.header[name] for name in ("threads", "batch", "turns", "warm_up", "steps")}
        if cfg is not None:
            of |= {part: OmegaConf.to_container(cfg[part], resolve=True) for part in ("method", "model", "train")}
        return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]

    def has(self, method: str, key: str) -> bool:
        return self.rows.get(method, {}).get("key") == key

    def put(self, row: dict[str, Any], order: Sequence[str]) -> None:
        """And write, rows in the order of the methods."""
        code = {name: self.header[name] for name in ("commit", "dirty")}
        self.rows[row["method"]] = row | code | {"load_average": os.getloadavg()[0]}
        places = {name: place for place, name in enumerate(order)}
        ordered = sorted(self.rows.values(), key=lambda each: places.get(each["method"], len(places)))
        files.write_json(self.path, {**self.header, "rows": ordered})


def configured(model: subject.Model, method: str) -> DictConfig | str:
    """The whole configuration, or why there is none: a method may ask for settings that have no default."""
    try:
        cfg = model.composed(f"method={method}")
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        return _sentence(error)
    return cfg


def measured(
    model: subject.Model, method: str, cfg: DictConfig | str, reference: measures.Subject, turns: int, warm_up: int
) -> dict[str, Any]:
    """The row, without its key. What could not be measured is null, and `why` says of each such measure why."""
    row: dict[str, Any] = {"method": method}
    if isinstance(cfg, str):
        return row | {"label": method, "failed": cfg}
    row |= {"label": cfg.method.label, "variant": cfg.method.variant}
    with tempfile.TemporaryDirectory(prefix="svft-bench-") as folder:
        try:
            one = measures.Subject(model, (f"method={method}",), reference.steps, Path(folder))
        except Exception as error:  # whatever stops one method leaves the others to be measured
            return row | {"failed": _sentence(error)}
        row |= {"trained": one.trained, "adapter": one.adapted.parameters["adapter"], "warnings": one.adapted.warnings}
        why = {}
        for name, measure in measures.all_of(one, reference, turns, warm_up).items():
            try:
                row |= measure()
            except Exception as error:  # as above, of one measure
                why[name] = _sentence(error)
    return row | {"why": why}


def _sentence(error: Exception) -> str:
    """One line, without the paths of this machine."""
    said = re.sub(r"\S*/svft-bench-\w+(: )?", "", " ".join(str(error).split())).replace(str(Path.home()), "~")
    return f"{type(error).__name__}: {said}"[:LONGEST] if said else type(error).__name__
