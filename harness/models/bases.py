"""Base models: from a checkpoint, or from the architecture in the yaml without any weights (on the meta device)."""

from collections.abc import Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
import transformers
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from errors import ModelError
from harness.models import architectures, preprocessing, pretrained, roles, weights
from harness.models.pretrained import AUTO
from harness.ranks import distributed
from harness.settings import limits, refusals

# What a family is for: the class that transformers builds, by the task's kind.
AUTO_CLASS = {
    ("decoder", "generation"): "AutoModelForCausalLM",
    ("encoder", "text_classification"): "AutoModelForSequenceClassification",
    ("vision", "image_classification"): "AutoModelForImageClassification",
}
TASK_KIND = dict(AUTO_CLASS.keys())

# Libraries besides transformers that build models, `architecture.library` of a model's yaml, by the module for each. It
# is loaded where it is named: timm takes a second, as it loads wandb.
LIBRARIES = {"timm": "harness.models.timm_vit"}

DTYPES = ("float32", "bfloat16", "float16")


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
    return None if name is None else import_module(LIBRARIES[name])


def complete(cfg: DictConfig) -> None:
    """Fill in, in place, what the model section of a whole configuration leaves to be found ("auto").

    Roles, blocks and image size come from the checkpoint's configuration alone, the head from the names of its tensors
    too, where they are at hand: no weights are read. Role letters may be given by hand instead. To be called before
    anything of `cfg` is resolved: `${targets:...}` needs the roles.

    Raises ModelError, RoleError or SettingError.
    """
    model = cfg.model
    wanted = {key for key, value in OmegaConf.to_container(model).items() if value == AUTO}
    if not wanted and AUTO not in model.get("image", {}).values():
        return
    limits.check({"model": {"checkpoint": model.checkpoint, "revision": model.get("revision")}})
    config = pretrained.configuration(model)
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
            model.linear = "".join(model.roles or {})
        _complete_image(model, config)
    roles.check(architecture, model.roles, model.blocks, model.name)


def _absent(cfg: DictConfig, config: PretrainedConfig, architecture: type[PreTrainedModel]) -> set[str]:
    """Names of the tensors that the checkpoint lacks; empty where it cannot be told without fetching it."""
    try:
        found = weights.shapes(partial(pretrained.at_hand, cfg))
        if found is None and pretrained.folder_of(cfg) is None:
            found = weights.shapes_on_hub(cfg.checkpoint, cfg.revision)
        return set() if found is None else weights.absent(architecture, config, found)
    except ModelError:
        raise
    except SafetensorError as error:
        raise pretrained.other_weights(cfg, pretrained.DAMAGED) from error
    except Exception as error:  # as in `pretrained.from_checkpoint`
        raise pretrained.unusable(cfg, error) from error


def _complete_image(cfg: DictConfig, config: PretrainedConfig) -> None:
    wanted = [key for key, value in cfg.get("image", {}).items() if value == AUTO]
    if wanted:
        preprocessor = pretrained.preprocessor(cfg) if set(wanted) != {"channels"} else {}
        found = preprocessing.image(config, preprocessor)
        for key in wanted:
            cfg.image[key] = found[key]
        if said := preprocessing.differences(preprocessor):
            size = f"{cfg.image.size} x {cfg.image.size}"
            distributed.say(
                f"model {cfg.name}: the checkpoint's own preprocessor {', '.join(said)}; here, with every method, "
                f"images are resized bilinearly to {size}"
            )


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
    except Exception as error:  # as in `pretrained.from_checkpoint`
        raise pretrained.unusable(cfg, error) from error


def _empty(
    cfg: DictConfig, config: PretrainedConfig, num_labels: int | None = None, device: str = "meta"
) -> PreTrainedModel:
    if num_labels is not None:
        config.num_labels = num_labels
    try:
        with torch.device(device):
            return _auto_class(cfg, TASK_KIND[cfg.family]).from_config(config)
    except ValueError as error:  # an architecture that the class of this family does not know
        raise ModelError(
            f"{cfg.checkpoint!r} is no model of family {cfg.family} ({pretrained.first_line(error)})"
        ) from error
    except Exception as error:  # as in `pretrained.from_checkpoint`: sizes that are none
        raise pretrained.unusable(cfg, error) from error


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
        model, info = pretrained.from_checkpoint(
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


def name_classes(model: nn.Module, names: Sequence[str], num_labels: int) -> None:
    """In the model's configuration; LABEL_0, ... without names, since a checkpoint brings those of its own task."""
    names = names or [f"LABEL_{index}" for index in range(num_labels)]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}


def _other_model(cfg: DictConfig, lacking: list[str], hint: str) -> ModelError:
    others = f" (and so for {len(lacking) - 1} more)" if len(lacking) > 1 else ""
    return ModelError(
        f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no {lacking[0]} of the shape that its config.json "
        f"states{others}: weights and config.json are of different models, or the weights are not whole{hint}"
    )


def _from_library(library: ModuleType, cfg: DictConfig, num_labels: int | None, dtype: torch.dtype) -> nn.Module:
    try:
        return library.load(
            OmegaConf.to_container(cfg.architecture, resolve=True), pretrained.weights_file(cfg), num_labels, dtype
        )
    except ValueError as error:
        if not refusals.is_refusal(error, {"harness", cfg.architecture.library}):
            raise
        raise ModelError(
            f"checkpoint {cfg.checkpoint!r} of model {cfg.name}: {pretrained.first_line(error)}"
        ) from error
    except SafetensorError as error:
        raise pretrained.other_weights(cfg, pretrained.DAMAGED) from error


def load_tokenizer(cfg: DictConfig):
    """Raises ModelError where there is none, or where it is not one for this model."""
    tokenizer = pretrained.from_checkpoint(cfg, transformers.AutoTokenizer)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes where it finds none
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no tokenizer; add tokenizer.json")
    if tokenizer.pad_token is None:  # the attention mask and the labels hide it; no embedding is added
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.truncation_side = "right"  # a text is cut at its end, whatever the checkpoint's own task wanted
    _refuse_other_tokenizer(cfg, tokenizer)
    return tokenizer


def _refuse_other_tokenizer(cfg: DictConfig, tokenizer: Any) -> None:
    of = f"the tokenizer of checkpoint {cfg.checkpoint!r} of model {cfg.name}"
    special = pretrained.SPECIAL_TOKEN[cfg.family]
    if getattr(tokenizer, special) is None:
        raise ModelError(f"{of} has no {special}, which a model of family {cfg.family} needs; name it in "
                         "tokenizer_config.json, or take the tokenizer of this model")  # fmt: skip
    largest = max(tokenizer.get_vocab().values())
    rows = getattr(pretrained.configuration(cfg).get_text_config(), "vocab_size", None)
    if rows is not None and largest >= rows:
        raise ModelError(f"{of} has ids up to {largest}, and the model has embeddings up to {rows - 1}: they are of "
                         "different models")  # fmt: skip
