"""A configuration, resolved: resolvers for yaml, what identifies a run, and where the run lives."""

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from errors import SettingError
from harness.models import roles
from harness.settings import hints, limits, refusals
from harness.settings.choices import meant, no_choice
from harness.store import identity as run_identity

INTERFACES = {"tasks"}  # packages whose base classes refuse a class that derives from them (tasks/base.py)


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
    """The object that `_target_` names. A text for an argument that is true or false is refused: `off` would be true.

    Raises UserError as the object's constructor does, SettingError where there is no such object or it refuses a value,
    and what else goes wrong there as it is, since that is a bug.
    """
    _refuse_text_for_switch(node)
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except hydra.errors.InstantiationException as error:
        cause = error.__cause__ or error
    if (reason := _refusal(node, cause)) is None:
        raise cause
    raise SettingError(f"{node._target_}: {reason}") from cause


def _refuse_text_for_switch(node: DictConfig) -> None:
    try:
        texts = {name: value for name, value in node.items() if isinstance(value, str) and not name.startswith("_")}
        arguments = _arguments(hydra.utils.get_object(node._target_)) if texts else {}
    except Exception:  # whatever is wrong with it, `instantiate` says
        return
    for name, value in texts.items():
        if name in arguments and _is_switch(arguments[name], value):
            raise SettingError(f"{node._target_}: {name}={value} is not true or false")


def _is_switch(argument: inspect.Parameter, text: str) -> bool:
    """Whether it takes true or false, so that this text, which would count as true, is not meant for it."""
    if argument.annotation is inspect.Parameter.empty:
        return isinstance(argument.default, bool) and not limits.SWITCH.fits(text)
    return argument.annotation in (bool, "bool", bool | None, "bool | None")


def _refusal(node: DictConfig, cause: Exception) -> str | None:
    """What is wrong with `_target_` or a setting, in words; None where `cause` says it itself, or is a bug."""
    own = {"hydra", node._target_.partition(".")[0]}
    if isinstance(cause, hydra.errors.InstantiationException):
        return _first_line(cause)
    inner = (cause.__cause__ or cause) if isinstance(cause, ImportError) else cause
    if refusals.is_refusal(inner, INTERFACES):
        return _first_line(inner)
    if isinstance(cause, ImportError):
        return f"it cannot be imported ({inner})" if isinstance(inner, ModuleNotFoundError | AttributeError) else None
    if isinstance(cause, TypeError) and refusals.began_in(cause) in own:  # a value of a wrong type, where it is used
        return _unknown_setting(node) or _first_line(cause)
    return _first_line(cause) if refusals.is_refusal(cause, own) else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _unknown_setting(node: DictConfig) -> str | None:
    """A sentence for the first setting that the constructor does not take."""
    try:
        takes = list(_arguments(hydra.utils.get_object(node._target_)))
    except (TypeError, ValueError):  # what says itself what it takes
        return None
    unknown = next((name for name in node if name not in takes and not name.startswith("_")), None)
    if not takes or unknown is None:
        return None
    return f"there is no {unknown!r}; it has {', '.join(takes)}{meant(unknown, takes)}"


def _arguments(constructor: Any) -> dict[str, inspect.Parameter]:
    """By name, with those that its **others hand on to its base class; none where it takes all."""
    found: dict[str, inspect.Parameter] = {}
    for each in inspect.getmro(constructor) if inspect.isclass(constructor) else [constructor]:
        taken = inspect.signature(each).parameters.values()
        others = [one for one in taken if one.kind is inspect.Parameter.VAR_KEYWORD]
        found |= {one.name: one for one in taken if one not in others and one.name not in found}
        if not others:
            return found
    return {}


def callbacks(method: DictConfig) -> list[Any]:
    """The trainer callbacks that a method needs besides its adapter; one set to null is left out.

    Raises SettingError, as for one that is misspelt and so names no class.
    """
    there = method.get("callbacks") or {}
    for name, node in there.items():
        if node is not None and (not isinstance(node, DictConfig) or "_target_" not in node):
            others = [other for other in there if other != name]
            raise SettingError(f"method.callbacks.{name} has no _target_, the class that it is{meant(name, others)}")
    return [instantiate(node) for node in there.values() if node is not None]


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

    def of_groups(groups: list[str]) -> DictConfig:
        return loader.load_configuration("config", groups, RunMode.RUN)

    if unknown := hints.added(overrides, of_groups):
        raise SettingError(unknown[0])
    try:
        return loader.load_sweep_config(master, list(overrides))
    except hydra.errors.MissingConfigException as error:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        raise SettingError(no_choice(group, choice, error.options or ())) from error
    except hydra.errors.ConfigCompositionException as error:
        found = hints.sentences(overrides, of_groups)
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
    """The run key (harness/store/identity.py), with the fingerprints of data, base and adapter; or what of it can be
    told without them, where neither data nor weights are at hand.

    Runs that differ by the seed alone have one.
    """
    return run_identity.key(_at_seed(cfg, 0), fingerprints or {})


def cell(cfg: DictConfig) -> str:
    """The cell of a table that the record of this run will be in."""
    resolved = _at_seed(cfg, 0)
    return run_identity.of_config(resolved, seeded(cfg, resolved))


def seeded(cfg: DictConfig, resolved: Mapping[str, Any]) -> list[str]:
    """The keys whose values follow the seed, without the seed itself. resolved: `cfg` at its own seed or at 0."""
    one, other = dict(_leaves(resolved)), dict(_leaves(_at_seed(cfg, 0 if resolved["seed"] else 1)))
    return [key for key in one if key != "seed" and one[key] != other.get(key)]


def _at_seed(cfg: DictConfig, seed: int) -> dict[str, Any]:
    other = copy.deepcopy(cfg)
    other.seed = seed
    return resolve(other)


def _leaves(config: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def run_dir(resolved: dict[str, Any], key: str) -> Path:
    task, model, method = (resolved[group] for group in ("task", "model", "method"))
    folder = Path(resolved["runs_dir"], task["name"], model["name"], method["name"], f"{method['variant']}-{key[:8]}")
    return folder / f"seed={resolved['seed']}"


def names(cfg: DictConfig, resolved: dict[str, Any]) -> dict[str, Any]:
    """What the record says of the run besides its configuration: the choices, labels for tables, and its identity.

    identity: the run key without data and base; seeded: see `seeded`.
    """
    method, task, model = (resolved[group] for group in ("method", "task", "model"))
    return {
        "method": method["name"], "task": task["name"], "model": model["name"], "recipe": resolved["recipe"]["name"],
        "seed": resolved["seed"], "label": method["label"], "task_label": task["label"], "model_label": model["label"],
        "targets": method.get("targets"), "variant": method["variant"],
        "identity": identity(cfg), "seeded": seeded(cfg, resolved),
    }  # fmt: skip
