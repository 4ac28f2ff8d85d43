"""What runs load: checkpoints and data, looked for where a run would look; nothing is fetched."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from huggingface_hub import constants, try_to_load_from_cache
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from harness import config, counting, data_files, models
from harness.doctor import Finding
from harness.experiments import CHOICE, CONF, expand, read

GIB = 2**30
MANIFEST = "MANIFEST.json"
NOT_LOADED = ("method", "seed", "train", "evaluate", "wandb", "device", "threads", "runs_dir", "force", "plan")


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
        folder = models.folder_of(model)
    except models.ModelError:
        yield Finding("problem", f"model {model.name}: there is no folder {model.checkpoint}", "model.checkpoint=PATH")
        return
    if folder is not None:
        yield from _folder(model, folder)
    elif _is_cached(model):
        yield Finding("ok", f"model {model.name}: {model.checkpoint} is in the hub's cache")
    else:
        command = f"hf download {model.checkpoint} --revision {model.revision}"
        size = size_of_weights(cfg)
        said = f"model {model.name}: {model.checkpoint} is not cached" + (f" ({size / GIB:.1f} GiB)" if size else "")
        yield Finding("problem" if constants.HF_HUB_OFFLINE else "note", said, command)


def _folder(model: DictConfig, folder: Path) -> Iterator[Finding]:
    """A folder that says what its files' hashes are has them, or is damaged."""
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        yield Finding("problem", f"model {model.name}: {folder} has no config.json or no *.safetensors",
                      "model.checkpoint=PATH")  # fmt: skip
        return
    manifest = folder / MANIFEST
    hashes = json.loads(manifest.read_text(encoding="utf-8")).get("sha256", {}) if manifest.is_file() else {}
    wrong = [name for name, wanted in hashes.items() if _sha256(folder / name) != wanted]
    if wrong:
        yield Finding("problem", f"model {model.name}: {', '.join(wrong)} in {folder} is not what {MANIFEST} says",
                      f"git checkout -- {folder}")  # fmt: skip
    else:
        yield Finding("ok", f"model {model.name}: {model.checkpoint}" + (", SHA-256 as stated" if hashes else ""))


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _is_cached(model: DictConfig) -> bool:
    """Its configuration, and its weights in one file or in all the files of the index."""
    if not _cached(model, "config.json"):
        return False
    if _cached(model, "model.safetensors"):
        return True
    index = _cached(model, "model.safetensors.index.json")
    if index is None:
        return False
    files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all(_cached(model, name) for name in files)


def _cached(model: DictConfig, name: str) -> Path | None:
    found = try_to_load_from_cache(model.checkpoint, name, revision=model.revision)
    return Path(found) if isinstance(found, str) else None


def size_of_weights(cfg: DictConfig) -> int:
    """Bytes, of the stated architecture in the stated dtype; 0 where the yaml leaves it to the checkpoint."""
    if "architecture" not in cfg.model or OmegaConf.is_missing(cfg.model, "architecture"):
        return 0
    model = models.build(cfg.model, num_labels=counting.NUM_LABELS if cfg.model.head else None)
    return sum(p.numel() for p in model.parameters()) * getattr(torch, cfg.model.dtype).itemsize


def missing_bytes(cfgs: Sequence[DictConfig]) -> int:
    """Of the checkpoints that are to be fetched."""
    wanted = {c.model.checkpoint: c for c in cfgs if models.local_folder(c.model.checkpoint) is None}
    return sum(size_of_weights(cfg) for cfg in wanted.values() if not _is_cached(cfg.model))


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
