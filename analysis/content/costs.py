"""Step time and memory against tokens, by device: what `make bench` measured."""

from typing import Any

from analysis.load import bench
from analysis.load.records import Loaded
from analysis.writing.numbers import clean

STEP = ("method", "label", "tokens", "seconds", "ratio", "ratio_low", "ratio_high", "saved_bytes", "peak_bytes")


def costs(loaded: Loaded) -> list[dict[str, Any]]:
    """One a file that has steps of methods."""
    return [
        {
            "device": each.values["device"]["name"], "panel": each.panel, "reference": each.reference,
            "about": bench.said(each.values, each.panel),
            "steps": [{name: clean(row[name]) for name in STEP} for row in each.steps.to_dict("records")],
            "methods": [
                {name: clean(row[name]) for name in ("method", "label", *bench.METHOD)}
                for row in each.methods.to_dict("records")
            ],
        }
        for benches in bench.find(loaded.runs).values()
        for each in benches
        if len(each.steps)
    ]  # fmt: skip
