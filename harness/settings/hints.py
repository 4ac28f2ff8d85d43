"""What is said of settings that are not there: those that are. Hydra names the first alone, and not what is near."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from errors import SettingError
from harness.settings.choices import meant, no_choice

CONF = Path(__file__).resolve().parents[2] / "conf"

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
    """One for each choice of a group, and each key, that is not there."""
    # A key with + before it is new by intention.
    dotted = [a.lstrip("~").split("=")[0] for a in arguments if "=" in a and not a.startswith(("-", "+"))]
    groups = [
        a for a in arguments if a.split("=")[0] in {p.name for p in CONF.iterdir() if p.is_dir()} and "," not in a
    ]
    found = [sentence for group in groups for sentence in _of_choice(*group.split("=", 1))]
    try:
        cfg = (composed or _composed)(groups)
    except (HydraException, OmegaConfBaseException, SettingError):  # the choice of a group is what is wrong
        return found
    keys = [key for key in dotted if "/" not in key and not key.startswith("hydra.")]
    return found + [sentence for key in keys for sentence in _of_key(cfg, key)]


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
        node = OmegaConf.select(node, part, throw_on_missing=False)
        path.append(part)
