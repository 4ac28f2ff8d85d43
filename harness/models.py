"""Base models: from a checkpoint, or from the architecture in the yaml without any weights (on the meta device)."""

import hashlib
from pathlib import Path

import torch
import transformers
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig, PreTrainedModel

from harness import roles
from harness.files import sha256

ROOT = Path(__file__).resolve().parents[1]

# What a family is for: the class that transformers builds, by the task's kind.
AUTO_CLASS = {
    ("decoder", "generation"): "AutoModelForCausalLM",
    ("encoder", "text_classification"): "AutoModelForSequenceClassification",
    ("vision", "image_classification"): "AutoModelForImageClassification",
}
TASK_KIND = dict(AUTO_CLASS.keys())


class ModelError(Exception):
    """A checkpoint that is not there or not of the stated architecture; one sentence with the remedy."""


def check_family(cfg: DictConfig, kind: str) -> None:
    """Raises ModelError where the model cannot do tasks of this kind."""
    if (cfg.family, kind) not in AUTO_CLASS:
        fitting = ", ".join(family for family, fits in AUTO_CLASS if fits == kind)
        raise ModelError(f"model {cfg.name} is of family {cfg.family}; a task of kind {kind!r} needs family {fitting}")


def _auto_class(cfg: DictConfig, kind: str):
    return getattr(transformers, AUTO_CLASS[cfg.family, kind])


def local_folder(checkpoint: str) -> Path | None:
    """The folder that `checkpoint` names, from here or from the project's root; None for a hub id."""
    candidates = [Path(checkpoint), ROOT / checkpoint]
    return next((path for path in candidates if path.is_dir()), None)


def fingerprint(cfg: DictConfig) -> str:
    """SHA-256 of a local checkpoint's files, or the hub id and revision."""
    folder = local_folder(cfg.checkpoint)
    if folder is None:
        return f"{cfg.checkpoint}@{cfg.revision}"
    names = sorted(p for p in folder.iterdir() if p.name == "config.json" or p.suffix == ".safetensors")
    return hashlib.sha256("".join(f"{p.name} {sha256(p)}\n" for p in names).encode()).hexdigest()


def build(cfg: DictConfig, num_labels: int | None = None, device: str = "meta") -> PreTrainedModel:
    """The architecture with weights of no meaning; on "meta" without any memory."""
    values = OmegaConf.to_container(cfg.architecture, resolve=True)
    if num_labels is not None:
        values["num_labels"] = num_labels
    config = AutoConfig.for_model(**values)
    with torch.device(device):
        model = _auto_class(cfg, TASK_KIND[cfg.family]).from_config(config)
    roles.check(model, cfg.roles, cfg.blocks, cfg.name)
    return model


def load(cfg: DictConfig, kind: str, num_labels: int | None = None) -> PreTrainedModel:
    """The checkpoint's weights in the stated dtype. Only safetensors are read, no code from the checkpoint is run."""
    auto = _auto_class(cfg, kind)
    options = {} if num_labels is None else {"num_labels": num_labels, "ignore_mismatched_sizes": True}
    model = _from_checkpoint(cfg, auto, dtype=getattr(torch, cfg.dtype), use_safetensors=True, **options)
    roles.check(model, cfg.roles, cfg.blocks, cfg.name)
    model.name_or_path = model.config._name_or_path = cfg.checkpoint  # no path of this machine in an adapter file
    return model


def load_tokenizer(cfg: DictConfig):
    tokenizer = _from_checkpoint(cfg, transformers.AutoTokenizer)
    if tokenizer.pad_token is None:  # the attention mask and the labels hide it; no embedding is added
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _from_checkpoint(cfg: DictConfig, auto, **options):
    folder = local_folder(cfg.checkpoint)
    try:
        if folder is not None:
            return auto.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True, **options)
        return auto.from_pretrained(cfg.checkpoint, revision=cfg.revision, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"checkpoint {cfg.checkpoint!r} of model {cfg.name} could not be loaded ({_first_line(error)}); fetch it "
            f"with `hf download {cfg.checkpoint} --revision {cfg.revision}`, or name a folder: model.checkpoint=PATH"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
