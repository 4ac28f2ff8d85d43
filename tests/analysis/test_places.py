"""What a run is does not depend on where its files lay: two paths are one row, in the tables and in the paper's."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from analysis.load.records import load
from analysis.pages.results import makers, results
from analysis.statistics.experiments import experiments
from harness.store import record
from tests.conftest import ROOT

TABLE = "micro_table4"


@pytest.fixture(scope="module")
def original() -> record.Record:
    """A committed record that is in a cell of TABLE."""
    cells = set((ROOT / "runs" / "experiments" / f"{TABLE}.json").read_text().split('"'))
    found = (each for each in load(ROOT / "runs").records if each.run["identity"] in cells and each.status == "done")
    return next(found)


@pytest.fixture
def runs(tmp_path) -> Path:
    for name in (TABLE, "table4"):
        (tmp_path / "experiments").mkdir(exist_ok=True)
        shutil.copy(ROOT / "runs" / "experiments" / f"{name}.json", tmp_path / "experiments")
    return tmp_path


def write(runs: Path, value: record.Record, key: str = "", seed: int | None = None, **changes) -> None:
    """A record as it is, or of another key, seed, or section of the configuration."""
    fields = asdict(value)
    fields |= {"key": key or value.key, "run": fields["run"] | {"identity": "as older records say"}}
    if seed is not None:
        fields["run"]["seed"] = fields["config"]["seed"] = seed
    for section, options in changes.items():
        fields["config"][section] |= options
    run = fields["run"]
    folder = runs / run["task"] / run["model"] / run["method"] / f"v-{fields['key'][:8]}" / f"seed={run['seed']}"
    record.write(folder / record.FILE, record.Record(**fields))


ELSEWHERE = {"model": {"checkpoint": "/another/folder", "revision": "abc"}, "train": {"micro_batch_size": 1}}


def test_a_run_from_another_folder_and_in_smaller_pieces_reaches_the_papers_table(runs, original):
    write(runs, original, "f" * 64, **ELSEWHERE)
    cells = experiments(load(runs))[TABLE].cells
    assert cells[cells["identity"] == original.run["identity"]]["seeds"].unique().tolist() == [1]


def test_seeds_that_were_run_from_two_paths_are_one_row(runs, original):
    write(runs, original, seed=0)
    write(runs, original, "f" * 64, seed=1, **ELSEWHERE)
    (result,) = results(load(runs))
    assert result.rows["seeds"].tolist() == [2]


def test_one_row_and_seed_from_two_paths_counts_once_and_is_told_where_it_would_have_been_used(runs, original, capsys):
    write(runs, original)
    write(runs, original, "f" * 64, **ELSEWHERE)
    loaded = load(runs)
    (result,) = results(loaded)
    assert result.rows["seeds"].tolist() == [1]
    (said,) = [note for note in result.notes if "is there twice, of the same data and base from two places" in note]
    assert said.startswith("Not counted: ") and experiments(loaded)[TABLE].left_out == [said[len("Not counted: ") : -1]]
    loaded.tell()
    assert capsys.readouterr().err.count("is there twice") == 1
    assert list(makers(loaded)) == [result.name]
