"""The paper's tables beside what was reproduced: joined, compared, and absent where nothing was run."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.load import paper
from analysis.load.records import load
from analysis.pages import paper_tables
from analysis.pages.paper_notes import notes
from analysis.statistics import cells
from analysis.statistics.experiments import experiments
from errors import RecordError
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built

GSM, MATH = cases.column("GSM-8K"), cases.column("MATH")
SVFT = cases.row("Gemma-2B", "SVFT", "d=16", variant="R", metrics=["GSM-8K", "MATH"], targets="QKVUDOG", params=6352416)
LORA = cases.row("Gemma-2B", "LoRA", "r=32", metrics=["GSM-8K", "MATH"], targets="QKVUD", params=26247168)


def items(right: int, n: int) -> dict:
    return cases.entry("1" * right + "0" * (n - right))


@pytest.fixture
def runs(tmp_path):
    cases.write(tmp_path / "runs", "table1", [GSM, MATH], [LORA, SVFT], table=1)
    return tmp_path / "runs"


def only(runs):
    (experiment,) = experiments(load(runs)).values()
    return experiment


def shown(experiment, label):
    frame = paper_tables.text(experiment)
    return frame[frame.iloc[:, 0] == label].iloc[0]


def cell(experiment, label, metric):
    frame = experiment.cells
    return frame[(frame["label"] == label) & (frame["metric"] == metric)].iloc[0]


def test_a_reproduced_cell_stands_beside_the_printed_one_with_interval_difference_and_verdict(add, runs):
    for seed, right in enumerate((640, 660, 680)):
        cases.ran(add, SVFT, seed, {"gsm8k": items(right, 1319), "math": items(700, 5000)})
    row = shown(only(runs), "SVFT-R (d=16)")
    assert row["GSM-8K"] == "50.0 [48.5, 51.6] (+0.0, =)" and row["GSM-8K printed"] == "50.03"
    assert row["MATH"] == "14.0 [14.0, 14.0] (-1.6, <)" and row["MATH printed"] == "15.56"
    assert (row["Params printed"], row["Params counted"], row["Seeds"]) == ("6.35M", "6,352,416", "3")


def test_what_was_not_run_is_empty_and_never_zero_or_nan(add, runs, tmp_path):
    cases.ran(add, SVFT, 0, {"gsm8k": items(660, 1319)})
    assert shown(only(runs), "LoRA (r=32)")[["GSM-8K", "MATH", "Seeds"]].tolist() == ["", "", ""]
    assert shown(only(runs), "SVFT-R (d=16)")["MATH"] == ""
    built(runs, tmp_path / "out")
    for suffix in ("csv", "md", "tex"):
        assert "nan" not in (tmp_path / "out" / f"table1.{suffix}").read_text().lower()
    numbers = pd.read_csv(tmp_path / "out" / "table1.csv").set_index(["label", "metric"])
    assert numbers.loc[("LoRA (r=32)", "GSM-8K"), ["reproduced", "low", "difference", "noise", "verdict"]].isna().all()
    assert numbers.loc[("LoRA (r=32)", "GSM-8K"), ["printed", "seeds"]].tolist() == [43.06, 0]


def test_the_noise_of_one_seed_is_that_of_two_binomial_shares(add, runs):
    cases.ran(add, SVFT, 0, {"gsm8k": items(650, 1319)})
    value = cell(only(runs), "SVFT-R (d=16)", "GSM-8K")
    p, q = 0.5003, 650 / 1319
    expected = stats.norm.ppf(0.975) * math.sqrt((p * (1 - p) + q * (1 - q)) / 1319) * 100
    assert value["noise"] == pytest.approx(expected, rel=1e-4)
    assert value["difference"] == pytest.approx(100 * q - 50.03)


@pytest.mark.parametrize(
    ("right", "verdict"), [(610, "inside noise"), (609, "lower"), (710, "inside noise"), (711, "higher")]
)
def test_a_verdict_changes_where_the_difference_leaves_the_noise(add, runs, right, verdict):
    cases.ran(add, SVFT, 0, {"gsm8k": items(right, 1319)})
    assert cell(only(runs), "SVFT-R (d=16)", "GSM-8K")["verdict"] == verdict


def test_the_error_of_three_seeds_is_that_of_their_bootstrap():
    means = [0.41, 0.44, 0.48, 0.43]
    scores = [cells.Score(mean, 0.01, 100, True) for mean in means]
    resampled = stats.bootstrap((means,), np.mean, n_resamples=20000, rng=np.random.default_rng(0), method="percentile")
    assert cells.seeds_error(scores) == pytest.approx(resampled.standard_error, rel=0.02)


def test_an_average_is_there_only_where_all_its_parts_are(add, tmp_path):
    columns = [cases.column("BoolQ"), cases.column("PIQA"), {"metric": "Average", "mean_of": ["BoolQ", "PIQA"]}]
    one, other = (cases.row("Gemma-2B", "LoRA", f"r={r}", metrics=["BoolQ", "PIQA"]) for r in (1, 32))
    cases.write(tmp_path / "runs", "table8", columns, [one, other], table=8)
    cases.ran(add, one, 0, {"boolq": items(60, 100), "piqa": items(300, 400)})
    cases.ran(add, other, 0, {"boolq": items(60, 100)})
    experiment = only(tmp_path / "runs")
    average = cell(experiment, "LoRA (r=1)", "Average")
    assert average["reproduced"] == pytest.approx((0.6 + 0.75) / 2)
    assert average["error"] == pytest.approx(math.sqrt(0.6 * 0.4 / 100 + 0.75 * 0.25 / 400) / 2)
    assert shown(experiment, "LoRA (r=32)")["Average"] == "" and shown(experiment, "LoRA (r=32)")["BoolQ"] != ""


def test_a_difference_of_two_columns_is_taken_seed_by_seed(add, tmp_path):
    names = ["GSM-8K@143K", "GSM-8K@39K"]
    columns = [*[cases.column(name, name) for name in names], {"metric": "Delta", "difference": names}]
    row = cases.row("Pythia-2.8B", "LoRA", metrics=names)
    cases.write(tmp_path / "runs", "table6", columns, [row], table=6)
    for seed, (late, early) in enumerate([(20, 10), (30, 21), (40, 32)]):
        cases.ran(add, row, seed, {names[0]: items(late, 100), names[1]: items(early, 100)})
    assert shown(only(tmp_path / "runs"), "LoRA")["Delta"] == "9.0 [8.0, 10.0] (+1.3, =)"


def test_the_custom_best_score_on_watched_data_stands_beside_the_selected_one(add, tmp_path):
    row = cases.row("DeBERTaV3-base", "DoRA", "r=4", metrics=["MNLI"])
    cases.write(tmp_path / "runs", "table3", [cases.column("MNLI", watched=True)], [row], table=3)
    watched = [{"step": 1, "score": 0.5}, {"step": 2, "score": 0.905}, {"step": 3, "score": 0.9}]
    cases.ran(add, row, 0, {"mnli": items(899, 1000)}, train={"watched": watched})
    experiment = only(tmp_path / "runs")
    assert shown(experiment, "DoRA (r=4)")["MNLI"] == "89.9 ± 1.0; best 90.5 (-0.0, =)".replace("-0.0", "+0.0")
    assert any(note.startswith("best: the highest score of any epoch") for note in notes(experiment))


def test_of_a_correlation_the_records_own_error_stands_for_the_printed_one_too(add, tmp_path):
    row = cases.row("DeBERTaV3-base", "DoRA", "r=4", metrics=["CoLA"])
    cases.write(tmp_path / "runs", "table3", [cases.column("CoLA")], [row], table=3)
    cases.ran(add, row, 0, {"cola": cases.entry(None, n=1043, mean=0.7, error=0.02)})
    assert cell(only(tmp_path / "runs"), "DoRA (r=4)", "CoLA")["noise"] == pytest.approx(196 * math.sqrt(2) * 0.02)


def test_the_majority_class_is_a_last_row_where_answers_are_classes(add, tmp_path):
    row = cases.row("Gemma-2B", "LoRA", "r=1", metrics=["BoolQ"])
    cases.write(tmp_path / "runs", "table8", [cases.column("BoolQ")], [row], table=8)
    cases.ran(add, row, 0, {"boolq": cases.entry("1101", majority=0.622)})
    last = paper_tables.text(only(tmp_path / "runs")).iloc[-1]
    assert (last.iloc[0], last["BoolQ"], last["BoolQ printed"]) == ("Majority class", "62.2", "")


def test_a_twin_has_reproduced_columns_alone_and_says_whose_twin_it_is(add, runs):
    twin = cases.row("Gemma-2B", "SVFT", "d=16", variant="R", metrics=["GSM-8K"], runs="micro")
    cases.write(runs, "table1_micro", [GSM], [twin], table=1, twin_of="table1")
    cases.ran(add, twin, 0, {"gsm8k": items(30, 100)})
    _, experiment = experiments(load(runs)).values()
    assert list(paper_tables.text(experiment).columns) == ["Gemma-2B", "Params counted", "Seeds", "GSM-8K"]
    assert next(notes(experiment)).startswith("Micro twin of Table 1")
    assert experiment.cells["printed"].isna().all()


def test_a_twin_of_nothing_is_refused_with_the_names_there_are(runs):
    cases.write(runs, "table9_micro", [GSM], [SVFT], twin_of="table9")
    with pytest.raises(ValueError, match=r"twin of 'table9', which has no manifest; there are: table1, table9_micro"):
        experiments(load(runs))


def test_a_run_that_is_there_twice_is_refused(add, runs):
    path = cases.ran(add, SVFT, 0, {"gsm8k": items(1, 2)})
    copy = path.parents[1] / "copy" / path.name
    copy.parent.mkdir()
    copy.write_text(path.read_text())
    with pytest.raises(RecordError, match="seed 0, is twice below"):
        only(runs)


def test_beside_nothing_right_stands_an_interval_and_the_verdict_knows_its_width(add, runs):
    cases.ran(add, SVFT, 0, {"gsm8k": items(0, 50)})
    experiment = only(runs)
    assert shown(experiment, "SVFT-R (d=16)")["GSM-8K"].startswith("0.0 [0.0, 7.1]")
    cell = experiment.cells[experiment.cells["seeds"] == 1].iloc[0]
    assert cell["error"] == pytest.approx(cell["high"] / (2 * 1.96))


def test_a_failed_run_is_not_counted_and_named_with_its_reason(add, runs):
    cases.ran(
        add, SVFT, 0, {"gsm8k": items(1, 2)}, status="failed", failure={"reason": "loss is not finite", "step": 3}
    )
    experiment = only(runs)
    assert shown(experiment, "SVFT-R (d=16)")["Seeds"] == ""
    assert "Not counted: Gemma-2B SVFT, seed 0, failed: loss is not finite." in list(notes(experiment))


def test_settings_that_all_share_are_said_once_and_the_others_with_whose_they_are(runs):
    hot = {"paper": {"lr": 0.05, "epochs": 2}, "authors_code": {"lr": 0.05, "epochs": 2}}
    cold = {"paper": {"lr": 0.001, "epochs": 2}, "authors_code": {"lr": 0.05, "epochs": 2}}
    rows = [cases.row("Gemma-2B", "SVFT", variant="P", metrics=["GSM-8K"], settings=hot, targets="QKVUDOG"),
            cases.row("Gemma-2B", "LoRA", "r=1", metrics=["GSM-8K"], settings=cold, targets="QKVUD")]  # fmt: skip
    cases.write(runs, "table1", [GSM], rows, table=1)
    said = list(notes(only(runs)))
    assert [note for note in said if "epochs" in note] == ["Recipe paper, all cells: epochs 2."]
    assert "Recipe paper, lr: 0.05 SVFT-P; 0.001 LoRA (r=1)." in said
    assert "Recipe authors_code, where it differs, all cells: lr 0.05." in said
    assert "Target modules: QKVUDOG SVFT-P; QKVUD LoRA (r=1)." in said


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 8, 9, 10])
def test_every_printed_value_of_a_table_is_found_by_its_row_and_column(number, tmp_path):
    lines = paper.table(number).to_dict("records")
    metrics = list(dict.fromkeys(line["metric"] for line in lines))
    keys = dict.fromkeys((line["model"], line["method"], line["config"], line["variant"]) for line in lines)
    rows = [cases.row(*key[:3], variant=key[3], metrics=metrics) for key in keys]
    cases.write(tmp_path / "runs", "t", [cases.column(metric) for metric in metrics], rows, table=number)
    experiment = only(tmp_path / "runs")
    assert experiment.cells["printed"].dropna().tolist() == [line["value"] for line in lines]
    assert not any(note.startswith("Not in the printed table") for note in notes(experiment))


def test_rows_of_several_models_stand_below_a_line_with_the_models_name(runs):
    other = cases.row("Gemma-7B", "LoRA", "r=32", metrics=["GSM-8K", "MATH"])
    cases.write(runs, "table1", [GSM, MATH], [LORA, other], table=1)
    frame = paper_tables.text(only(runs))
    assert frame["Method"].tolist() == ["**Gemma-2B**", "LoRA (r=32)", "**Gemma-7B**", "LoRA (r=32)"]
    assert frame["GSM-8K printed"].tolist() == ["", "43.06", "", "76.57"]


def test_every_line_of_the_latex_has_as_many_cells_and_no_bare_special_character(add, runs, tmp_path):
    for seed in range(3):
        cases.ran(add, SVFT, seed, {"gsm8k": items(900, 1319)})
    built(runs, tmp_path)
    text = (tmp_path / "table1.tex").read_text()
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {7}
    assert r"(+18.2, \textgreater{})" in text
    assert not re.search(r"(?<!\\)[%#_^~]", text)


def test_the_tables_are_the_same_bytes_each_time(add, runs, tmp_path):
    cases.ran(add, SVFT, 0, {"gsm8k": items(660, 1319)})
    for folder in ("one", "two"):
        built(runs, tmp_path / folder)
    for name in ("table1.csv", "table1.md", "table1.tex"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_long_csv_begins_with_what_its_readers_rely_on(runs, tmp_path):
    built(runs, tmp_path)
    header = (tmp_path / "table1.csv").read_text().splitlines()[0]
    assert header.startswith(
        "table,model,label,metric,printed,reproduced,low,high,seeds,difference,noise,verdict,identity"
    )
