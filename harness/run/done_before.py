"""A finished run told without loading anything: its record is known by its key, for which torch is not needed.

The key is that of the configuration, the data and the base. What of a model's section is found in the checkpoint is
taken from the record, where that was made of the same files by the same code and packages.
"""

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from errors import MissingData, RecordError
from harness.console.ending import Ending, summary
from harness.models import pretrained
from harness.models.pretrained import AUTO
from harness.plan import config, splits
from harness.settings import limits
from harness.store import provenance, record
from harness.store.record import Record

STRUCTURE = ("roles", "blocks", "linear", "head")  # of a model's section; one that is found may follow from another
OWN_ROOM = "harness."  # adapters of this room alone are made of more than their configuration, as a fusion of runs


def find(cfg: DictConfig) -> Ending | None:
    """The run of `cfg` with all that it is to score, told; None where there is none, or where it takes more to say.

    Raises what reading the data or the checkpoint's files raises, as the run itself would.
    """
    if cfg.plan or cfg.force or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return None
    candidates = list(_of_this_configuration(cfg))
    if not candidates:
        return None
    task = config.instantiate(cfg.task.source)
    wanted = list(splits.wanted(cfg, task))
    base = pretrained.fingerprint(cfg.model)
    fingerprints = {"data": task.fingerprint(), "model": base, **_of_adapter(cfg, base)}
    for path, done, completed in candidates:
        if _is_scored(done, wanted) and done.key == config.identity(completed, fingerprints):
            print(f"done before: {summary(done, path.parent)}")
            return Ending(done, before=True)
    return None


def _is_scored(done: Record, wanted: splits.Wanted) -> bool:
    try:
        return splits.are_scored(done.scores, wanted)
    except MissingData:
        return False  # the run says what is missing


def _of_this_configuration(cfg: DictConfig) -> Iterator[tuple[Path, Record, DictConfig]]:
    """Finished runs of it, whatever their data, and it, completed as for them; no data are read."""
    for path, done in _done(cfg):
        completed = _completed(cfg, done)
        same = completed is not None and done.run.get("identity") == config.identity(completed)
        tokenizer = pretrained.tokenizer_fingerprint(cfg.model).get("tokenizer")
        # Where the tokenizer is another one, the run says what is to be done about it.
        if same and (tokenizer is None or done.fingerprints.get("tokenizer") in (None, tokenizer)):
            yield path, done, completed


def _done(cfg: DictConfig) -> Iterator[tuple[Path, Record]]:
    """Records of finished runs that are called as this one, with its seed."""
    limits.check({"runs_dir": cfg.runs_dir, "seed": cfg.seed})
    limits.check({group: {"name": cfg[group].name} for group in ("task", "model", "method")})
    folder = Path(cfg.runs_dir, cfg.task.name, cfg.model.name, cfg.method.name)
    for path in sorted(folder.glob(f"*/seed={cfg.seed}/{record.FILE}")):
        try:
            found = record.read(path)
        except RecordError:
            continue  # the run tells of its own
        if found.status == "done":
            yield path, found


def _of_adapter(cfg: DictConfig, base: str) -> dict[str, str]:
    if not str(OmegaConf.select(cfg, "method.adapter._target_")).startswith(OWN_ROOM):
        return {}
    from harness.adapters import adapt

    return adapt.fingerprint(config.instantiate(cfg.method.adapter), base)


def _completed(cfg: DictConfig, done: Record) -> DictConfig | None:
    """`cfg` with what `models.complete` found for the run that is done; None where it might find something else now."""
    model = OmegaConf.to_container(cfg.model)
    if AUTO not in model.values() and AUTO not in model.get("image", {}).values():
        return cfg
    if any(model.get(name) not in (AUTO, done.config["model"].get(name)) for name in STRUCTURE):
        return None  # the letters of other roles are none of this run's
    code, packages = (done.provenance.get(name) for name in ("code", "packages"))
    known = code is not None and code["commit"] is not None and not code["dirty"]
    here = {"code": provenance.code(), "packages": provenance.packages()}
    if not known or {"code": code, "packages": packages} != here:
        return None
    here = pretrained.preprocessor_fingerprint(cfg.model)  # what else it was found in is in the key
    if any(done.fingerprints.get(name) != digest for name, digest in here.items()):
        return None
    completed = copy.deepcopy(cfg)
    with open_dict(completed):
        _fill(completed.model, done.config["model"])
    return completed


def _fill(section: DictConfig, found: dict[str, Any]) -> None:
    for name, value in section.items():
        if value == AUTO:
            section[name] = found[name]
        elif isinstance(value, DictConfig):
            _fill(value, found[name])
