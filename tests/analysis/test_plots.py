"""The Pareto figures: drawn what is there, legible, and the same bytes each time."""

import pandas as pd
import pytest
from matplotlib.text import Text

from analysis.figures import pareto as plots
from analysis.figures.style import STYLE, matplotlib
from analysis.load.methods import OTHER, methods
from analysis.load.records import load
from analysis.pages import results as pages
from tests.analysis.conftest import built


def results(runs):
    return pages.results(load(runs))


METHODS = [("full", "Full-FT", 10**6, 36), ("head", "Head", 0, 10), ("lora", "LoRA (r=1)", 4000, 20),
           ("lora", "LoRA (r=8)", 32000, 26), ("svft_plain", "SVFT-P", 900, 21), ("svft_banded", "SVFT-B", 9000, 28),
           ("svft_random", "SVFT-R", 9000, 29), ("mine", "Mine", 5000, 24)]  # fmt: skip


@pytest.fixture
def runs(add, tmp_path):
    for seed in range(3):
        for method, label, params, right in METHODS:
            items = "1" * (right + seed) + "0" * (40 - right - seed)
            counts = {"adapter": params, "head": 0, "frozen": 10**6}
            add(label, seed, {"strict": items}, method=method, parameters=counts)
    return tmp_path / "runs"


def test_full_fine_tuning_and_head_are_lines_and_the_others_points(runs):
    (result,) = results(runs)
    frame = plots.points(result, "toy").set_index("label")
    assert frame[frame["drawn"] == "line"].index.tolist() == ["Full-FT", "Head"]
    assert frame.loc["LoRA (r=1)", ["score", "low", "high"]].tolist() == pytest.approx([52.5, 50.0, 55.0])


def test_no_label_covers_another_or_leaves_the_axes(runs):
    (result,) = results(runs)
    with matplotlib.rc_context(STYLE):
        ax = plots.pareto(result).axes[0]
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    assert len(boxes) == len(METHODS)
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    frame = ax.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)


def test_methods_of_equally_many_parameters_stand_apart():
    labels = {"label": list("abc"), "method": list("abc"), "family": "SVFT", "drawn": "point"}
    frame = pd.DataFrame({**labels, "params": [900, 9000, 9000], "score": [1.0, 2.0, 2.0]})
    x = plots.dots(frame)["x"].tolist()
    assert x[0] == 900 and x[1] < 9000 < x[2] and x[2] / x[1] < 1.05


def test_the_svg_has_no_date_and_is_the_same_each_time(runs, tmp_path):
    for folder in ("one", "two"):
        built(runs, tmp_path / folder, command="plots")
    for name in ("pareto_toy_tiny.svg", "pareto_toy_tiny.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "dc:date" not in (tmp_path / "one" / "pareto_toy_tiny.svg").read_text()


def test_each_family_of_the_order_of_methods_has_a_look_of_its_own():
    shown = methods()[methods()["drawn"] != "nowhere"]
    looks = shown.groupby("family")[["colour", "marker"]].agg(set)
    assert (looks.map(len) == 1).all(axis=None)  # methods of one family share it
    assert shown["colour"].nunique() == len(looks)
    points = shown[shown["drawn"] == "point"]
    markers = {*points["marker"], OTHER["marker"]}
    assert len(markers) == points["family"].nunique() + 1 and "" not in markers


def test_the_pre_trained_model_is_a_dotted_line_and_what_is_fused_is_not_drawn(add, tmp_path):
    nothing = {"parameters": {"adapter": 0, "head": 0}, "train": {"steps": 0}}
    add("Pre-trained", 0, {"strict": "0001"}, method="none", **nothing)
    add("Fusion", 0, {"strict": "0111"}, method="fusion", **nothing)
    (fused,) = results(tmp_path / "runs")
    assert plots._drawable(fused)
    add("LoRA", 0, {"strict": "0011"})
    (result,) = results(tmp_path / "runs")
    assert plots.points(result, "toy")["label"].tolist() == ["Pre-trained", "LoRA"]
    lines = plots.pareto(result).axes[0].lines
    assert [line.get_ydata()[0] for line in lines if line._unscaled_dash_pattern[1] == (1, 2)] == [25.0]


def test_what_is_fused_alone_makes_no_figure(add, tmp_path):
    add("Fusion", 0, {"strict": "0111"}, method="fusion", train={"steps": 0})
    built(tmp_path / "runs", tmp_path / "out", command="plots")
    assert not (tmp_path / "out").exists()


def test_a_line_joins_what_differs_by_a_number_alone():
    labels = {"label": ["LoRA (r=1)", "LoRA (r=8)", "VectorFit", "VectorFit (no AVF)"]}
    methods = {"method": ["lora", "lora", "vectorfit", "vectorfit"], "family": "LoRA", "drawn": "point"}
    frame = pd.DataFrame({**labels, **methods, "params": [1, 8, 2, 2], "score": 1.0})
    assert sorted(plots.dots(frame)["method"]) == ["VectorFit", "VectorFit (no AVF)", "lora", "lora"]


def test_of_two_lines_close_together_the_lower_is_named_below_it(add, tmp_path):
    for method, label, right in (("full", "Full-FT", 21), ("head", "Head", 20), ("lora", "LoRA", 1)):
        add(label, 0, {"strict": "1" * right + "0" * (40 - right)}, method=method, parameters={"adapter": 9, "head": 0})
    (result,) = results(tmp_path / "runs")
    with matplotlib.rc_context(STYLE):
        texts = {text.get_text(): text for text in plots.pareto(result).axes[0].texts}
    assert (texts["Full-FT (9)"].get_va(), texts["Head (9)"].get_va()) == ("bottom", "top")


def test_dollars_in_a_label_are_dollars(add, tmp_path):
    for label in ("$x_{1$", "LoRA ($5, not $6)"):
        add(label, 0, {"strict": "0011"})
    built(tmp_path / "runs", tmp_path / "figures", command="plots")
    assert len(list((tmp_path / "figures").glob("*.svg"))) == 1


def test_a_record_that_cannot_be_read_is_told(add, tmp_path, capsys):
    add("LoRA", 0, {"strict": "0011"}).write_text("{")
    add("LoRA", 1, {"strict": "0011"})
    built(tmp_path / "runs", tmp_path / "figures", command="plots")
    assert "not counted: toy/tiny/lora/v-" in capsys.readouterr().err


def test_one_method_alone_can_be_drawn(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"})
    built(tmp_path / "runs", tmp_path / "out", command="plots")
    assert (tmp_path / "out" / "pareto_toy_tiny.png").stat().st_size > 0


def test_several_benchmarks_are_panels_of_one_figure(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"}, benchmarks=["x", "y", "z"])
    (result,) = results(tmp_path / "runs")
    figure = plots.pareto(result)
    assert [ax.get_title(loc="left") for ax in figure.axes if ax.axison] == ["x", "y", "z", "average"]


def test_crowded_points_are_all_labelled_inside_the_figure(add, tmp_path):
    for place in range(12):
        items = "1" * (20 + place % 3) + "0" * (20 - place % 3)
        add(f"Method {place} (b=8, m=2)", 0, {"strict": items}, parameters={"adapter": 5000 + place, "head": 0})
    (result,) = results(tmp_path / "runs")
    with matplotlib.rc_context(STYLE):
        figure = plots.pareto(result)
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [Text.get_window_extent(text) for text in texts]  # without the line to the point
    assert sorted(text.get_text() for text in texts) == sorted(result.rows["label"])
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
