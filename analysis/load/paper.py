"""What the papers print, as kept in analysis/reference: every value as the string that is printed, in per cent."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

REFERENCE = Path(__file__).parents[1] / "reference"
SVFT = "arXiv:2405.19597v1"
LINE = "(horizontal line)"  # the configuration of full fine-tuning in figure_points.csv

Key = tuple[str, ...]


@cache
def reference(name: str) -> pd.DataFrame:
    """A file of analysis/reference; a missing value is an empty string. To be read, not changed."""
    return pd.read_csv(REFERENCE / name, dtype=str, keep_default_na=False)


def table(number: int) -> pd.DataFrame:
    """The printed Table `number`, one line a cell. Raises ValueError where it is not kept."""
    paths = sorted(REFERENCE.glob(f"table{number:02d}_*.csv"))
    if not paths:
        raise ValueError(f"no Table {number} is kept in analysis/reference; there are 1 to 14")
    return reference(paths[0].name)


def printed(manifest: Mapping[str, Any]) -> dict[Key, dict[str, str]]:
    """(row, metric) -> {value, params_printed} of the table or figure that a manifest reproduces."""
    if manifest.get("twin_of"):
        return {}
    if manifest.get("table"):
        lines = reference(manifest["reference"]) if "reference" in manifest else table(manifest["table"])
        return {(*_key(line), line["metric"]): line for line in lines.to_dict("records")}
    if not manifest.get("figure"):
        return {}
    points = reference("figure_points.csv")
    points = points[points["figure"].str.split("-").str[0] == manifest["figure"]]
    return {
        (*_key(line), line["target_modules"], panel(line["figure"]), line["metric"]): {**line, "params_printed": ""}
        for line in points.to_dict("records")
    }


def place(manifest: Mapping[str, Any], row: Mapping[str, Any], metric: str) -> Key:
    """Where `printed` has a cell. In figures rows differ by their target modules too; full fine-tuning has "all"."""
    if manifest.get("table"):
        return *_key(row), metric
    targets = "all" if row["method"] == "Full-FT" else row["targets"]
    return *_key(row), targets, row.get("panel") or "", metric


def panel(figure: str) -> str:
    """`F1-left` -> `left`, `F4` -> ``."""
    return figure.partition("-")[2]


def label(row: Mapping[str, Any]) -> str:
    """`SVFT-R (d=16)`, as the labels of records are."""
    name = f"{row['method']}-{row['variant']}" if row["variant"] else row["method"]
    config = (row["config"] or "").replace(LINE, "").replace(" (", ", ").rstrip(")").replace(", ", ",")
    return f"{name} ({config.replace(',', ', ')})" if config else name


def _key(line: Mapping[str, Any]) -> Key:
    return line["model"], line["method"], line["variant"] or "", (line["config"] or "").replace(LINE, "")
