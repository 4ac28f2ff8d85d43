"""The table and the figure of what methods cost, from a result file made up so that every number is known by hand."""

import json

import pandas as pd
import pytest
from peft import PeftType

from analysis.load import bench, paper
from analysis.load.records import load
from analysis.methods import figure, page
from tests.analysis.conftest import built
from tests.conftest import ROOT

NAME = "methods_tiny_cpu-made-up"
LORA = {
    "method": "lora", "label": "LoRA (r=8)", "variant": "r8-Q", "trained": 100, "adapter": 90, "warnings": [],
    "ratio": 1.0, "ratio_low": 0.9, "ratio_high": 1.1, "share": 0.99, "loaded": False, "saved_bytes": 1000,
    "base_bytes": 4000, "resident_bytes": 4400, "held_bytes": 0, "file_bytes": 500, "start_fp32": 0.0,
    "start_bf16": 0.0, "merge_fp32": 3e-7, "merge_bf16": 4e-3, "reload_run": 0.0, "reload_peft": 0.0,
    "checkpointing": 0.0, "repeated": 0.0, "load_bf16": 6e-3, "lr": 1e-3, "first_step_tenth": 1e-3,
    "first_step": 1e-2, "update": 0.05, "block": 2, "rank": {"Q": 8, "K": 7, "U": 8},
    "full_rank": {"Q": 96, "K": 96, "U": 96}, "why": {},
}  # fmt: skip
OTHER = {
    **LORA, "method": "frod", "label": "FRoD", "ratio": 1.92, "ratio_low": 1.9, "ratio_high": 2.04, "share": 0.4,
    "loaded": True, "saved_bytes": 1170, "held_bytes": 1000, "file_bytes": 5000, "start_fp32": 0.034,
    "first_step_tenth": 9e-3, "merge_fp32": None, "merge_bf16": None, "cannot_merge": "ValueError: no merging here",
    "why": {"half": "ValueError: other singular vectors"}, "load_bf16": None, "checkpointing": 0.2, "repeated": 0.2,
}  # fmt: skip
FAILED = {"method": "fusion", "label": "fusion", "failed": "MissingMandatoryValue: parts"}
NOTES = pd.DataFrame(
    [["frod", "V is made again", "peft", "0.21.2", "model.py:1"], ["other", "-", "peft", "0", "-"]],
    columns=["method", "note", "package", "version", "source"],
)


@pytest.fixture
def runs(tmp_path):
    values = {
        "schema": 1, "bench": "methods", "device": {"type": "cpu", "name": "Made up"}, "threads": 1, "torch": "2",
        "dtype": "float32", "commit": None, "dirty": None, "model": "tiny", "steps": 20, "reference": "LoRA (r=8)",
        "base": {"saved_bytes": 1000, "bf16": 0.008}, "rows": [LORA, OTHER, FAILED],
    }  # fmt: skip
    path = tmp_path / "runs" / "bench" / "methods-tiny-cpu-made-up.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(values))
    return tmp_path / "runs"


def made_up(runs) -> bench.Bench:
    return page.found(load(runs))["cpu-made-up"][0]


def test_a_line_has_ratios_errors_and_ranks_and_marks_what_is_more_than_rounding_or_measured_under_load(runs):
    lora, other, failed = page.page(made_up(runs), NOTES).shown.to_dict("records")
    assert list(lora.values()) == [
        "LoRA (r=8)", "100", "1.00 [0.90, 1.10]", "1.00", "1.10", "1.25", "0", "0", "3e-07", "4e-03", "0", "0", "0",
        "6e-03", "0.001", "0.01", "0.05", "Q 8, U 8", "",
    ]  # fmt: skip
    assert (other["Step"], other["Resident"], other["File"]) == ("1.92 [1.90, 2.04]†", "1.35", "12.5")
    assert (other["Start"], other["Merged"], other["fp32 to bf16"]) == ("**3e-02**", "no", "no")
    assert (other["Checkpointing"], other["Notes"]) == ("**2e-01**", "1")
    assert failed["Step"] == "not measured" and failed["Saved"] == ""


def test_notes_say_why_a_number_is_missing_what_was_found_and_what_the_library_does(runs):
    notes = page.page(made_up(runs), NOTES).notes
    for said in (
        "Loading an adapter of fp32 on a base in bf16 failed or is refused, FRoD: ValueError: other singular vectors",
        "Merging is refused, FRoD: ValueError: no merging here",
        "Not measured: fusion: MissingMandatoryValue: parts",
        "The first step is hardly smaller at a tenth of the learning rate: FRoD.",
        "Gradients differ between two passes with one seed, too: FRoD.",
        "1. V is made again (peft 0.21.2, model.py:1)",
    ):
        assert said in notes
    assert any("40 % of the wall time" in note for note in notes)
    assert any("FRoD (0.25 of the base)" in note for note in notes)


def test_the_pages_are_written_with_unrounded_numbers_and_no_page_of_other_benchmarks_beside_them(runs, tmp_path):
    assert built(runs, tmp_path / "tables") == 0
    names = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert names == ["methods_cpu-made-up.md", *(f"{NAME}.{ending}" for ending in ("csv", "md", "tex"))]
    frame = pd.read_csv(tmp_path / "tables" / f"{NAME}.csv").set_index("method")
    assert frame.loc["frod", ["ratio", "saved", "rank_K"]].tolist() == [1.92, 1.17, 7]
    assert pd.isna(frame.loc["fusion", "ratio"])


def test_the_figure_has_a_line_for_each_method_that_was_measured_and_says_what_is_refused(runs):
    drawn = figure.figure(made_up(runs))
    first, *others, errors = drawn.axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["LoRA (r=8)", "FRoD †"]
    assert first.collections[0].get_offsets()[:, 0].tolist() == [1.0, 1.92]
    assert [len(ax.collections[0].get_offsets()) for ax in others] == [2, 2, 2, 2]
    assert [text.get_text() for text in errors.texts] == ["refused"]
    assert set(figure.makers(load(runs))) == {NAME}


def test_every_note_names_a_method_and_where_it_is_from():
    notes = paper.reference(page.NOTES)
    there = {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")}
    tuners = {name.lower() for name in PeftType.__members__}
    assert set(notes["method"]) <= there | tuners
    assert (notes[["note", "version", "source"]] != "").all(axis=None)
