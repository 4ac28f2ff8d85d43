"""What a number opens: each run's configuration, fingerprints and device, its loss curve, and the command for it."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from analysis.content.interned import columns
from analysis.load.manifests import manifests
from analysis.load.methods import METHODS
from analysis.load.records import Loaded
from analysis.writing.numbers import clean
from harness.store.record import Record

POINTS = 60  # of a loss curve; of more, every second (third, ...) is left out
SECTIONS = ("config", "fingerprints", "provenance", "parameters", "data")  # of a record, whole
LISTED = 12  # a longer list is told by its length
WHERE = ("task", "model", "method", "recipe", "seed")  # what a command always says
SAID = ("config.train.", "config.model.", "config.task.", "config.method.")  # where it says what is not as usual
READ = ("config.model.architecture", "config.model.roles")  # filled in from the base that is read
# What interpolated options of training follow from: among others, the rate that a search picked for the variant.
DEPENDS = ("config.method.variant", "config.method.lr", "config.train.lr", "config.train.batch_size")
OF_OURS = r"\$\{(?!oc\.)\w+:"  # a resolver that run.py registers: none of them is here, whoever else has registered it
OPTION = r"\$\{(?:times:([\d.]+),\$\{([\w.]+)\}|([\w.]+))\}"  # another option, or a multiple of it
PLAIN = r"[\w./:+-]*|[\[{].*"  # a value that Hydra reads as it is


def details(loaded: Loaded) -> dict[str, Any]:
    """By the record's place in `loaded.records`; `fields` as of `interned.columns`."""
    leaves = [dict(_leaves(record)) for record in loaded.records]
    return {
        "fields": columns(leaves),
        "curves": [_curve(record) for record in loaded.records],
        "commands": _commands(loaded, leaves),
    }


def _leaves(record: Record) -> Iterator[tuple[str, str | float | int | bool]]:
    for section in SECTIONS:
        yield from _flat(section, getattr(record, section) or {})
    for name, value in (record.train or {}).items():
        if not isinstance(value, list):
            yield from _flat(f"train.{name}", value)
    layers = record.adapter.get("layers", [])
    yield "adapter.layers", f"{len(layers)}: {layers[0]} ... {layers[-1]}" if layers else "none"
    yield from _flat("adapter", {k: v for k, v in record.adapter.items() if k not in ("layers", "trained_tensors")})
    for benchmark, splits in record.scores.items():
        for split, entry in splits.items():
            for scorer, score in entry["scorers"].items():
                yield from _flat(f"score.{benchmark}.{split}.{scorer}", score["mean"])


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list) and len(value) > LISTED:
        yield name, f"{len(value)}: {value[0]} ... {value[-1]}"
    elif value is not None:
        yield name, clean(value) if isinstance(value, float | int | str | bool) else str(value)


def _curve(record: Record) -> list[list[float | None]] | None:
    loss = (record.train or {}).get("loss") or []
    every = -(-len(loss) // POINTS) or 1
    kept = [point for place, point in enumerate(loss) if place % every == 0 or place == len(loss) - 1]
    return [[step, None if value is None else float(f"{value:.4g}")] for step, value in kept] or None


def _commands(loaded: Loaded, leaves: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of a cell of an experiment its overrides; of other runs, what tells them from those of the same choices."""
    planned = {
        cell["identity"]: cell["overrides"]
        for manifest in manifests(loaded.runs).values()
        for row in manifest["rows"]
        for cell in row["cells"].values()
    }
    told = list(zip(loaded.records, leaves, strict=True))
    varying = _varying(told)
    return [_command(record, own, planned.get(record.run["identity"]), varying) for record, own in told]


Choices = tuple[Any, ...]


def _choices(record: Record) -> Choices:
    return tuple(record.run.get(name) for name in WHERE[:-1])


def _varying(told: Iterable[tuple[Record, Mapping[str, Any]]]) -> dict[Choices, dict[str, set]]:
    """By choices, the options of the configuration with the values that these runs have."""
    found: dict[Choices, dict[str, set]] = {}
    for record, own in told:
        there = found.setdefault(_choices(record), {})
        for name, value in own.items():
            if name.startswith("config."):
                there.setdefault(name, set()).add(value)
    return found


def _command(record: Record, own: Mapping[str, Any], planned: str | None, varying: Mapping[Choices, Mapping]) -> str:
    if planned is not None:
        return f"python run.py {planned} seed={record.run['seed']}"
    chosen = {name: record.run[name] for name in WHERE if record.run.get(name) is not None}
    choices = _choices(record)
    there, usual = varying[choices], _usual(choices)
    said = {
        name.removeprefix("config."): value
        for name, value in own.items()
        if name.startswith(SAID)
        and not name.startswith(READ)
        and _said(name, value, own, there, usual, _choices(record))
    }
    return " ".join(["python run.py", *map(_override, chosen.items()), *sorted(map(_override, said.items()))])


def _said(
    name: str, value: Any, own: Mapping[str, Any], there: Mapping[str, set], usual: Mapping[str, Any], choices: Choices
) -> bool:
    """Does an option belong into a command: is it none that follows from others, and another than its default?"""
    default = usual.get(name)
    if "${" not in str(default):
        return len(there.get(name, ())) > 1 or (name in usual and default != value)
    if name.startswith("config.train."):
        return value != _followed(choices, name, *(own.get(other) for other in DEPENDS))
    return name == "config.method.targets" or _by_hand(default, value, own)


def _by_hand(default: str, value: Any, own: Mapping[str, Any]) -> bool:
    """Is a value another than that of the option, or the multiple of an option, which it follows?"""
    found = re.fullmatch(OPTION, default)
    if not found:
        return False
    factor, multiple, same = found.groups()
    other = own.get(f"config.{multiple or same}")
    return other is not None and value != (float(factor) * other if factor else other)


@cache
def _followed(choices: Choices, name: str, *given: Any) -> Any:
    """What an interpolated option of training gives beside values of DEPENDS; None where it cannot be told."""
    written, changed = _usual(choices), _shared(choices)
    if re.search(OF_OURS, str(written.get(name))):
        return None
    try:
        for other, value in zip(DEPENDS, given, strict=True):
            OmegaConf.update(changed, other.removeprefix("config."), written.get(other) if other == name else value)
        return clean(OmegaConf.select(changed, name.removeprefix("config.")))
    except OmegaConfBaseException:
        return None


@cache
def _shared(choices: Choices) -> DictConfig:
    """The configuration of a run of these choices, with the values of DEPENDS that were last set."""
    config = _composed(choices)
    return OmegaConf.create({name: config[name] for name in ("train", "task", "model", "method", "recipe")})


@cache
def _usual(choices: Choices) -> dict[str, Any]:
    """The options of a run of these choices, as they stand in conf/, those without a value too."""
    sections = {name: own for name, own in _composed(choices).items() if f"config.{name}.".startswith(SAID)}
    return {**dict.fromkeys(_names("config", sections)), **dict(_flat("config", sections))}


@cache
def _composed(choices: Choices) -> dict[str, Any]:
    """The configuration of a run of these choices, nothing followed; empty where one of them is not in conf/."""
    given = [f"{name}={choice}" for name, choice in zip(WHERE, choices, strict=False) if choice is not None]
    try:
        with initialize_config_dir(str(METHODS.parent.absolute()), version_base=None):
            return OmegaConf.to_container(compose("config", overrides=given))
    except HydraException:
        return {}


def _names(name: str, value: Any) -> Iterator[str]:
    """Of all leaves, those without a value too."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _names(f"{name}.{key}", inner)
    else:
        yield name


def _override(option: tuple[str, Any]) -> str:
    """`name=value` as Hydra reads it and a shell passes it on."""
    name, value = option
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    if not re.fullmatch(PLAIN, text):
        text = "'" + re.sub(r"(\\*)'", r"\1\1\'", text) + "'"
    return shlex.quote(f"{name}={text}")
