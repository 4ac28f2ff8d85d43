"""What `make bench` and `make methods` measured: step time and memory against tokens, and each method's cost."""

from typing import Any

from analysis.load import bench, paper
from analysis.load.records import Loaded
from analysis.methods import page
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


def methods(loaded: Loaded) -> list[dict[str, Any]]:
    """The table of each model and device as it is printed: `heads`, and by row its method and `cells`."""
    notes = paper.reference(page.NOTES)
    return [
        {
            "model": one.values["model"], "device": one.values["device"]["name"], "reference": one.values["reference"],
            "heads": list(table.shown.columns), "notes": list(table.notes),
            "rows": [
                {"method": method, "cells": cells}
                for method, cells in zip(table.numbers["method"], table.shown.values.tolist(), strict=True)
            ],
        }
        for benches in page.found(loaded).values()
        for one in benches
        for table in [page.page(one, notes)]
    ]  # fmt: skip
