"""Base models: from a checkpoint, or from the architecture in the yaml without any weights (on the meta device)."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from harness import architectures, roles, timm_vit
from harness.files import sha256

ROOT = Path(__file__).resolve().parents[1]

# What a family is for: the class that transformers builds, by the task's kind.
AUTO_CLASS = {
    ("decoder", "generation"): "AutoModelForCausalLM",
    ("encoder", "text_classification"): "AutoModelForSequenceClassification",
    ("vision", "image_classification"): "AutoModelForImageClassification",
}
TASK_KIND = dict(AUTO_CLASS.keys())

# Libraries besides transformers that build models: `architecture.library` of a model's yaml.
LIBRARIES: dict[str, ModuleType] = {"timm": timm_vit}

DTYPES = ("float32", "bfloat16", "float16")
AUTO = "auto"  # value of a key that `complete` finds


class ModelError(Exception):
    """A checkpoint that is not there or not of the stated architecture; one sentence with the remedy."""


def check_family(cfg: DictConfig, kind: str) -> None:
    """Raises ModelError where the model cannot do tasks of this kind."""
    if (cfg.family, kind) not in AUTO_CLASS:
        fitting = ", ".join(family for family, fits in AUTO_CLASS if fits == kind)
        raise ModelError(f"model {cfg.name} is of family {cfg.family}; a task of kind {kind!r} needs family {fitting}")


def _auto_class(cfg: DictConfig, kind: str):
    return getattr(transformers, AUTO_CLASS[cfg.family, kind])


def _library(cfg: DictConfig) -> ModuleType | None:
    """What builds the model in the place of transformers; None where the yaml names no library."""
    name = OmegaConf.select(cfg, "architecture.library")
    if name is not None and name not in LIBRARIES:
        raise ModelError(f"architecture.library={name!r} of model {cfg.name} is none of {', '.join(LIBRARIES)}")
    return LIBRARIES.get(name)


def local_folder(checkpoint: str) -> Path | None:
    """The folder that `checkpoint` names, from here or from the project's root; None for a hub id."""
    candidates = [Path(checkpoint).expanduser(), ROOT / checkpoint]
    return next((path for path in candidates if path.is_dir()), None)


def fingerprint(cfg: DictConfig) -> str:
    """SHA-256 of a local checkpoint's files, or the hub id and revision."""
    folder = local_folder(cfg.checkpoint)
    if folder is None:
        return f"{cfg.checkpoint}@{cfg.revision}"
    names = sorted(p for p in folder.iterdir() if p.name == "config.json" or p.suffix == ".safetensors")
    return hashlib.sha256("".join(f"{p.name} {sha256(p)}\n" for p in names).encode()).hexdigest()


def complete(cfg: DictConfig) -> None:
    """Fill in, in place, what the model section of a whole configuration leaves to be found ("auto").

    Roles, blocks, head and image size come from the checkpoint's configuration alone: no weights are read. Role letters
    may be given by hand instead. To be called before anything of `cfg` is resolved: `${targets:...}` needs the roles.

    Raises ModelError or RoleError.
    """
    model = cfg.model
    wanted = {key for key, value in OmegaConf.to_container(model).items() if value == AUTO}
    if not wanted and AUTO not in model.get("image", {}).values():
        return
    config = _from_checkpoint(model, AutoConfig)
    architecture = _empty(model, config)
    with open_dict(model):
        if "head" in wanted:
            model.head = architectures.find_head(partial(_empty, model, config), model.name)
        if "roles" in wanted:
            model.roles = architectures.find_roles(architecture, model.name)
        if "blocks" in wanted:
            model.blocks = architectures.count_blocks(architecture, model.roles, model.name)
        if "linear" in wanted:
            model.linear = "".join(model.roles)
        _complete_image(model, config)
    roles.check(architecture, model.roles, model.blocks, model.name)


def _complete_image(cfg: DictConfig, config: PretrainedConfig) -> None:
    wanted = [key for key, value in cfg.get("image", {}).items() if value == AUTO]
    if wanted:
        preprocessor = _preprocessor(cfg) if {"mean", "std"} & set(wanted) else {}
        found = architectures.image(config, preprocessor)
        for key in wanted:
            cfg.image[key] = found[key]


def build(cfg: DictConfig, num_labels: int | None = None, device: str = "meta") -> nn.Module:
    """The architecture with weights of no meaning; on "meta" without any memory."""
    values = OmegaConf.to_container(cfg.architecture, resolve=True)
    if library := _library(cfg):
        model = library.build(values, num_labels, device)
    else:
        model = _empty(cfg, AutoConfig.for_model(**values), num_labels, device)
    roles.check(model, cfg.roles, cfg.blocks, cfg.name)
    return model


def _empty(
    cfg: DictConfig, config: PretrainedConfig, num_labels: int | None = None, device: str = "meta"
) -> PreTrainedModel:
    if num_labels is not None:
        config.num_labels = num_labels
    try:
        with torch.device(device):
            return _auto_class(cfg, TASK_KIND[cfg.family]).from_config(config)
    except ValueError as error:  # an architecture that the class of this family does not know
        raise ModelError(f"{cfg.checkpoint!r} is no model of family {cfg.family} ({_first_line(error)})") from error


def load(cfg: DictConfig, kind: str, num_labels: int | None = None) -> nn.Module:
    """The checkpoint's weights in the stated dtype. Only safetensors are read, no code from the checkpoint is run."""
    if cfg.dtype not in DTYPES:
        raise ModelError(f"model.dtype={cfg.dtype!r} is none of {', '.join(DTYPES)}")
    dtype = getattr(torch, cfg.dtype)
    if library := _library(cfg):
        model = _from_library(library, cfg, num_labels, dtype)
    else:
        auto = _auto_class(cfg, kind)
        options = {} if num_labels is None else {"num_labels": num_labels, "ignore_mismatched_sizes": True}
        model, info = _from_checkpoint(
            cfg, auto, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        _refuse_other_weights(cfg, info)
    roles.check(model, cfg.roles, cfg.blocks, cfg.name)
    model.name_or_path = model.config._name_or_path = cfg.checkpoint  # no path of this machine in an adapter file
    return model


def _refuse_other_weights(cfg: DictConfig, info: Mapping[str, Iterable[Any]]) -> None:
    """Raise ModelError where the checkpoint has no weights, or other ones, for a layer that a role letter names.

    transformers draws what is missing at random: right for a head, which is new, and for nothing that is adapted.
    """
    adapted = re.compile(roles.path_pattern(cfg.roles, "".join(cfg.roles), cfg.name))
    absent = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    for name in sorted(absent):
        if adapted.fullmatch(name.rpartition(".")[0]):
            raise ModelError(
                f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no {name} of the shape that its config.json "
                "states: weights and config.json are of different models"
            )


def _from_library(library: ModuleType, cfg: DictConfig, num_labels: int | None, dtype: torch.dtype) -> nn.Module:
    try:
        return library.load(OmegaConf.to_container(cfg.architecture, resolve=True), _weights(cfg), num_labels, dtype)
    except ValueError as error:
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name}: {_first_line(error)}") from error


def load_tokenizer(cfg: DictConfig):
    tokenizer = _from_checkpoint(cfg, transformers.AutoTokenizer)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes where it finds none
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no tokenizer; add tokenizer.json")
    if tokenizer.pad_token is None:  # the attention mask and the labels hide it; no embedding is added
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def folder_of(cfg: DictConfig) -> Path | None:
    """As `local_folder`. Raises ModelError where the checkpoint can only be a folder, and is none."""
    folder, path = local_folder(cfg.checkpoint), Path(cfg.checkpoint).expanduser()
    if folder is None and (path.is_absolute() or path.exists() or len(path.parts) > 2 or path.parts[0] == ".."):
        raise ModelError(
            f"there is no folder {cfg.checkpoint!r}; model.checkpoint of model {cfg.name} is one with config.json, "
            "*.safetensors and the tokenizer's files, or a model of the hub"
        )
    return folder


def _from_checkpoint(cfg: DictConfig, auto, **options):
    folder = folder_of(cfg)
    if folder is not None and not (folder / "config.json").is_file():
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no config.json; {_remedy(cfg)}")
    try:
        if folder is not None:
            return auto.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True, **options)
        return auto.from_pretrained(cfg.checkpoint, revision=cfg.revision, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        if "named model.safetensors" in str(error):
            raise _only_pickles(cfg) from error
        raise _unreachable(cfg, error) from error
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "ignore_mismatched_sizes" not in str(error):
            raise
        reason = "they are truncated or damaged" if isinstance(error, SafetensorError) else "their shapes are others"
        raise ModelError(
            f"the weights of checkpoint {cfg.checkpoint!r} of model {cfg.name} are not those that its config.json "
            f"states: {reason}; {_remedy(cfg)}"
        ) from error


def _file(cfg: DictConfig, name: str) -> Path | None:
    """A file of the checkpoint, fetched if need be; None where the checkpoint has no such file. Raises ModelError."""
    folder = folder_of(cfg)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    try:
        return Path(hf_hub_download(cfg.checkpoint, name, revision=cfg.revision))
    except RemoteEntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreachable(cfg, error) from error


def _weights(cfg: DictConfig) -> Path:
    path = _file(cfg, "model.safetensors")
    if path is None:
        raise _only_pickles(cfg)
    return path


def _preprocessor(cfg: DictConfig) -> dict[str, Any]:
    """The checkpoint's preprocessor_config.json; empty where it has none. Raises ModelError where it cannot be told."""
    try:
        path = _file(cfg, "preprocessor_config.json")
    except ModelError as error:
        raise ModelError(f"{error}; or give model.image.mean and model.image.std") from error
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def _only_pickles(cfg: DictConfig) -> ModelError:
    here = local_folder(cfg.checkpoint) is not None
    return ModelError(
        f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no safetensors"
        f"{'' if here else f' at revision {cfg.revision}'}, and pickles are not loaded; "
        f"`python -m harness.convert {cfg.checkpoint} OUT` converts it (then model.checkpoint=OUT)"
        + ("" if here else ", or take a pull request of the hub that holds them: model.revision=refs/pr/N")
    )


def _unreachable(cfg: DictConfig, error: Exception) -> ModelError:
    return ModelError(
        f"checkpoint {cfg.checkpoint!r} of model {cfg.name} could not be loaded ({_first_line(error)}); {_remedy(cfg)}"
    )


def _remedy(cfg: DictConfig) -> str:
    if local_folder(cfg.checkpoint) is not None:
        return "name another folder, or a model of the hub: model.checkpoint=PATH"
    fetch = f"hf download {cfg.checkpoint} --revision {cfg.revision}"
    return f"fetch it with `{fetch}`, or name a folder: model.checkpoint=PATH"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
