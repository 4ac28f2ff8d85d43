"""What is said of settings that are not there: those that are. Hydra names the first alone, and not what is near.

A setting with + before it is new to the configuration, which Hydra takes whatever it is called. Here it is taken where
something reads it: below FREE whoever runs it chooses the names, and below OF_A_CLASS the class that is named by
`_target_` refuses what it does not take (harness/plan/config.py).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from errors import SettingError
from harness.settings.choices import meant, no_choice

CONF = Path(__file__).resolve().parents[2] / "conf"
FREE = ("recipe.picked.", "recipe.by_", "model.roles.", "model.architecture.", "method.callbacks.", "hydra.")
OF_A_CLASS = ("method.adapter.", "task.source.")

Compose = Callable[[list[str]], DictConfig]  # the configuration that choices of groups make


def explained(held: str, arguments: Sequence[str]) -> str:
    """What Hydra has printed of a command that it refuses, in lines of our own; of a bug, as it is."""
    if held.startswith("usage:"):  # of an unknown flag
        return held.splitlines()[-1].partition(": ")[2] + "\n"
    found = sentences(arguments)
    if not found and "Traceback" in held:
        return held
    said, *_ = held.strip().split("\n\n")
    return "".join(
        f"error: {sentence}\n" for sentence in found or [" ".join(said.split()).removeprefix("In 'config': ")]
    )


def sentences(arguments: Sequence[str], composed: Compose | None = None) -> list[str]:
    """One for each choice of a group, and each key, that is not there; of those with + before them see `added`."""
    dotted = [a.lstrip("~").split("=")[0] for a in arguments if "=" in a and not a.startswith(("-", "+"))]
    groups = _chosen(arguments)
    found = [sentence for group in groups for sentence in _of_choice(*group.split("=", 1))]
    try:
        cfg = (composed or _composed)(groups)
    except (HydraException, OmegaConfBaseException, SettingError):  # the choice of a group is what is wrong
        return found
    keys = [key for key in dotted if "/" not in key and not key.startswith("hydra.")]
    return found + [sentence for key in keys for sentence in _of_key(cfg, key)]


def added(arguments: Sequence[str], composed: Compose | None = None) -> list[str]:
    """One for each key with + before it that nothing reads; empty where the groups themselves cannot be composed."""
    keys = [key for argument in arguments if argument.startswith("+") for key in _new_keys(argument)]
    keys = [key for key in keys if not f"{key}.".startswith(FREE + OF_A_CLASS)]
    if not keys:
        return []
    try:
        cfg = (composed or _composed)(_chosen(arguments))
    except Exception:  # Hydra tells of these
        return []
    return [sentence for key in keys for sentence in _of_key(cfg, key)]


def _new_keys(argument: str) -> list[str]:
    """The keys that a setting with + gives a value, none where it chooses from a group; a mapping gives several."""
    [parsed] = OverridesParser.create().parse_overrides([argument])
    key = parsed.key_or_group
    value = None if parsed.is_sweep_override() else parsed.value()
    if parsed.package is not None or "/" in key or (key in _groups() and not isinstance(value, dict)):
        return []
    return list(_leaves(key, value))


def _leaves(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict) or not value:
        yield key
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}", inner)


def _groups() -> set[str]:
    return {path.name for path in CONF.iterdir() if path.is_dir()}


def _chosen(arguments: Sequence[str]) -> list[str]:
    """The choices from groups, one of each."""
    return [argument for argument in arguments if argument.split("=")[0] in _groups() and "," not in argument]


def _composed(groups: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=groups)


def _of_choice(group: str, choice: str) -> Iterator[str]:
    choices = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    if choice not in (*choices, "null"):
        yield no_choice(group, choice, choices)


def _of_key(cfg: DictConfig, key: str) -> Iterator[str]:
    """The keys of the deepest part of `key` that exists, unless all of it does."""
    node, path = cfg, []
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return
        if part not in list(node):  # `in node` is false of a value that is still to be given
            where = ".".join(path) or "the top level"
            yield f"there is no {key!r}; {where} has {', '.join(node)}{meant(part, node)}"
            return
        try:
            node = OmegaConf.select(node, part, throw_on_missing=False)
        except OmegaConfBaseException:  # made of another value that is still to be given
            return
        path.append(part)
