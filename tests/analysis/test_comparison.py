"""Methods on equal terms: what is compared, at which rate, and what is shown to be absent."""

import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from analysis.figures import studies
from analysis.figures.style import STYLE, matplotlib
from analysis.load import paper
from analysis.load.records import load
from analysis.pages import comparison
from analysis.statistics.experiments import experiments as joined
from harness.plan import experiments
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built

PANELS = {"one": cases.column("GSM") | {"panel": "one", "reference": "LoRA (r=8)"},
          "two": cases.column("digits") | {"panel": "two", "reference": "Head"}}  # fmt: skip
LORA = cases.row("Gemma", "LoRA", "r=8", metrics=["GSM"], panel="one", params=800)
SVFT = cases.row("Gemma", "SVFT", variant="P", metrics=["GSM"], panel="one", params=100)
NONE = cases.row("Gemma", "None", metrics=["GSM"], panel="one", params=0)
HEAD = cases.row("ViT", "Head", metrics=["digits"], panel="two", params=0)
FULL = cases.row("ViT", "Full-FT", metrics=["digits"], panel="two", params=9000)
TRAIN = {"max_steps": 10, "select_best": False}


@pytest.fixture
def runs(tmp_path):
    cases.write(tmp_path / "runs", "compare", list(PANELS.values()), [LORA, SVFT, NONE, HEAD, FULL])
    return tmp_path / "runs"


def items(count: int, n: int = 200) -> dict:
    return cases.entry("1" * count + "0" * (n - count))


def ran(add, row: dict, seed: int, count: int, lr: float = 1e-2, **changes) -> None:
    config = {"train": {"lr": lr, **TRAIN}, "recipe": {"name": "clean"}}
    cases.ran(add, row, seed, {PANELS[row["panel"]]["benchmark"]: items(count)}, **{"config": config, **changes})


def searched(add, row: dict, rates: dict[float, int], seeds: int = 1) -> None:
    """Runs that were scored on validation data alone: rate -> right answers."""
    for lr, count in rates.items():
        for seed in range(seeds):
            labels = {"method": row["id"], "task": "t", "model": "m", "recipe": "paper", "seed": seed,
                      "label": row["method"], "variant": row["variant"]}  # fmt: skip
            splits = {"gsm": {"validation": items(count)}}
            config = {"train": {"lr": lr, **TRAIN}, "recipe": {"name": "clean"}}
            add(f"{row['method']} {lr}", seed, {"legacy": "1"}, method=row["id"], run=labels, config=config,
                scores=splits)  # fmt: skip


def table(runs) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    loaded = load(runs)
    (experiment,) = joined(loaded).values()
    frame = comparison.numbers(loaded, experiment.name)
    return frame, comparison.text(frame).set_index("Method"), list(comparison.notes(experiment, frame))


def test_each_panel_is_compared_with_a_reference_of_its_own(add, runs):
    for seed in range(3):
        ran(add, LORA, seed, 100)
        ran(add, SVFT, seed, 140 + seed)
        ran(add, HEAD, seed, 100)
        ran(add, FULL, seed, 101)
    _, shown, notes = table(runs)
    assert shown.loc["LoRA (r=8)", "Verdict"] == shown.loc["Head", "Verdict"] == "reference"
    assert shown.loc["SVFT-P", ["Score (%)", "Difference", "Verdict"]].tolist() == [
        "70.5 [70.0, 71.0]", "+20.5 [+20.0, +21.0]", "better",
    ]  # fmt: skip
    assert shown.loc["Full-FT", ["Difference", "Verdict"]].tolist() == ["+0.5 [+0.5, +0.5]", "tie"]
    assert shown.index.tolist() == ["**one**", "LoRA (r=8)", "SVFT-P", "None", "**two**", "Head", "Full-FT"]
    assert notes[0] == "Reference and scorer: one: LoRA (r=8), legacy; two: Head, legacy."


def test_what_was_not_run_is_empty_and_never_zero(add, runs, tmp_path):
    ran(add, LORA, 0, 100)
    built(runs, tmp_path / "out", "compare")
    for suffix in ("csv", "md", "tex"):
        assert "nan" not in (tmp_path / "out" / f"compare.{suffix}").read_text().lower()
    _, shown, _ = table(runs)
    assert shown.loc["SVFT-P"].tolist() == ["100", "QV", "", "", "", "", "", ""]
    assert shown.loc["LoRA (r=8)", ["Seeds", "Score (%)", "Difference"]].tolist() == ["1", "50.0 ± 3.5", ""]


def test_a_rate_stands_beside_the_search_that_picked_it(add, runs):
    searched(add, LORA, {1e-3: 20, 3e-3: 40, 3e-2: 30})
    ran(add, LORA, 0, 100, lr=3e-3)
    frame, shown, notes = table(runs)
    assert shown.loc["LoRA (r=8)", ["Rate", "Tried"]].tolist() == ["0.003", "3 × 1"]
    assert frame.loc[0, ["rates", "picked", "search_seeds"]].tolist() == ["0.001 0.003 0.03", 0.003, 1]
    assert any(note.endswith("whose best mean was picked: 0.001, 0.003, 0.03.") for note in notes)


@pytest.mark.parametrize(("used", "mark"), [(3e-2, "‡"), (1e-3, "†")])
def test_a_rate_at_the_end_of_the_grid_and_one_that_is_not_the_best_are_marked(add, runs, used, mark):
    searched(add, LORA, {1e-3: 40, 3e-3: 30, 3e-2: 20})
    ran(add, LORA, 0, 100, lr=used)
    _, shown, notes = table(runs)
    assert shown.loc["LoRA (r=8)", "Rate"] == f"{used:g}{mark}"
    assert any(note.startswith(f"{mark}: ") for note in notes)


def test_a_search_at_another_number_of_steps_is_not_the_search_of_a_row(add, runs):
    searched(add, LORA, {1e-3: 20, 3e-3: 40})
    config = {"train": {"lr": 3e-3, **TRAIN, "max_steps": 20}, "recipe": {"name": "clean"}}
    ran(add, LORA, 0, 100, config=config)
    _, shown, notes = table(runs)
    assert shown.loc["LoRA (r=8)", "Tried"] == ""
    assert "No search is among these records: Gemma LoRA (r=8)." in notes


def test_searches_of_other_grids_are_named_with_whose_they_are(add, runs):
    searched(add, LORA, {1e-3: 20, 3e-3: 40})
    searched(add, SVFT, {1e-2: 40, 3e-3: 20, 1e-3: 20}, seeds=2)
    ran(add, LORA, 0, 100, lr=3e-3)
    ran(add, SVFT, 0, 100, lr=1e-2)
    _, shown, notes = table(runs)
    assert shown.loc["SVFT-P", "Tried"] == "3 × 2"
    assert any("0.001, 0.003 (Gemma LoRA (r=8)); 0.001, 0.003, 0.01 (Gemma SVFT-P)." in note for note in notes)


def test_what_trains_nothing_has_no_rate_and_is_not_called_unsearched(add, runs):
    ran(add, NONE, 0, 10, train={"steps": 0}, parameters={"adapter": 0, "head": 0, "frozen": 9})
    ran(add, LORA, 0, 100)
    _, shown, notes = table(runs)
    assert shown.loc["None", ["Trained", "Rate", "Tried"]].tolist() == ["0", "", ""]
    assert shown.loc["None", "Difference"] == "-45.0"
    assert not any("None" in note for note in notes)


def test_the_count_of_a_run_is_the_one_that_was_realised(add, runs):
    ran(add, LORA, 0, 100, parameters={"adapter": 777, "head": 0, "frozen": 9})
    assert table(runs)[1].loc["LoRA (r=8)", "Trained"] == "777"


def test_a_reference_that_is_no_row_is_refused_with_the_rows_there_are(tmp_path):
    column = cases.column("GSM") | {"panel": "one", "reference": "LoRA (r=9)"}
    cases.write(tmp_path / "runs", "compare", [column], [LORA, SVFT])
    with pytest.raises(ValueError, match=r"no row 'LoRA \(r=9\)' to compare with; there are: LoRA \(r=8\), SVFT-P"):
        table(tmp_path / "runs")


def test_experiments_without_a_reference_are_left_to_other_pages(tmp_path):
    cases.write(tmp_path / "runs", "table1", [cases.column("GSM")], [LORA], table=1)
    assert comparison.makers(load(tmp_path / "runs")) == {}


def test_every_row_of_the_comparison_has_one_column_and_its_reference_is_a_row():
    experiment = experiments.read("comparison")
    for row in experiment["rows"]:
        (column,) = [each for each in experiment["columns"] if experiments.belongs(each, row)]
        labels = [paper.label({"variant": "", "config": "", **other}) for other in experiment["rows"]
                  if other["panel"] == row["panel"]]  # fmt: skip
        assert column["reference"] in labels
    runs = experiments.runs(experiment)
    assert len(set(runs)) == len(experiment["rows"])


def test_the_figure_has_a_panel_for_each_and_no_label_covers_another(add, runs):
    for seed in range(3):
        ran(add, LORA, seed, 100 + seed, parameters={"adapter": 800, "head": 0})
        ran(add, SVFT, seed, 101 + seed, parameters={"adapter": 800, "head": 0})
        ran(add, NONE, seed, 98, train={"steps": 0}, parameters={"adapter": 0, "head": 0})
        ran(add, HEAD, seed, 100, parameters={"adapter": 0, "head": 9})
        ran(add, FULL, seed, 101, parameters={"adapter": 9000, "head": 9})
    loaded = load(runs)
    with matplotlib.rc_context(STYLE):
        whole = studies.pareto_figure(comparison.numbers(loaded, "compare"))
    assert [ax.get_title(loc="left") for ax in whole.axes] == ["one", "two"]
    for ax, labels in zip(whole.axes, ({"LoRA (r=8)", "SVFT-P", "None"}, {"Head", "Full-FT (9K)"}), strict=True):
        texts = [text for text in ax.texts if text.get_text()]
        assert {text.get_text() for text in texts} == labels
        boxes = [text.get_window_extent() for text in texts]
        assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert list(studies.makers(loaded)) == ["pareto_compare"]


LOSS = cases.column("loss") | {"panel": "one", "reference": "LoRA (r=8)", "better": "lower"}


def test_a_loss_is_in_nats_less_of_it_is_better_and_its_test_is_students_of_the_items(add, tmp_path):
    rows = [cases.row("Gemma", "LoRA", "r=8", metrics=["loss"], panel="one", params=800),
            cases.row("Gemma", "SVFT", variant="P", metrics=["loss"], panel="one", params=100)]  # fmt: skip
    cases.write(tmp_path / "runs", "compare", [LOSS], rows)
    losses = {0: [0.5 + 0.01 * (item % 7) for item in range(40)], 1: [0.3 + 0.02 * (item % 5) for item in range(40)]}
    for number, row in enumerate(rows):
        for seed in range(3):
            values = [value + 0.001 * seed for value in losses[number]]
            score = {"mean": sum(values) / 40, "standard_error": 0.01, "unparsed": 0.0, "items": None, "values": values}
            split = {"metric": "answer_loss", "n": 40, "majority": None, "scorers": {"legacy": score}}
            cases.ran(add, row, seed, {"loss": split})
    frame, _, _ = table(tmp_path / "runs")
    shown = comparison.text(frame, ["loss"]).set_index("Method")
    assert shown.index[0] == "**one (nats, lower is better)**"
    assert shown.loc["LoRA (r=8)", "Score (%)"] == "0.530 [0.529, 0.531]"
    assert shown.loc["SVFT-P", ["Difference", "Verdict"]].tolist() == ["-0.189 [-0.189, -0.189]", "better"]
    by_item = [3 * (b - a) for a, b in zip(losses[0], losses[1], strict=True)]
    assert frame.loc[1, "p"] == pytest.approx(ttest_1samp(by_item, 0).pvalue, rel=1e-6)


def test_a_run_that_is_scored_in_two_panels_has_a_difference_of_its_own_in_each(add, tmp_path):
    both = ("dev", "unused")
    columns = [cases.column(name) | {"panel": name, "reference": "LoRA (r=8)"} for name in both]
    lora = cases.row("Gemma", "LoRA", "r=8", metrics=both)
    svft = cases.row("Gemma", "SVFT", variant="P", metrics=both)
    cases.write(tmp_path / "runs", "compare", columns, [lora, svft])
    for seed in range(3):
        cases.ran(add, lora, seed, {"dev": items(100), "unused": items(100)})
        cases.ran(add, svft, seed, {"dev": items(140), "unused": items(80)})
    frame, _, _ = table(tmp_path / "runs")
    found = frame[frame["label"] == "SVFT-P"].set_index("metric")
    assert found["difference"].to_dict() == {"dev": 0.2, "unused": -0.1}
    assert found["verdict"].to_dict() == {"dev": "better", "unused": "worse"}


def test_a_panel_with_one_row_that_was_run_is_left_out_of_the_figure(add, runs):
    for seed in range(3):
        ran(add, LORA, seed, 100 + seed)
        ran(add, SVFT, seed, 101 + seed)
        ran(add, HEAD, seed, 100)
    with matplotlib.rc_context(STYLE):
        whole = studies.pareto_figure(comparison.numbers(load(runs), "compare"))
    assert [ax.get_title(loc="left") for ax in whole.axes] == ["one"]
