"""What tasks lose when adapters are fused: joined by what is fused, compared with the task alone, or absent."""

import math

import pytest

from analysis.load.records import load
from analysis.pages import fusion
from analysis.statistics.experiments import experiments as joined
from harness.plan import experiments
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built

TASKS = ["SST-2", "CoLA"]


def row(variant: str, method: str = "LoRA") -> dict:
    made = cases.row("DeBERTa", method, "r=4", variant=variant, metrics=TASKS, params=900)
    own = {task: cases.identity(f"{method} {variant} {task}") for task in TASKS}
    return made | {"cells": {task: {"identity": own[task], "overrides": "", "settings": {}} for task in TASKS}}


ROWS = {variant: row(variant) for variant in ("", "sum", "mean")}


@pytest.fixture
def runs(tmp_path):
    columns = [cases.column(task) for task in TASKS]
    cases.write(tmp_path / "runs", "fusion", columns, [ROWS["sum"], ROWS[""], ROWS["mean"], row("", "DoRA")])
    return tmp_path / "runs"


def ran(add, variant: str, task: str, seed: int, right: int, majority: float | None = None) -> None:
    part = ROWS[variant] | {"cells": {task: ROWS[variant]["cells"][task]}}
    value = cases.entry("1" * right + "0" * (100 - right), majority=majority)
    cases.ran(add, part, seed, {cases.column(task)["benchmark"]: value}, fingerprints={"data": task, "model": "m"})


def read(runs):
    (experiment,) = joined(load(runs)).values()
    return experiment


def table(runs):
    frame = fusion.numbers(read(runs))
    return frame, fusion.text(frame).set_index("Task")


def test_a_task_stands_alone_and_fused_with_what_it_lost(add, runs):
    for seed in range(3):
        ran(add, "", "SST-2", seed, 90 + seed)
        ran(add, "sum", "SST-2", seed, 90)
        ran(add, "mean", "SST-2", seed, 50 + seed)
    line = table(runs)[1].iloc[1]
    assert line["Alone"] == "91.0 [90.0, 92.0]"
    assert line[["Sum", "Sum - alone"]].tolist() == ["90.0 [90.0, 90.0]", "-1.0 [-2.0, 0.0] tie"]
    assert line[["Mean", "Mean - alone"]].tolist() == ["51.0 [50.0, 52.0]", "-40.0 [-40.0, -40.0] worse"]


def test_the_average_is_over_the_seeds_that_have_all_tasks_and_is_not_tested(add, runs):
    for seed in range(3):
        ran(add, "", "SST-2", seed, 80)
        ran(add, "sum", "SST-2", seed, 60)
    for seed in range(2):
        ran(add, "", "CoLA", seed, 60)
        ran(add, "sum", "CoLA", seed, 30 + 10 * seed)
    frame, shown = table(runs)
    assert shown.loc["Average", "Seeds"].iloc[0] == "2"
    assert shown.loc["Average", ["Alone", "Sum", "Sum - alone"]].iloc[0].tolist() == ["70.0", "47.5", "-22.5"]
    average = frame[(frame["task"] == "Average") & (frame["mode"] == "sum")].iloc[0]
    assert math.isnan(average["p"]) and average["verdict"] == "untested"


def test_what_was_not_run_is_empty_and_never_zero(add, runs, tmp_path):
    ran(add, "", "SST-2", 0, 90)
    built(runs, tmp_path / "out", "fusion")
    for suffix in ("csv", "md", "tex"):
        assert "nan" not in (tmp_path / "out" / f"fusion.{suffix}").read_text().lower()
    shown = table(runs)[1]
    assert shown.iloc[1].tolist() == ["", "1", "90.0 ± 3.0", "", "", "", ""]
    assert shown.loc["CoLA"].iloc[0].tolist() == [""] * 7


def test_a_group_is_named_once_with_the_parameters_of_one_adapter(runs):
    shown = table(runs)[1]
    names = [name for name in shown.index if name.startswith("**")]
    assert names == ["**LoRA (r=4)**", "**DoRA (r=4)**"]
    assert shown.loc["**LoRA (r=4)**", "Trained"] == "900"


def test_the_majority_class_stands_beside_a_score_where_records_know_it(add, runs):
    assert "Majority" not in table(runs)[1]
    ran(add, "", "SST-2", 0, 90, majority=0.52)
    shown = table(runs)[1]
    assert shown["Majority"].tolist()[1:3] == ["52.0", ""]


def test_holms_correction_is_over_all_tasks_and_modes_and_not_the_average(add, runs):
    """8 items lost of 100 in one task and mode, p = 2/256; nothing in the three others."""
    for task in TASKS:
        ran(add, "", task, 0, 50)
        ran(add, "sum", task, 0, 42 if task == "CoLA" else 50)
        ran(add, "mean", task, 0, 50)
    frame, _ = table(runs)
    lost = frame[(frame["task"] == "CoLA") & (frame["mode"] == "sum")].iloc[0]
    assert lost["p"] == pytest.approx(4 * 2 / 256) and lost["verdict"] == "worse"


def test_fused_runs_without_the_tasks_alone_are_refused(tmp_path):
    cases.write(tmp_path / "runs", "fusion", [cases.column(task) for task in TASKS], [ROWS["sum"]])
    with pytest.raises(ValueError, match=r"LoRA \(r=4\) has no row without a variant"):
        table(tmp_path / "runs")


def test_without_a_manifest_nothing_is_written(tmp_path, capsys):
    with pytest.raises(SystemExit):
        built(tmp_path, tmp_path / "out", "fusion")
    assert not (tmp_path / "out").exists() and "there is no page or figure 'fusion'" in capsys.readouterr().err


def test_the_experiment_trains_every_adapter_that_it_fuses():
    """The parts of each fused run, by their variants, are among the runs of the same method without a fusion."""
    experiment = experiments.read("fusion")
    chosen = [dict(item.split("=", 1) for item in run) for run in experiments.runs(experiment)]
    options = ("method", "task", "method.adapter.block", "method.targets", "method.adapter.r")
    trained = {tuple(run.get(option) for option in options) for run in chosen if run["method"] != "fusion"}
    fused = [run for run in chosen if run["method"] == "fusion"]
    assert len(fused) == 4 * 2 * 3
    for run in fused:
        for part in run["method.parts"].strip("{}").split(","):
            task, variant = part.split(":")
            rank, *block, targets = variant.split("-")
            assert (run["method.of"], task, *(block or [None]), targets, rank[1:]) in trained


def test_each_group_of_the_experiment_has_its_tasks_alone_summed_and_averaged():
    groups = fusion._groups({"rows": [{"variant": "", **row} for row in experiments.read("fusion")["rows"]]})
    assert [[row["variant"] for row in rows] for rows in groups.values()] == [["", "sum", "mean"]] * 3
