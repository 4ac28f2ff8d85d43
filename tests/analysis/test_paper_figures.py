"""Figures 1, 3, 4 and 5: printed and reproduced points together, legible, and the same bytes each time."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from analysis.figures import paper as paper_figures
from analysis.figures import patterns as patterns_figure
from analysis.figures.style import STYLE, matplotlib
from analysis.load import paper
from analysis.load.records import Loaded, load
from analysis.statistics.experiments import experiments
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built


def figure_rows(name: str) -> list[dict]:
    """A manifest's rows for every point of a figure, from the reference."""
    points = paper.reference("figure_points.csv")
    return [
        cases.row(line.model, line.method, line.config, variant=line.variant, metrics=[line.metric],
                  targets=line.target_modules, params=int(line.params_computed), panel=paper.panel(line.figure),
                  runs=line.figure)
        for line in points[points["figure"].str.startswith(name)].itertuples()
    ]  # fmt: skip


def write(runs, name: str, figure: str) -> list[dict]:
    rows = figure_rows(figure)
    panels: dict[str, set[str]] = {}
    for row in rows:
        for metric in row["cells"]:
            panels.setdefault(metric, set()).add(row["panel"])
    columns = [
        cases.column(metric) | ({"panel": next(iter(places))} if len(places) == 1 else {})
        for metric, places in panels.items()
    ]
    cases.write(runs, name, columns, rows, figure=figure)
    return rows


def ran(add, row: dict, seed: int, share: float) -> None:
    (metric,) = row["cells"]
    right = round(1000 * share)
    value = cases.entry("1" * right + "0" * (1000 - right))
    cases.ran(add, row, seed, {cases.column(metric)["benchmark"]: value})


def only(runs):
    (experiment,) = experiments(load(runs)).values()
    return experiment


@pytest.mark.parametrize(("name", "printed", "unvalued"), [("F1", 22, 7), ("F4", 3, 17), ("F5", 19, 5)])
def test_every_point_of_a_figure_is_printed_or_a_tick(tmp_path, name, printed, unvalued):
    write(tmp_path / "runs", "figure", name)
    kinds = paper_figures.points(only(tmp_path / "runs"))["kind"]
    reference = paper.reference("figure_points.csv")
    values = reference[reference["figure"].str.startswith(name)]["value"]
    assert kinds.tolist() == [paper_figures.PRINTED if value else paper_figures.UNVALUED for value in values]
    assert (kinds == paper_figures.PRINTED).sum() == printed and (kinds == paper_figures.UNVALUED).sum() == unvalued


def test_a_reproduced_point_stands_at_its_mean_with_the_interval_over_seeds(add, tmp_path):
    rows = write(tmp_path / "runs", "figure4", "F4")
    for seed, share in enumerate((0.40, 0.42, 0.44)):
        ran(add, rows[0], seed, share)
    frame = paper_figures.points(only(tmp_path / "runs"))
    point = frame[frame["kind"] == paper_figures.REPRODUCED].iloc[0]
    assert point[["params", "score", "low", "high"]].tolist() == pytest.approx([41472, 42.0, 40.0, 44.0])


def test_points_of_two_panels_that_differ_in_nothing_else_are_kept_apart(tmp_path):
    write(tmp_path / "runs", "figure1", "F1")
    frame = paper_figures.points(only(tmp_path / "runs"))
    plain = frame[(frame["label"] == "SVFT-P") & (frame["kind"] == paper_figures.PRINTED)]
    assert dict(zip(plain["panel"], plain["score"], strict=True)) == {"left": 40.34, "right": 55.81}


def test_in_figure_4_colour_is_the_set_of_layers_and_marker_is_d(tmp_path):
    write(tmp_path / "runs", "figure4", "F4")
    frame = paper_figures.points(only(tmp_path / "runs"))
    assert frame.groupby("targets")["colour"].nunique().eq(1).all() and frame["colour"].nunique() == 5
    assert frame.groupby("label")["marker"].nunique().eq(1).all() and frame["marker"].nunique() == 4
    assert len(frame[["colour", "marker"]].drop_duplicates()) == 20


def test_every_label_is_inside_the_figure_and_none_covers_another(add, tmp_path):
    rows = write(tmp_path / "runs", "figure5", "F5")
    for place, row in enumerate(rows):
        for seed in range(3):
            ran(add, row, seed, 0.6 + 0.01 * place + 0.002 * seed)
    with matplotlib.rc_context(STYLE):
        whole = paper_figures.figure(only(tmp_path / "runs"))
    for part in whole.subfigs:
        texts = [text for text in part.axes[0].texts if text.get_text()]
        boxes = [Text.get_window_extent(text) for text in texts]
        assert len(texts) == 13  # eleven methods, full fine-tuning printed and reproduced
        assert not [1 for i, one in enumerate(boxes) for other in boxes[:i] if one.overlaps(other)]
        assert all(part.bbox.x0 <= box.x0 and box.x1 <= part.bbox.x1 for box in boxes)


def test_printed_points_are_hollow_and_reproduced_ones_filled(add, tmp_path):
    rows = write(tmp_path / "runs", "figure4", "F4")
    plain = next(row for row in rows if row["targets"] == "QKVUDOG" and row["variant"] == "P")
    ran(add, plain, 0, 0.38)
    whole = paper_figures.figure(only(tmp_path / "runs"))
    drawn = [line for line in whole.subfigs[0].axes[0].lines if list(line.get_xdata()) == [193536]]
    faces = {
        float(line.get_ydata()[0]): to_hex(line.get_markerfacecolor()) for line in drawn if line.get_marker() == "o"
    }
    assert faces == {40.34: "#ffffff", 38.0: "#d55e00"}


def test_a_twin_is_drawn_without_printed_points_and_only_once_it_was_run(add, tmp_path):
    write(tmp_path / "runs", "figure4", "F4")
    rows = figure_rows("F4")
    for row in rows:
        row["cells"]["GSM-8K"]["identity"] = cases.identity(f"micro {row['targets']} {row['variant']} {row['config']}")
    cases.write(tmp_path / "runs", "figure4_micro", [cases.column("GSM-8K")], rows, twin_of="figure4")
    built(tmp_path / "runs", tmp_path / "out", command="plots")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["figure4.png", "figure4.svg"]
    ran(add, rows[0], 0, 0.5)
    built(tmp_path / "runs", tmp_path / "out", command="plots")
    assert (tmp_path / "out" / "figure4_micro.png").stat().st_size > 0
    _, twin = experiments(load(tmp_path / "runs")).values()
    assert paper_figures.points(twin)["kind"].tolist() == [paper_figures.REPRODUCED]


@pytest.fixture
def patterns(tmp_path):
    band = [[i, j] for i in range(6) for j in range(6) if abs(i - j) <= 1]
    named = {
        "plain": {"shape": [6, 6], "entries": [[i, i] for i in range(6)]},
        "banded": {"shape": [6, 6], "entries": band},
        "random": {"shape": [6, 6], "entries": [[5 - i, j] for i, j in band]},
        "topk": {"shape": [6, 6], "entries": band[::-1]},
    }
    (tmp_path / "runs" / "experiments").mkdir(parents=True)
    (tmp_path / "runs" / "experiments" / "patterns.json").write_text(json.dumps(named))
    return named


def test_the_mask_of_a_pattern_is_trained_at_its_entries_alone(patterns):
    banded = patterns_figure.mask(patterns["banded"])
    assert np.array_equal(banded == patterns_figure.TRAINED, np.abs(np.subtract.outer(range(6), range(6))) <= 1)
    assert set(np.unique(banded)) == {patterns_figure.ZERO, patterns_figure.TRAINED}


def test_an_entry_outside_the_matrix_is_refused_by_name():
    with pytest.raises(ValueError, match=r"the entry \(6, 0\) is outside the shape \(6, 6\)"):
        patterns_figure.mask({"shape": [6, 6], "entries": [[6, 0]]})


def test_the_patterns_are_four_titled_panels_below_the_product(patterns):
    whole = patterns_figure.figure(patterns)
    titles = [[ax.get_title() for ax in part.axes] for part in whole.subfigs]
    assert titles[0] == ["$U$", r"$\Sigma$", "$M$", r"$V^{\top}$"]
    assert titles[1] == ["(a) Plain", "(b) Banded", "(c) Random", "(d) Top-k"]
    assert [ax.get_xlabel() for ax in whole.subfigs[1].axes] == ["6 of 36", "16 of 36", "16 of 36", "16 of 36"]


def test_the_figures_are_the_same_bytes_each_time_and_have_no_date(add, patterns, tmp_path):
    rows = write(tmp_path / "runs", "figure4", "F4")
    ran(add, rows[0], 0, 0.4)
    for folder in ("one", "two"):
        built(tmp_path / "runs", tmp_path / folder, "figure4", "patterns", command="plots")
    for name in ("figure4.svg", "figure4.png", "patterns.svg", "patterns.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "dc:date" not in (tmp_path / "one" / "figure4.svg").read_text()


def test_the_right_panel_of_figure_1_plots_the_mean_of_the_benchmarks_and_nothing_else():
    from tests.conftest import ROOT

    found = experiments(Loaded(ROOT / "runs", [], []))
    frame = paper_figures.points(found["figure1"])
    assert dict(frame.groupby("panel")["metric"].unique().map(list)) == {
        "left": ["GSM-8K"], "right": ["Commonsense average"],
    }  # fmt: skip
    unvalued = frame[(frame["panel"] == "left") & (frame["kind"] == paper_figures.UNVALUED)]
    assert sorted(unvalued["label"]) == ["SVFT-B (d=2)", "SVFT-B (d=4)", "VeRA (r=2048)"]
