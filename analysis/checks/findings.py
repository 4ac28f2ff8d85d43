"""What the checks of the paper's own numbers share: a finding, printed cells by name, printed parameter counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache

import pandas as pd

from analysis.checks.params import UNITS
from analysis.load import paper

RESULTS = (1, 2, 3, 4, 5, 6, 8, 9, 10)  # tables of results; 7 are formulas, 11 to 14 hyper-parameters
FULL_RANK = "rank=2048"  # of Gemma-2B in Table 10: no truncation
ROW = ["model", "method", "variant", "config"]


@dataclass(frozen=True)
class Finding:
    """One check: where it is printed, what is printed, what was computed, and how; `holds` where the two agree."""

    kind: str
    where: str
    printed: str
    computed: str
    how: str
    holds: bool = False


@cache
def results() -> pd.DataFrame:
    """Every printed cell of the result tables, `table` as a number and a row's `label` added."""
    frame = pd.concat([paper.table(number) for number in RESULTS], ignore_index=True).astype({"table": int})
    return frame.assign(label=[paper.label(line) for line in frame.to_dict("records")])


@cache
def rows() -> pd.DataFrame:
    """One line for each printed row."""
    return results().drop_duplicates(["table", *ROW])


def cell(name: str) -> Decimal:
    """`1|Gemma-2B|SVFT|P||MATH`: a score in per cent, or with the metric `params` a parameter count.

    Raises ValueError where no such cell is printed.
    """
    value = _by_name().get(name)
    if value is None:
        raise ValueError(f"no cell {name!r} is printed; a name is table|model|method|variant|config|metric")
    return parameters(value) if name.endswith("|params") else Decimal(value)


@cache
def _by_name() -> dict[str, str]:
    """Every printed cell by its name; of several of one name the first."""
    lines = results().to_dict("records")[::-1]
    named = [("|".join([str(line["table"]), *(line[name] for name in ROW)]), line) for line in lines]
    scores = {f"{name}|{line['metric']}": line["value"] for name, line in named}
    return scores | {f"{name}|params": line["params_printed"] for name, line in named}


def parameters(printed: str) -> Decimal:
    """`0.19M` -> 190000."""
    return Decimal(printed[:-1]) * UNITS[printed[-1]]


def spread(printed: str) -> tuple[Decimal, Decimal]:
    """The counts that are printed so when rounded or cut: from the first, up to but without the second."""
    step = Decimal(1).scaleb(Decimal(printed[:-1]).as_tuple().exponent) * UNITS[printed[-1]]
    return parameters(printed) - step / 2, parameters(printed) + step


def agrees(printed: str, computed: Decimal) -> bool:
    """Is `computed` the printed number after rounding to its digits, or after cutting the further ones?"""
    shown = Decimal(printed)
    return shown in {computed.quantize(shown, way) for way in (ROUND_HALF_UP, ROUND_DOWN)}


def place(table: object, model: str, label: str) -> str:
    return f"Table {table}, {model}, {label}"


def listed(parts: Iterator[str] | list[str]) -> str:
    return ", ".join(dict.fromkeys(parts))
