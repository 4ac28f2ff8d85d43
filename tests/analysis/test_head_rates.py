"""Tables say where their rows trained the head at unequal rates."""

from types import SimpleNamespace

import pandas as pd

from analysis.load.records import load
from analysis.pages.footnotes import HEAD_RATE, head_rate_notes
from analysis.pages.paper_notes import record_notes
from analysis.pages.results import results

GOOD = "1" * 30 + "0" * 10


def trained(rate: float, **train) -> dict:
    """Of a record whose head was trained at `rate`."""
    config = {"train": {"lr": 1e-3, "head_lr": rate, "max_steps": 10, **train}, "recipe": {"name": "clean"}}
    return {"config": config, "parameters": {"adapter": 12, "head": 34, "frozen": 5}}


def unequal(tmp_path) -> list[str]:
    (result,) = results(load(tmp_path / "runs"))
    return [note for note in result.notes if note.startswith("Unequal head")]


def test_rows_and_rates_are_named(add, tmp_path):
    add("LoRA (r=8)", 0, {"accuracy": GOOD}, **trained(1e-3))
    add("DoRA (r=8)", 0, {"accuracy": GOOD}, **trained(1e-3))
    add("SVFT-P", 0, {"accuracy": GOOD}, method="svft_plain", **trained(5e-2))
    (note,) = unequal(tmp_path)
    assert "Tiny on Toy: 0.001 DoRA (r=8), LoRA (r=8); 0.05 SVFT-P. A part of what these rows differ by may be" in note


def test_a_table_of_the_paper_says_so_too(add, tmp_path):
    add("LoRA (r=8)", 0, {"accuracy": GOOD}, **trained(1e-3))
    add("SVFT-P", 0, {"accuracy": GOOD}, method="svft_plain", **trained(5e-2))
    records = load(tmp_path / "runs").records
    notes = list(record_notes(SimpleNamespace(records=records, manifest={}, left_out=[])))
    assert [
        note for note in notes if note.startswith("Unequal head learning rates, Tiny on Toy: 0.001 LoRA (r=8); 0.05")
    ]


def test_equal_rates_and_rows_without_a_head_are_no_matter(add, tmp_path):
    add("LoRA (r=8)", 0, {"accuracy": GOOD}, **trained(1e-3))
    add("SVFT-P", 0, {"accuracy": GOOD}, method="svft_plain", **trained(1e-3))
    add("Other", 0, {"accuracy": GOOD}, method="vera", config={"train": {"lr": 1e-3, "head_lr": 0.5, "max_steps": 10}})
    add("Failed", 0, method="boft", status="failed", failure={"reason": "no"}, **trained(0.7))
    assert unequal(tmp_path) == []


def test_rates_that_differ_between_tasks_are_no_matter():
    rows = [("Tiny", "Toy", "A", "0.1"), ("Tiny", "Other", "B", "0.2"), ("Big", "Toy", "B", "0.3")]
    frame = pd.DataFrame(
        [
            {"model_label": m, "task_label": t, "label": name, "status": "done", "settings": {HEAD_RATE: rate}}
            for m, t, name, rate in rows
        ]
    )
    assert list(head_rate_notes(frame)) == []
