"""How far runs moved from their base, as numbers that a table has a column of: the record's section `retention`.

A record without the section, as an older one, has none of them; one of a model that is no causal one has no loss.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.store.record import Record

Roles = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Measure:
    """title: of a column.  of: a record's section -> the number; None where it is not there."""

    title: str
    of: Callable[[Mapping[str, Any]], float | None]
    shown: Callable[[float], str]


def _update(section: Mapping[str, Any]) -> float | None:
    roles = section["roles"].values()
    base = sum(role["base"] for role in roles)
    return math.sqrt(sum(role["update"] for role in roles) / base) if base else 0.0


def _a_layer(name: str, *, summed: bool) -> Callable[[Mapping[str, Any]], float | None]:
    """The mean over layers of what a letter has the sum of, or the mean."""

    def of(section: Mapping[str, Any]) -> float | None:
        roles = section["roles"].values()
        layers = sum(role["layers"] for role in roles)
        total = sum(role[name] * (1 if summed else role["layers"]) for role in roles)
        return total / layers if layers else 0.0

    return of


def _forgotten(section: Mapping[str, Any]) -> float | None:
    loss = section.get("loss")
    return None if loss is None else loss["after"] - loss["before"]


# By the names of columns in CSV files.
MEASURES: Mapping[str, Measure] = {
    "weights_moved": Measure("‖ΔW‖ / ‖W0‖ (%)", _update, lambda share: f"{100 * share:.3g}"),
    "outputs_moved": Measure(
        "E‖ΔWh‖² / E‖W0h‖² (%)", _a_layer("moved", summed=False), lambda share: f"{100 * share:.2g}"
    ),
    "intruders": Measure("Intruders", _a_layer("intruders", summed=True), "{:.2f}".format),
    "base_loss": Measure("Base loss", _forgotten, "{:+.3f}".format),
}  # fmt: skip


def measured(record: Record) -> dict[str, float]:
    """The measures that the record has, by their names."""
    section = record.retention
    if record.status != "done" or "roles" not in section:
        return {}
    found = {name: measure.of(section) for name, measure in MEASURES.items()}
    return {name: value for name, value in found.items() if value is not None}


def by_measure(records: Iterable[Record]) -> dict[str, list[float]]:
    """Of several seeds; a measure that one of them lacks has those of the others."""
    found: dict[str, list[float]] = {}
    for record in records:
        for name, value in measured(record).items():
            found.setdefault(name, []).append(value)
    return found


def shown(measure: Measure, mean: float, low: float | None, high: float | None) -> str:
    """`0.12 [0.11, 0.14]`."""
    known = low is not None and not math.isnan(low)
    return measure.shown(mean) + (f" [{measure.shown(low)}, {measure.shown(high)}]" if known else "")


def notes(names: Iterable[str]) -> list[str]:
    """What the columns of these measures say."""
    if not names:
        return []
    return [
        "Distance from the base, over the layers that were changed: ‖ΔW‖ / ‖W0‖ of all of them together; E‖ΔWh‖² / "
        "E‖W0h‖² a layer, h what reaches it in the base on inputs as it was pre-trained on (without such: on "
        "validation inputs); intruder dimensions a layer, among its first 10 (Shuttleworth et al. 2024, cosines below "
        "0.5); and the rise of the base's own loss on held-out text, in nats a token. Mean over seeds, its interval."
    ]
