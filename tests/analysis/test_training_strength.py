"""VectorFit's training strength: placed by kind and layer, measured over the vectors, and drawn."""

import numpy as np
import pandas as pd
import pytest

from analysis.figures import strength as strength_figure
from analysis.figures.style import STYLE, matplotlib
from analysis.load import paper
from analysis.load.records import load
from analysis.pages import training_strength
from analysis.statistics.experiments import experiments
from errors import RecordError
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built

LAYERS = {"Q": "attention.self.query_proj", "O": "attention.output.dense", "D": "output.dense"}
ROLES = {letter: f"deberta.encoder.layer.*.{name}" for letter, name in LAYERS.items()}
VECTORS = ["encoder.layer.0.attention.self.query_proj sigma", "encoder.layer.1.output.dense bias"]
ROWS = [cases.row("DeBERTa", "VectorFit", config, metrics=["SST-2"]) for config in ("AVF", "no AVF")]


@pytest.fixture
def runs(tmp_path):
    cases.write(tmp_path / "runs", "vectorfit_strength", [cases.column("SST-2")], ROWS)
    return tmp_path / "runs"


def ran(add, row: dict, seed: int, values: list[list[float]]) -> None:
    measured = {"vectors": VECTORS, "steps": [10 * i for i in range(len(values))], "values": values,
                "frozen": [], "frozen_at": []}  # fmt: skip
    config = {"train": {"lr": 1e-3}, "recipe": {"name": "clean"}, "model": {"roles": ROLES}}
    train = {"steps": 10, "step_seconds": 1.0, "method": {"training_strength": measured}}
    cases.ran(add, row, seed, {"sst2": cases.entry("1" * 90 + "0" * 10)}, config=config, train=train)


def read(runs):
    experiment = experiments(load(runs))[training_strength.NAME]
    return experiment, training_strength.strengths(experiment)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (VECTORS[0], ("σ q", 1)),
        ("deberta.encoder.layer.3.attention.output.dense bias", ("b o", 4)),
        ("encoder.layer.10.output.dense sigma", ("σ f2", 11)),
    ],
)
def test_a_vector_has_the_kind_of_its_role_and_its_layer_counted_from_one(name, expected):
    assert training_strength.place(name, ROLES) == expected


@pytest.mark.parametrize("name", ["pooler.dense sigma", "encoder.layer.0.pos_proj sigma", f"{VECTORS[0]}2", "sigma"])
def test_a_vector_of_no_role_is_refused_by_name(name):
    with pytest.raises(ValueError, match="is no sigma or bias of a layer with a role"):
        training_strength.place(name, ROLES)


def test_spread_is_the_standard_deviation_over_the_mean_of_all_vectors_and_unknown_at_the_start(add, runs):
    ran(add, ROWS[0], 0, [[0.0, 0.0], [0.02, 0.06]])
    _, frame = read(runs)
    found = training_strength.spreads(frame).set_index("step")
    assert found.loc[10, ["mean", "max", "spread"]].tolist() == pytest.approx([0.04, 0.06, 0.5])
    assert found.loc[0, "mean"] == 0 and np.isnan(found.loc[0, "spread"])


def test_the_printed_spreads_are_those_of_the_papers_panels():
    """Of the 144 values of each panel: the left one larger and less even than the right."""
    values = paper.reference(strength_figure.PRINTED)
    by_panel = values.assign(value=values["value"].astype(float)).groupby("panel")["value"]
    assert by_panel.size().to_dict() == {"left": 144, "right": 144}
    whole = strength_figure.printed_figure(values)
    below = [ax.get_xlabel() for ax in whole.axes if ax.get_xlabel()]
    expected = [f"σ/μ {np.std(v) / np.mean(v):.2g}" for _, v in by_panel]
    assert [text.rpartition(", ")[2] for text in below] == expected == ["σ/μ 0.36", "σ/μ 0.3"]
    assert [ax.get_title(loc="left") for ax in whole.axes[:2]] == ["Left panel", "Right panel"]
    assert "untitled" in whole.get_supxlabel()


def test_the_last_step_of_each_seed_counts(add, runs):
    ran(add, ROWS[0], 0, [[0.0, 0.0], [0.02, 0.06]])
    ran(add, ROWS[0], 1, [[0.0, 0.0], [0.5, 0.5], [0.04, 0.08]])
    _, frame = read(runs)
    grid = strength_figure.grid(training_strength.last(frame))
    assert grid.index.tolist() == ["σ q", "b f2"] and grid.columns.tolist() == [1, 2]
    assert (grid.loc["σ q", 1], grid.loc["b f2", 2]) == pytest.approx((0.03, 0.07))


def test_the_table_has_score_and_strength_of_each_run_with_intervals_over_seeds(add, runs):
    for seed in range(3):
        ran(add, ROWS[0], seed, [[0.02, 0.06]])
        ran(add, ROWS[1], seed, [[0.02, 0.10 + 0.01 * seed]])
    experiment, frame = read(runs)
    shown = training_strength.text(training_strength.numbers(experiment, frame), "score").set_index("Run")
    assert shown.loc["VectorFit (AVF)"].tolist() == [
        "1,234", "3", "90.0 [90.0, 90.0]", "", "0.04 [0.04, 0.04]", "0.06 [0.06, 0.06]", "0.5 [0.5, 0.5]",
    ]  # fmt: skip
    assert shown.loc["VectorFit (no AVF)", ["Difference", "Largest"]].tolist() == [
        "0.0 [0.0, 0.0] tie", "0.11 [0.1, 0.12]",
    ]  # fmt: skip


def test_what_was_not_run_is_empty_and_never_zero(runs, tmp_path):
    built(runs, tmp_path / "out", training_strength.NAME)
    experiment, frame = read(runs)
    shown = training_strength.text(training_strength.numbers(experiment, frame), "score")
    assert shown.iloc[0].tolist() == ["VectorFit (AVF)", "1,234", "", "", "", "", "", ""]
    assert "nan" not in (tmp_path / "out" / "vectorfit_strength.md").read_text().lower()


def test_all_heat_maps_share_one_scale_from_zero_to_the_largest_value(add, runs):
    ran(add, ROWS[0], 0, [[0.0, 0.0], [0.02, 0.06]])
    ran(add, ROWS[1], 0, [[0.0, 0.0], [0.02, 0.09]])
    _, frame = read(runs)
    whole = strength_figure.figure(frame)
    maps = [image for ax in whole.axes for image in ax.images]
    assert [image.get_clim() for image in maps] == [(0, 0.09), (0, 0.09)]
    assert [ax.get_title(loc="left") for ax in whole.axes if ax.images] == ["VectorFit (AVF)", "VectorFit (no AVF)"]


def test_the_lines_are_the_largest_strength_and_the_spread_of_each_seed_and_their_mean(add, runs):
    ran(add, ROWS[0], 0, [[0.0, 0.0], [0.02, 0.06]])
    ran(add, ROWS[0], 1, [[0.0, 0.0], [0.02, 0.10]])
    _, frame = read(runs)
    largest, spread = (ax for ax in strength_figure.figure(frame).axes if ax.get_xlabel() == "Step")
    assert [line.get_ydata()[-1] for line in largest.lines] == pytest.approx([0.06, 0.10, 0.08])
    assert [line.get_ydata()[-1] for line in spread.lines] == pytest.approx([0.5, 2 / 3, (0.5 + 2 / 3) / 2])


def test_the_svg_is_the_same_each_time(add, runs, tmp_path):
    ran(add, ROWS[0], 0, [[0.0, 0.0], [0.02, 0.06]])
    _, frame = read(runs)
    with matplotlib.rc_context(STYLE):
        for name in ("one.svg", "two.svg"):
            strength_figure.figure(frame).savefig(tmp_path / name, metadata={"Date": None})
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_papers_figure_is_drawn_always_and_the_runs_where_there_are_any(add, runs):
    assert list(strength_figure.makers(load(runs))) == ["vectorfit_strength_printed"]
    ran(add, ROWS[0], 0, [[0.0, 0.0], [0.02, 0.06]])
    assert list(strength_figure.makers(load(runs))) == ["vectorfit_strength_printed", "vectorfit_strength"]


def test_a_record_without_strengths_is_refused(add, runs):
    cases.ran(add, ROWS[0], 0, {"sst2": cases.entry("1")})
    with pytest.raises(RecordError, match="VectorFit, seed 0, has no training strength"):
        read(runs)


def test_colours_can_be_read_in_grey():
    lightness = matplotlib.colormaps[strength_figure.COLOURS](np.linspace(0, 1, 50))[:, :3] @ [
        0.2126,
        0.7152,
        0.0722,
    ]
    assert (np.diff(lightness) > 0).all()
    assert pd.Series([style for _, style in strength_figure.LOOKS]).is_unique
