"""Base models: from a checkpoint, or from the architecture in the yaml without any weights (on the meta device)."""

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError, StrictDataclassError
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from harness import architectures, roles, timm_vit, weights
from harness.files import sha256

ROOT = Path(__file__).resolve().parents[1]

# What a family is for: the class that transformers builds, by the task's kind.
AUTO_CLASS = {
    ("decoder", "generation"): "AutoModelForCausalLM",
    ("encoder", "text_classification"): "AutoModelForSequenceClassification",
    ("vision", "image_classification"): "AutoModelForImageClassification",
}
TASK_KIND = dict(AUTO_CLASS.keys())

# The token that a family of language cannot do without: a target's end, what batches are filled up with.
SPECIAL_TOKEN = {"decoder": "eos_token", "encoder": "pad_token"}
TOKENIZER_FILES = (
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
    "chat_template*", "generation_config.json",
)  # fmt: skip

# Libraries besides transformers that build models: `architecture.library` of a model's yaml.
LIBRARIES: dict[str, ModuleType] = {"timm": timm_vit}

DTYPES = ("float32", "bfloat16", "float16")
DAMAGED = "they are truncated or damaged"
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
    """SHA-256 of a local checkpoint's files, or the hub id and revision. Raises ModelError where one is unreadable."""
    folder = local_folder(cfg.checkpoint)
    if folder is None:
        return f"{cfg.checkpoint}@{cfg.revision}"
    return _digest(cfg, [p for p in folder.iterdir() if p.name == "config.json" or p.suffix == ".safetensors"])


def tokenizer_fingerprint(cfg: DictConfig) -> dict[str, str]:
    """For the record, not for the run key: SHA-256 of the files that make the tokenizer of a local checkpoint.

    Empty where there are none, for a model that reads no text, and for one of the hub, whose revision says it.
    """
    folder = local_folder(cfg.checkpoint)
    if folder is None or cfg.family not in SPECIAL_TOKEN:
        return {}
    found = {path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()}
    return {"tokenizer": _digest(cfg, found)} if found else {}


def _digest(cfg: DictConfig, paths: Iterable[Path]) -> str:
    try:
        lines = [f"{path.name} {sha256(path)}\n" for path in sorted(paths)]
    except OSError as error:  # a folder of that name, or one that this user may not read
        raise _unusable(cfg, error) from error
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def complete(cfg: DictConfig) -> None:
    """Fill in, in place, what the model section of a whole configuration leaves to be found ("auto").

    Roles, blocks and image size come from the checkpoint's configuration alone, the head from the names of its tensors
    too, where they are at hand: no weights are read. Role letters may be given by hand instead. To be called before
    anything of `cfg` is resolved: `${targets:...}` needs the roles.

    Raises ModelError or RoleError.
    """
    model = cfg.model
    wanted = {key for key, value in OmegaConf.to_container(model).items() if value == AUTO}
    if not wanted and AUTO not in model.get("image", {}).values():
        return
    config = configuration(model)
    architecture = _empty(model, config)
    with open_dict(model):
        if "head" in wanted:
            absent = _absent(model, config, type(architecture))
            model.head = architectures.find_head(partial(_empty, model, config), model.name, absent)
        if "roles" in wanted:
            model.roles = architectures.find_roles(architecture, model.name)
        roles.require_names(model.roles, model.name)
        if "blocks" in wanted:
            model.blocks = architectures.count_blocks(architecture, model.roles, model.name)
        if "linear" in wanted:
            model.linear = "".join(model.roles)
        _complete_image(model, config)
    roles.check(architecture, model.roles, model.blocks, model.name)


def configuration(cfg: DictConfig) -> PretrainedConfig:
    """What the checkpoint's config.json says. Raises ModelError."""
    return _from_checkpoint(cfg, AutoConfig)


def _absent(cfg: DictConfig, config: PretrainedConfig, architecture: type[PreTrainedModel]) -> set[str]:
    """Names of the tensors that the checkpoint lacks; empty where it cannot be told without fetching it."""
    try:
        found = weights.shapes(partial(at_hand, cfg))
        if found is None and folder_of(cfg) is None:
            found = weights.shapes_on_hub(cfg.checkpoint, cfg.revision)
        return set() if found is None else weights.absent(architecture, config, found)
    except ModelError:
        raise
    except SafetensorError as error:
        raise _other_weights(cfg, DAMAGED) from error
    except Exception as error:  # as in `_from_checkpoint`
        raise _unusable(cfg, error) from error


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
        model = _empty(cfg, _stated(cfg, values), num_labels, device)
    roles.check(model, cfg.roles, cfg.blocks, cfg.name)
    if num_labels is not None:
        roles.head(model, cfg.head, cfg.name)
    return model


def _stated(cfg: DictConfig, values: dict[str, Any]) -> PretrainedConfig:
    try:
        return AutoConfig.for_model(**values)
    except Exception as error:  # as in `_from_checkpoint`
        raise _unusable(cfg, error) from error


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
    except Exception as error:  # as in `_from_checkpoint`: sizes that are none
        raise _unusable(cfg, error) from error


def load(cfg: DictConfig, kind: str, num_labels: int | None = None) -> nn.Module:
    """The checkpoint's weights in the stated dtype. Only safetensors are read, no code from the checkpoint is run."""
    if cfg.dtype not in DTYPES:
        raise ModelError(f"model.dtype={cfg.dtype!r} is none of {', '.join(DTYPES)}")
    dtype = getattr(torch, cfg.dtype)
    if library := _library(cfg):
        model = _from_library(library, cfg, num_labels, dtype)
        info = {"missing_keys": library.NEW, "mismatched_keys": ()}
    else:
        auto = _auto_class(cfg, kind)
        options = {} if num_labels is None else {"num_labels": num_labels, "ignore_mismatched_sizes": True}
        model, info = _from_checkpoint(
            cfg, auto, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
    new = [] if num_labels is None else roles.head(model, cfg.head, cfg.name)
    new += roles.head(model, cfg.get("drawn"), cfg.name)  # what a paper's scripts left as it was drawn
    if lacking := weights.lacking(model, info, new):
        raise _other_model(
            cfg, lacking, "" if num_labels is None else "; what is new with the task is named by model.head"
        )
    roles.check(model, cfg.roles, cfg.blocks, cfg.name)
    model.name_or_path = model.config._name_or_path = cfg.checkpoint  # no path of this machine in an adapter file
    return model


def _other_model(cfg: DictConfig, lacking: list[str], hint: str) -> ModelError:
    others = f" (and so for {len(lacking) - 1} more)" if len(lacking) > 1 else ""
    return ModelError(
        f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no {lacking[0]} of the shape that its config.json "
        f"states{others}: weights and config.json are of different models, or the weights are not whole{hint}"
    )


def _from_library(library: ModuleType, cfg: DictConfig, num_labels: int | None, dtype: torch.dtype) -> nn.Module:
    try:
        return library.load(OmegaConf.to_container(cfg.architecture, resolve=True), _weights(cfg), num_labels, dtype)
    except ValueError as error:
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name}: {_first_line(error)}") from error
    except SafetensorError as error:
        raise _other_weights(cfg, DAMAGED) from error


def load_tokenizer(cfg: DictConfig):
    """Raises ModelError where there is none, or where it is not one for this model."""
    tokenizer = _from_checkpoint(cfg, transformers.AutoTokenizer)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes where it finds none
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no tokenizer; add tokenizer.json")
    if tokenizer.pad_token is None:  # the attention mask and the labels hide it; no embedding is added
        tokenizer.pad_token = tokenizer.eos_token
    _refuse_other_tokenizer(cfg, tokenizer)
    return tokenizer


def _refuse_other_tokenizer(cfg: DictConfig, tokenizer: Any) -> None:
    of = f"the tokenizer of checkpoint {cfg.checkpoint!r} of model {cfg.name}"
    special = SPECIAL_TOKEN[cfg.family]
    if getattr(tokenizer, special) is None:
        raise ModelError(f"{of} has no {special}, which a model of family {cfg.family} needs; name it in "
                         "tokenizer_config.json, or take the tokenizer of this model")  # fmt: skip
    largest = max(tokenizer.get_vocab().values())
    rows = getattr(configuration(cfg).get_text_config(), "vocab_size", None)
    if rows is not None and largest >= rows:
        raise ModelError(f"{of} has ids up to {largest}, and the model has embeddings up to {rows - 1}: they are of "
                         "different models")  # fmt: skip


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
    except SafetensorError as error:
        raise _other_weights(cfg, DAMAGED) from error
    except Exception as error:  # transformers looks at little of what is in these files before it uses it
        if "named model.safetensors" in str(error):
            raise _only_pickles(cfg) from error
        if "ignore_mismatched_sizes" in str(error):
            raise _other_weights(cfg, "their shapes are others") from error
        raise _unusable(cfg, error) from error


def at_hand(cfg: DictConfig, name: str) -> Path | None:
    """A file of the checkpoint in its folder or in the hub's cache; nothing is fetched. Raises as `folder_of`."""
    folder = folder_of(cfg)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    found = try_to_load_from_cache(cfg.checkpoint, name, revision=cfg.revision)
    return Path(found) if isinstance(found, str) else None


def _file(cfg: DictConfig, name: str) -> Path | None:
    """A file of the checkpoint, fetched if need be; None where the checkpoint has no such file. Raises ModelError."""
    if folder_of(cfg) is not None:
        return at_hand(cfg, name)
    try:
        return Path(hf_hub_download(cfg.checkpoint, name, revision=cfg.revision))
    except RemoteEntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(cfg, error) from error


def _weights(cfg: DictConfig) -> Path:
    path = _file(cfg, weights.SINGLE)
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


def _other_weights(cfg: DictConfig, reason: str) -> ModelError:
    return ModelError(
        f"the weights of checkpoint {cfg.checkpoint!r} of model {cfg.name} are not those that its config.json "
        f"states: {reason}; {_remedy(cfg)}"
    )


def _unusable(cfg: DictConfig, error: Exception) -> ModelError:
    said = _first_line(error)
    if isinstance(error, StrictDataclassError):  # the reason is below its first line
        said = " ".join(str(error).split())
    elif not isinstance(error, OSError | ValueError):  # not meant for people: "'metadata'"
        said = f"{type(error).__name__}: {said}"
    return ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} could not be loaded ({said}); {_remedy(cfg)}")


def _remedy(cfg: DictConfig) -> str:
    if local_folder(cfg.checkpoint) is not None:
        return "name another folder, or a model of the hub: model.checkpoint=PATH"
    fetch = f"hf download {cfg.checkpoint} --revision {cfg.revision}"
    return f"fetch it with `{fetch}`, or name a folder: model.checkpoint=PATH"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
