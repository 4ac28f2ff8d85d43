"""A configuration, resolved: resolvers for yaml, what identifies a run, and where the run lives."""

import copy
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from errors import DataError, SettingError
from harness.models import roles
from harness.settings import hints, limits
from harness.settings.choices import meant, no_choice

# Keys that change no number of the record, and the seed, which has a folder of its own. Where published data lie is
# among them: what is in the files is part of the key as their fingerprint.
COSMETIC = (
    "seed", "family", "experiment", "recipe.picked", "recipe.by_task", "recipe.by_model", "recipe.by_width",
    "recipe.head_lr", "evaluate", "tracker", "wandb", "device", "threads", "runs_dir", "force", "plan",
    "task.source.train_source", "task.source.gsm8k_source", "task.source.math_source", "task.source.dev_source",
    "task.source.mismatched_source", "task.source.folder",
    "method.label", "method.variant", "method.adapter.runs_dir", "model.label", "task.label",
    "train.checkpoint_every", "train.log_every",
)  # fmt: skip

# Options that came after the first records, by the value at which a run is what it was without them. Left out of the
# key at that value, so that a new option takes no finished run out of sight.
NEUTRAL: Mapping[str, Any] = {"task.source.background": "white"}
# The same of `task.source`, by its `_target_`, where other tasks have had an option of that name from the start.
NEUTRAL_OF_SOURCE: Mapping[str, Mapping[str, Any]] = {
    "tasks.own_text.OwnClassification": {"limit": None, "class_names": None},
    "tasks.own_text.OwnGeneration": {"limit": None, "gold_after": None},
}


def _targets(letters: str, *, _root_: DictConfig) -> str:
    return roles.path_pattern(_root_.model.roles, letters, _root_.model.name)


def register_resolvers() -> None:
    """For yaml: `${targets:QKV}`, `${times:2,${x}}`, `${either:${x},a,b}`, `${basename:${path}}` and `${stem:${path}}`.

    They are the module paths of role letters in the chosen model, a product, a if x is true else b, and the last part
    of a path, the second without its ending.
    """
    OmegaConf.register_new_resolver("targets", _targets, replace=True)
    OmegaConf.register_new_resolver("times", lambda a, b: a * b, replace=True)
    OmegaConf.register_new_resolver("either", lambda x, a, b: a if x else b, replace=True)
    OmegaConf.register_new_resolver("basename", lambda path: Path(str(path)).name, replace=True)
    OmegaConf.register_new_resolver("stem", lambda path: Path(str(path)).stem, replace=True)


def instantiate(node: DictConfig) -> Any:
    """The object that `_target_` names. Raises DataError as it is, and SettingError for a value that it refuses."""
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except hydra.errors.InstantiationException as error:
        if isinstance(error.__cause__, DataError):
            raise error.__cause__ from None
        cause = error.__cause__ or error
        reason = _unknown_setting(node) or str(cause).partition("\n")[0] or type(cause).__name__
        raise SettingError(f"{node._target_}: {reason}") from error


def _unknown_setting(node: DictConfig) -> str | None:
    """A sentence for the constructor that is none, or for the first setting that it does not take."""
    try:
        takes = inspect.signature(hydra.utils.get_object(node._target_)).parameters
    except ImportError as error:
        return f"it cannot be imported ({error.__cause__ or error})"
    except (TypeError, ValueError):  # a module; or what says itself what it takes
        return None
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values()):
        return None
    unknown = next((name for name in node if name not in takes and not name.startswith("_")), None)
    return unknown and f"there is no {unknown!r}; it has {', '.join(takes)}{meant(unknown, takes)}"


def callbacks(method: DictConfig) -> list[Any]:
    """The trainer callbacks that a method needs besides its adapter; one set to null is left out."""
    return [instantiate(node) for node in (method.get("callbacks") or {}).values() if node is not None]


def composed(context: HydraContext, master: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of one run of a sweep, without Hydra's own part. Raises SettingError where it cannot be."""
    try:
        cfg = composed_with_hydra(context, master, overrides)
    except SettingError as error:
        if isinstance(error.__cause__, hydra.errors.MissingConfigException):  # says itself which choice is none
            raise
        raise SettingError(f"{' '.join(overrides)}: {error}") from error
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def composed_with_hydra(context: HydraContext, master: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """As `composed`, with it."""
    loader = context.config_loader
    try:
        return loader.load_sweep_config(master, list(overrides))
    except hydra.errors.MissingConfigException as error:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        raise SettingError(no_choice(group, choice, error.options or ())) from error
    except hydra.errors.ConfigCompositionException as error:
        found = hints.sentences(overrides, lambda groups: loader.load_configuration("config", groups, RunMode.RUN))
        reason, *_ = found or str(error).splitlines()
        raise SettingError(reason.removesuffix(".")) from error


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """Every interpolation replaced by its value, and every value one that can be (see harness/settings/limits.py).

    Raises MissingMandatoryValue, InterpolationResolutionError or SettingError.
    """
    given = cfg.model.roles  # what `${targets:...}` goes by
    roles_given = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given
    limits.check({"model": {"roles": roles_given}})
    resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    limits.check(resolved)
    return resolved


def identity(cfg: DictConfig, fingerprints: Mapping[str, str] | None = None) -> str:
    """SHA-256 of what determines the numbers but for the seed: `fingerprints`, and the config without cosmetic keys and
    options at their neutral value.

    The seed is set to 0 before resolving, so that runs which differ by the seed alone have one identity. With the
    fingerprints of data and base weights it is the run key; without them it can be told where neither is at hand.
    """
    keyed = copy.deepcopy(cfg)
    keyed.seed = 0
    config = resolve(keyed)
    for dotted in COSMETIC:
        section, leaf = _section(config, dotted)
        section.pop(leaf, None)
    of_source = NEUTRAL_OF_SOURCE.get(config["task"]["source"].get("_target_"), {})
    for dotted, neutral in {**NEUTRAL, **{f"task.source.{name}": value for name, value in of_source.items()}}.items():
        section, leaf = _section(config, dotted)
        if leaf in section and section[leaf] == neutral and type(section[leaf]) is type(neutral):
            del section[leaf]
    text = json.dumps({"config": config, "fingerprints": fingerprints or {}}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _section(config: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """The section that holds a key, empty where there is none, and the last part of the key."""
    *parents, leaf = dotted.split(".")
    for parent in parents:
        config = config.get(parent) or {}
    return config, leaf


def run_dir(resolved: dict[str, Any], key: str) -> Path:
    task, model, method = (resolved[group] for group in ("task", "model", "method"))
    folder = Path(resolved["runs_dir"], task["name"], model["name"], method["name"], f"{method['variant']}-{key[:8]}")
    return folder / f"seed={resolved['seed']}"


def names(cfg: DictConfig, resolved: dict[str, Any]) -> dict[str, Any]:
    """What the record says of the run besides its configuration: its identity, the choices, and labels for tables."""
    method, task, model = (resolved[group] for group in ("method", "task", "model"))
    return {
        "method": method["name"], "task": task["name"], "model": model["name"], "recipe": resolved["recipe"]["name"],
        "seed": resolved["seed"], "label": method["label"], "task_label": task["label"], "model_label": model["label"],
        "targets": method.get("targets"), "variant": method["variant"],
        "identity": identity(cfg),
    }  # fmt: skip
