"""Experiments: rows and columns become runs, Hydra's sweeper starts them, and a plan starts nothing."""

import csv
import itertools
import re
from collections import Counter
from functools import cache

import pytest

from errors import SettingError
from harness.plan import config, experiments, overview
from tests.conftest import ROOT
from tests.processes import call

REFERENCE = ROOT / "analysis" / "reference"
NAMES = experiments.names()
PAPER = [name for name in NAMES if re.fullmatch(r"(table|figure)\d+", name)]


def printed(name: str) -> set[tuple[str, ...]]:
    """(model, method, variant, config, metric) of every number of a table, from the printed values."""
    [path] = REFERENCE.glob(f"table{int(name.removeprefix('table')):02d}_*.csv")
    with path.open(encoding="utf-8") as file:
        return {
            tuple(row[k] for k in ("model", "method", "variant", "config", "metric")) for row in csv.DictReader(file)
        }


def listed(name: str) -> set[tuple[str, ...]]:
    """The same of an experiment, columns that are computed from others included."""
    experiment = experiments.read(name)
    return {
        (row["model"], row["method"], row.get("variant", ""), row.get("config", ""), column["metric"])
        for row, column in itertools.product(experiment["rows"], experiment["columns"])
        if experiments.belongs(column, row)
    }


@pytest.mark.parametrize("name", [name for name in PAPER if name.startswith("table")])
def test_an_experiment_lists_exactly_the_cells_that_its_table_prints(name):
    assert listed(name) == printed(name)


@pytest.mark.parametrize(("name", "panels"), [("figure1", 2), ("figure4", 1), ("figure5", 2)])
def test_an_experiment_lists_exactly_the_points_that_its_figure_plots(name, panels):
    with (REFERENCE / "figure_points.csv").open(encoding="utf-8") as file:
        wanted = [row for row in csv.DictReader(file) if row["figure"].startswith(f"F{name[-1]}")]
    columns = ("model", "method", "variant", "config", "target_modules")
    plotted = {(row["figure"].partition("-")[2], *(row[k] for k in columns)) for row in wanted}
    rows = experiments.read(name)["rows"]
    keys = ("panel", "model", "method", "variant", "config", "targets")
    assert {tuple(row.get(k, "") for k in keys) for row in rows} == plotted
    assert len(rows) == len(wanted)
    assert len({row.get("panel") for row in rows}) == panels


def test_figure_4_is_every_set_of_layers_with_every_width():
    runs = experiments.runs(experiments.read("figure4"))
    chosen = [dict(item.split("=", 1) for item in run) for run in runs]
    sets = [(c["method.targets"], c.get("method.adapter.d", "plain")) for c in chosen]
    assert set(sets) == set(itertools.product(("QV", "QKV", "UD", "QKVUD", "QKVUDOG"), ("plain", "2", "4", "8")))
    assert len(sets) == 20


@pytest.mark.parametrize("name", PAPER)
def test_every_experiment_of_the_paper_has_a_micro_twin_with_the_same_methods(name):
    twin = experiments.read(f"micro_{name}")
    assert twin["twin_of"] == name
    original = experiments.read(name)
    assert {row["method"] for row in twin["rows"]} == {row["method"] for row in original["rows"]}


@cache
def runs_with_new_pairs() -> dict[str, list[tuple[str, ...]]]:
    """Of each experiment the runs in which two overrides meet that meet in no other; a seed composes nothing."""
    found = {}
    for name in NAMES:
        for run in experiments.expand(experiments.read(name), ["task=micro_gsm"] if name == "lr_search" else []):
            single = (item for item in run if not re.search(r"=[^\[{]*,", item) and not item.startswith("seed="))
            found.setdefault(tuple(single), name)
    pairs = {run: set(itertools.combinations(sorted(run), 2)) for run in found}
    meetings = Counter(itertools.chain.from_iterable(pairs.values()))
    for run in sorted(found, key=lambda run: len(pairs[run])):
        if all(meetings[pair] > 1 for pair in pairs[run]):
            meetings.subtract(pairs[run])
            del found[run]
    return {name: [run for run in found if found[run] == name] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_two_overrides_that_meet_in_a_run_compose_and_resolve_to_one_configuration(composed, name):
    """A model, a task, a recipe, a method and its options, each with each; three that meet may go unchecked."""
    for run in runs_with_new_pairs()[name]:
        cfg = composed(*run)
        assert config.resolve(cfg)["train"]["lr"] > 0 or cfg.method.lr == 0  # of what trains nothing


def test_a_column_of_one_model_leaves_out_the_rows_of_others():
    cells = list(experiments.cells(experiments.read("table4")))
    assert {(cell.row["model"], cell.column["metric"]) for cell in cells} == {
        ("ViT-B/16", "CIFAR100"), ("ViT-B/16", "Flowers102"), ("ViT-L/16", "Food101"), ("ViT-L/16", "Resisc45"),
    }  # fmt: skip


def test_what_the_command_line_says_wins_over_the_experiment():
    experiment = {"seeds": [0], "run": "recipe=paper", "rows": [{"run": "method=lora +method.adapter.bias=none"}]}
    [run] = experiments.expand(experiment, ["seed=3", "recipe=clean", "method.adapter.bias=all"])
    assert run == ["recipe=clean", "method=lora", "method.adapter.bias=all", "seed=3"]


def test_an_experiment_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SettingError, match=r"no experiment 'table7'; there are .*table1, table2, .*table10"):
        experiments.read("table7")


def test_an_experiment_is_several_runs_without_the_flag_for_several():
    assert experiments.several_runs(["experiment=table1", "plan=true"])[0] == "--multirun"
    assert experiments.several_runs(["-m", "experiment=table1"]) == ["-m", "experiment=table1"]
    assert experiments.several_runs(["method=lora"]) == ["method=lora"]


def test_a_plan_prints_every_run_with_state_and_memory_and_starts_nothing(tmp_path):
    done = call("experiment=micro_table10", "plan=true", f"runs_dir={tmp_path}", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert "8 runs" in done.stdout and "8 to do" in done.stdout
    assert done.stdout.count("GiB") == 8
    assert list(tmp_path.iterdir()) == []


def test_a_plan_knows_the_runs_that_are_done(composed):
    """The committed record of the default run is found by its identity."""
    found = overview.planned(composed("method=svft_plain"))
    assert found.state == "done"
    assert found.trained == 2816
    assert overview.planned(composed("method=svft_plain", "train.lr=0.5")).state == overview.TO_DO


def test_an_unknown_experiment_ends_with_a_sentence_and_not_zero():
    failed = call("experiment=table7", "plan=true")
    assert failed.returncode != 0
    assert "table10" in failed.stderr and "Traceback" not in failed.stderr


def test_runs_that_the_command_line_makes_equal_are_one():
    jobs = experiments.expand(experiments.read("micro_table3"), ["task=micro_sst2"])
    assert len(jobs) == len(experiments.read("micro_table3")["rows"])
