"""GPUs that a plan can be made for: what their makers state, in devices.csv."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from errors import SettingError

TABLE = Path(__file__).with_name("devices.csv")
REFERENCE = "a100"  # planned for where there is no GPU of the table here


@dataclass(frozen=True)
class Device:
    """bf16, fp32: dense operations a second. bandwidth: bytes a second. pattern: found in the name that CUDA gives."""

    name: str
    label: str
    pattern: str
    bf16: float
    fp32: float
    bandwidth: float
    bytes: float
    source: str

    def is_named(self, name: str) -> bool:
        return re.search(self.pattern, name) is not None


@cache
def known() -> dict[str, Device]:
    numbers = ("bf16", "fp32", "bandwidth", "bytes")
    with TABLE.open(encoding="utf-8") as file:
        rows = [row | {name: float(row[name]) for name in numbers} for row in csv.DictReader(file)]
    return {row["name"]: Device(**row) for row in rows}


def refuse_unknown(plan: str) -> None:
    """Raise SettingError where `plan=<this>` is none that `chosen` takes."""
    if plan.lower() not in ("true", *known()):
        raise SettingError(f"plan={plan} is neither true, false nor a device: {', '.join(known())}")


def chosen(plan: bool | str) -> Device:
    """The device that `plan=<name>` names; with `plan=true` the GPU of this machine, or else REFERENCE.

    Raises SettingError.
    """
    if isinstance(plan, str):
        refuse_unknown(plan)
        return known()[plan.lower()]
    import torch  # an unknown device is told without it

    here = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((device for device in known().values() if here and device.is_named(here)), known()[REFERENCE])
