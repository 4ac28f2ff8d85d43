"""Printed against recounted trainable parameters of every row of the paper's Tables 1-6 and 8-10.

Reads runs/params/counts.json (written by `python -m papers.recount`) and analysis/reference/param_rows.csv.
"""

import json
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Literal

import pandas as pd

from analysis.load.paper import reference
from analysis.load.records import Loaded
from analysis.writing.page import Page, Table

COUNTS = Path("params", "counts.json")  # below runs/
KEY = ["table", "model", "method", "variant", "config", "target_modules"]
COLUMNS = [*KEY, "params_printed", "params_computed", "match", "note"]
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9}

Match = Literal["rounded", "truncated", "no"]


def verdict(printed: str, computed: int) -> Match:
    """Is `computed` what was printed, in the printed unit and number of decimals?

    "rounded": equal after rounding to nearest, halves up. "truncated": equal only after cutting the further digits
    (4,358,144 printed as "4.35M"). "no": neither.
    """
    digits, unit = printed[:-1], printed[-1:]
    if unit not in UNITS or not digits.replace(".", "", 1).isdecimal():
        raise ValueError(f"{printed!r} is not a printed count; a count is a number and one of {', '.join(UNITS)}")
    value, shown = Decimal(computed) / UNITS[unit], Decimal(digits)
    if value.quantize(shown, ROUND_HALF_UP) == shown:
        return "rounded"
    return "truncated" if value.quantize(shown, ROUND_DOWN) == shown else "no"


def table(runs: Path) -> pd.DataFrame:
    """One row per printed count, in the paper's order. A row without a recount has no computed count and no verdict."""
    printed = reference("param_rows.csv").astype({"table": int})
    counts = pd.DataFrame(json.loads((runs / COUNTS).read_text(encoding="utf-8")))
    frame = printed.merge(counts, on=KEY, how="left", validate="one_to_one").astype({"params_computed": "Int64"})
    frame["match"] = [
        None if pd.isna(computed) else verdict(shown, int(computed))
        for shown, computed in zip(frame["params_printed"], frame["params_computed"], strict=True)
    ]
    readings = frame["reading"].fillna("")
    frame["note"] = ["; ".join(filter(None, pair)) for pair in zip(readings, frame["note"], strict=True)]
    return frame[COLUMNS]


def text(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The table as strings, and what there is to say of it."""
    shown = frame.assign(
        params_computed=frame["params_computed"].map(lambda n: "" if pd.isna(n) else f"{n:,}"),
        match=frame["match"].map(lambda m: "" if pd.isna(m) else m),
        table=frame["table"].astype(str),
    )
    names = {
        "table": "Table", "model": "Model", "method": "Method", "variant": "Variant", "config": "Configuration",
        "target_modules": "Targets", "params_printed": "Printed", "params_computed": "Computed", "match": "Match",
        "note": "Note",
    }  # fmt: skip
    counts = frame["match"].value_counts()
    agreed = int(counts.get("rounded", 0) + counts.get("truncated", 0))
    notes = [
        f"{agreed} of {len(frame)} printed counts are reproduced: {counts.get('rounded', 0)} by rounding, "
        f"{counts.get('truncated', 0)} by cutting digits; {counts.get('no', 0)} are not.",
        "Computed: the method attached to the model on the meta device, its trained tensors counted, the head never.",
        "A note names what the count takes for granted. Not the paper's, but chosen because they give the printed "
        "count: in vision the gate, O and one butterfly factor; in Table 3 the layers of VeRA and BOFT's degrees of "
        "freedom; in Table 6 rank, d and layers.",
    ]
    return shown.rename(columns=names), notes


def makers(loaded: Loaded) -> dict[str, Callable[[], Page]]:
    """None where the counts were not made."""
    return {"params": lambda: _page(loaded.runs)} if (loaded.runs / COUNTS).exists() else {}


def _page(runs: Path) -> Page:
    recount = table(runs)
    return Table(recount, *text(recount), title="Printed and recounted parameters")
