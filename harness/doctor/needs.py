"""What runs load: checkpoints and data, looked for where a run would look; nothing is fetched."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from huggingface_hub import constants
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from errors import ModelError
from harness.doctor.checks import Finding
from harness.models import bases, pretrained, weights
from harness.plan import config, counting, data_files
from harness.plan.experiments import CHOICE, CONF, expand, read
from harness.store import provenance

GIB = 2**30
MANIFEST = "MANIFEST.json"
VOCABULARIES = (  # one of them makes a tokenizer
    "tokenizer.json", "tokenizer.model", "spm.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json",
    "vocab.txt",
)  # fmt: skip
NOT_LOADED = (
    "method", "seed", "train", "evaluate", "tracker", "wandb", "device", "threads", "runs_dir", "force", "plan",
)  # fmt: skip


def configurations(overrides: Sequence[str]) -> list[DictConfig]:
    """Of `experiment=<name>` or of one run, one for each choice of what is loaded. Raises what composing raises."""
    names = [item.partition("=")[2] for item in overrides if item.startswith(f"{CHOICE}=")]
    given = [item for item in overrides if not item.startswith(f"{CHOICE}=")]
    runs = expand(read(names[-1]), given) if names else [given]
    chosen = dict.fromkeys(tuple(item for item in run if not _is_of(item, NOT_LOADED)) for run in runs)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return [compose("config", overrides=list(run)) for run in chosen]


def _is_of(override: str, groups: Sequence[str]) -> bool:
    return override.lstrip("+~").partition("=")[0].partition(".")[0] in groups


def checkpoints(cfgs: Sequence[DictConfig]) -> Iterator[Finding]:
    for cfg in {f"{c.model.checkpoint}@{c.model.get('revision')}": c for c in cfgs}.values():
        yield from checkpoint(cfg)


def checkpoint(cfg: DictConfig) -> Iterator[Finding]:
    model = cfg.model
    try:
        folder, missing = pretrained.folder_of(model), lacking(model)
    except ModelError:
        yield Finding("problem", f"model {model.name}: there is no folder {model.checkpoint}", "model.checkpoint=PATH")
    except (OSError, ValueError) as error:
        yield Finding("problem", f"model {model.name}: {model.checkpoint} cannot be read: {error}", _anew(model))
    else:
        yield from _on_hub(cfg, missing) if folder is None else _folder(model, folder, missing)


def lacking(model: DictConfig) -> list[str]:
    """What a run would miss of the checkpoint's files. Raises ModelError, and ValueError or OSError of an index."""
    find = partial(pretrained.at_hand, model)
    stated = OmegaConf.select(model, "architecture.library") is not None  # such a model is not built by config.json
    missing = [] if stated or find("config.json") else ["config.json"]
    missing += lacking_weights(model)
    if model.family in pretrained.SPECIAL_TOKEN and not any(map(find, VOCABULARIES)):
        missing.append("tokenizer")
    return missing


def lacking_weights(model: DictConfig) -> list[str]:
    """Raises as `lacking`."""
    find = partial(pretrained.at_hand, model)
    names = weights.files(find)
    return [name for name in names if find(name) is None] if names else [f"{weights.SINGLE} or index of its parts"]


def _on_hub(cfg: DictConfig, missing: Sequence[str]) -> Iterator[Finding]:
    model = cfg.model
    if not missing:
        yield Finding("ok", f"model {model.name}: {model.checkpoint} is in the hub's cache")
        return
    size = size_of_weights(cfg) if lacking_weights(model) else 0
    said = f"model {model.name}: {model.checkpoint} is not cached" + (f" ({size / GIB:.1f} GiB)" if size else "")
    if "config.json" not in missing:
        said = f"model {model.name}: {model.checkpoint} is cached without {', '.join(missing)}"
    yield Finding("problem" if constants.HF_HUB_OFFLINE else "note", said, _anew(model))


def _anew(model: DictConfig) -> str:
    """How to get the checkpoint's files."""
    if pretrained.local_folder(model.checkpoint) is not None:
        return "model.checkpoint=PATH"
    return f"hf download {model.checkpoint} --revision {model.revision}"


def _folder(model: DictConfig, folder: Path, missing: Sequence[str]) -> Iterator[Finding]:
    """A folder that says what its files' hashes are has them, or is damaged."""
    if missing:
        yield Finding("problem", f"model {model.name}: {folder} has no {', no '.join(missing)}", _anew(model))
        return
    manifest = folder / MANIFEST
    hashes = json.loads(manifest.read_text(encoding="utf-8")).get("sha256", {}) if manifest.is_file() else {}
    wrong = [name for name, wanted in hashes.items() if _sha256(folder / name) != wanted]
    if wrong:
        remedy = "copy it again from where the checkpoint is from, or name another: model.checkpoint=PATH"
        if provenance.is_tracked(manifest):
            remedy = f"git checkout -- {folder}"
        yield Finding(
            "problem", f"model {model.name}: {', '.join(wrong)} in {folder} is not what {MANIFEST} says", remedy
        )
    else:
        yield Finding("ok", f"model {model.name}: {model.checkpoint}" + (", SHA-256 as stated" if hashes else ""))


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def size_of_weights(cfg: DictConfig) -> int:
    """Bytes, of the stated architecture in the stated dtype; 0 where the yaml leaves it to the checkpoint."""
    if "architecture" not in cfg.model or OmegaConf.is_missing(cfg.model, "architecture"):
        return 0
    model = bases.build(cfg.model, num_labels=counting.NUM_LABELS if cfg.model.head else None)
    return sum(p.numel() for p in model.parameters()) * getattr(torch, cfg.model.dtype).itemsize


def missing_bytes(cfgs: Sequence[DictConfig]) -> int:
    """Of the checkpoints that are to be fetched."""
    wanted = {c.model.checkpoint: c for c in cfgs if pretrained.local_folder(c.model.checkpoint) is None}
    return sum(size_of_weights(cfg) for cfg in wanted.values() if _to_fetch(cfg.model))


def _to_fetch(model: DictConfig) -> bool:
    try:
        return bool(lacking_weights(model))
    except (ModelError, OSError, ValueError):  # a folder that is not there, or an index that is damaged
        return True


def data(cfgs: Sequence[DictConfig]) -> Iterator[Finding]:
    for cfg in {
        json.dumps(OmegaConf.to_container(c.task.source, resolve=True), sort_keys=True): c for c in cfgs
    }.values():
        files = data_files.of(config.instantiate(cfg.task.source))
        missing = [file for file in files if not file.present]
        if not files:
            yield Finding("ok", f"task {cfg.task.name}: makes its own examples")
        elif not missing:
            yield Finding("ok", f"task {cfg.task.name}: {len(files)} files at hand")
        for file in missing:
            on_hub = file.remedy.startswith("hf download") and not constants.HF_HUB_OFFLINE
            yield Finding(
                "note" if on_hub else "problem", f"task {cfg.task.name}: {file.name} is not at hand", file.remedy
            )
