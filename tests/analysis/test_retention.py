"""Columns and a figure of how far runs moved from their base, where records say it."""

import math

import pytest

from analysis.content import rows
from analysis.figures import studies
from analysis.figures.style import STYLE, matplotlib
from analysis.load import retention
from analysis.load.records import load
from analysis.pages import comparison
from analysis.statistics.experiments import experiments as joined
from tests.analysis.test_comparison import FULL, HEAD, LORA, SVFT, ran, runs, table  # noqa: F401

NAMES = [measure.title for measure in retention.MEASURES.values()]


def section(moved: float, loss: float | None = None) -> dict:
    """Two letters, of one layer and of three."""
    roles = {
        "Q": {"layers": 1, "update": 1.0, "base": 60.0, "intruders": 3, "moved": moved},
        "V": {"layers": 3, "update": 3.0, "base": 40.0, "intruders": 1, "moved": 3 * moved},
    }
    losses = {} if loss is None else {"loss": {"before": 1.0, "after": 1 + loss}}
    return {"version": 1, "roles": roles, **losses}


def record(**changes):
    from harness.store.record import Record

    return Record("key", {}, {}, {}, status="done", **changes)


def test_measures_are_of_all_layers_together_and_those_of_one_layer_are_means_over_layers():
    found = retention.measured(record(retention=section(0.01, 0.25)))
    expected = {"weights_moved": 0.2, "outputs_moved": (0.01 + 3 * 0.03) / 4, "intruders": 1.0, "base_loss": 0.25}
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


def test_an_older_record_has_none_and_a_run_that_changed_nothing_has_zeros():
    assert retention.measured(record()) == retention.measured(record(retention={"version": 1, "missing": "why"})) == {}
    still = retention.measured(record(retention={"version": 1, "roles": {}}))
    assert still == {"weights_moved": 0.0, "outputs_moved": 0.0, "intruders": 0.0}


def test_a_comparison_has_columns_of_it_where_a_record_has_it_and_cells_are_empty_where_none_does(add, runs):  # noqa: F811
    for seed in range(3):
        ran(add, LORA, seed, 100, retention=section(0.01 * (seed + 1)))
        ran(add, SVFT, seed, 100)
    frame, shown, notes = table(runs)
    assert list(shown.columns)[-3:] == NAMES[:3]  # no causal model, so no loss
    assert shown.loc["LoRA (r=8)", NAMES[:3]].tolist() == ["20 [20, 20]", "5 [2.5, 7.5]", "1.00 [1.00, 1.00]"]
    assert shown.loc["SVFT-P", NAMES[:3]].tolist() == ["", "", ""]
    assert math.isnan(frame.set_index("label").loc["SVFT-P", "outputs_moved"])
    assert any(note.startswith("Distance from the base") for note in notes)


def test_a_comparison_without_any_is_as_it_was(add, runs):  # noqa: F811
    ran(add, LORA, 0, 100)
    frame, shown, notes = table(runs)
    assert list(frame.columns) == comparison.COLUMNS and shown.columns[-1] == "Verdict"
    assert not any(note.startswith("Distance") for note in notes)
    assert "kept_compare" not in studies.makers(load(runs))


def test_the_figure_puts_scores_against_the_distance_and_what_did_not_move_is_a_line(add, runs):  # noqa: F811
    for seed in range(3):
        ran(add, FULL, seed, 101, retention=section(0.1 * (seed + 1)))
        ran(add, HEAD, seed, 90, retention={"version": 1, "roles": {}})
    loaded = load(runs)
    (experiment,) = joined(loaded).values()
    rows = comparison.numbers(loaded, experiment.name)
    points = studies.kept_points(rows[rows["panel"] == "two"]).set_index("label")
    assert points.loc["Full-FT", ["params", "near", "far"]].tolist() == pytest.approx([50, 25, 75])
    assert points["drawn"].to_dict() == {"Head": "line", "Full-FT": "point"}
    assert "kept_compare" in studies.makers(loaded)
    with matplotlib.rc_context(STYLE):
        whole = studies.pareto_figure(rows, studies.kept_points, studies.MOVED)
    (ax,) = whole.axes
    assert {text.get_text() for text in ax.texts if text.get_text()} == {"Head", "Full-FT"}
    assert ax.get_xlabel() == studies.MOVED


def test_a_row_of_the_page_has_the_means_of_what_its_records_say(add, runs):  # noqa: F811
    for seed in range(2):
        ran(add, LORA, seed, 100, retention=section(0.01 * (seed + 1), 0.5))
        ran(add, SVFT, seed, 100)
    lora, svft = rows.rows(load(runs))
    assert lora["kept"]["outputs_moved"] == pytest.approx(0.0375) and lora["kept"]["base_loss"] == 0.5
    assert "kept" not in svft
