"""What a number opens: each run's configuration, fingerprints and device, its loss curve, and the command for it."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import yaml

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


def _curve(record: Record) -> list[list[float]] | None:
    loss = (record.train or {}).get("loss") or []
    every = -(-len(loss) // POINTS) or 1
    kept = [point for place, point in enumerate(loss) if place % every == 0 or place == len(loss) - 1]
    return [[step, float(f"{value:.4g}")] for step, value in kept] or None


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
    chosen = " ".join(f"{name}={record.run[name]}" for name in WHERE if record.run.get(name) is not None)
    there, written = varying[_choices(record)], _written(record.run["method"])
    said = [
        f"{name.removeprefix('config.')}={_override(value)}"
        for name, value in own.items()
        if name.startswith(("config.train.", "config.method.")) and _said(name, value, there, written)
    ]
    return " ".join(["python run.py", chosen, *sorted(said)])


def _said(name: str, value: Any, there: Mapping[str, set], written: Mapping[str, Any]) -> bool:
    """Does an option belong into a command: is it none that follows from others, and another than its default?"""
    default = written.get(name)
    if "${" in str(default):
        return name == "config.method.targets"
    return len(there.get(name, ())) > 1 or (default is not None and default != value)


@cache
def _written(method: str) -> dict[str, Any]:
    """The options of a method's yaml, as they stand there."""
    path = METHODS / f"{method}.yaml"
    return dict(_flat("config.method", yaml.safe_load(path.read_text(encoding="utf-8")))) if path.exists() else {}


def _override(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
