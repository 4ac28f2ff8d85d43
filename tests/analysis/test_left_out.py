"""A record that is not counted is told of once on stderr, and on every page and figure that would have used it."""

import json
import re
from pathlib import Path

import pytest

from analysis import program
from analysis.load.records import load
from harness.store import files
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built
from tests.analysis.test_training_strength import ROLES, VECTORS

COLUMN = cases.column("SST-2") | {"panel": "one"}
NAMES = (
    "table1",
    "comparison",
    "fusion",
    "vectorfit_strength",
    "figure5",
)  # of manifests with one row, the same
PAGES = {"t_m", "table1", "comparison", "fusion", "vectorfit_strength"}
FIGURES = {"pareto_t_m", "pareto_comparison", "figure5", "vectorfit_strength"}
TOLD = re.compile(r"Not counted: t/m/vectorfit/v-\w{8}/seed=\d/record\.json")


def row(name: str) -> dict:
    made = cases.row("M", "VectorFit", metrics=["SST-2"], panel="one", runs=name)
    for cell in made["cells"].values():
        cell["overrides"] = "task=t model=m"
    return made


@pytest.fixture
def runs(tmp_path):
    kinds = {"table1": {"table": 1}, "figure5": {"figure": "F5", "twin_of": "of"}}
    for name in NAMES:
        reference = {"reference": "VectorFit"} if name == "comparison" else {}
        cases.write(tmp_path / "runs", name, [COLUMN | reference], [row("shared")], **kinds.get(name, {}))
    cases.write(tmp_path / "runs", "of", [COLUMN], [], figure="F5")
    cases.write(tmp_path / "runs", "other", [COLUMN], [cases.row("M", "LoRA", metrics=["SST-2"], panel="one")], table=2)
    return tmp_path / "runs"


def ran(add, seed: int, config: dict | None = None) -> Path:
    strength = {"vectors": VECTORS, "steps": [0, 10], "values": [[0, 0], [0.1, 0.2]], "frozen": [], "frozen_at": []}
    train = {"steps": 10, "step_seconds": 1.0, "method": {"training_strength": strength}}
    config = config or {"train": {"lr": 1e-3}, "recipe": {"name": "clean"}, "model": {"roles": ROLES}}
    path = cases.ran(add, row("shared"), seed, {"sst2": cases.entry("1110")}, config=config, train=train)
    place = path.parents[5] / "t" / "m" / "vectorfit" / path.parents[1].name / path.parent.name / path.name
    place.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(place)


def truncated(path: Path) -> None:
    path.write_text(path.read_text()[:200])


def wrongly_sealed(path: Path) -> None:
    values = json.loads(path.read_text())
    values["parameters"]["adapter"] += 1
    files.write_json(path, values)


def told(runs: Path, command: str) -> set[str]:
    """The pages, or figures, that say what is not counted."""
    loaded = load(runs)
    made = {name: maker() for name, maker in program.makers(command, loaded, []).items()}
    if command == "plots":
        return {name for name, figure in made.items() if any(TOLD.match(f"Not counted: {s}") for s in figure.left_out)}
    return {name for name, page in made.items() if TOLD.search(page.files()["md"].decode().replace("\\", ""))}


@pytest.mark.parametrize("damage", [truncated, wrongly_sealed])
def test_a_damaged_record_is_told_of_on_every_page_and_figure_that_would_have_used_it(add, runs, damage, capsys):
    damage(ran(add, 0))
    ran(add, 1)
    assert told(runs, "tables") == PAGES
    assert told(runs, "plots") == FIGURES
    load(runs).tell()
    assert len(re.findall("^not counted: t/m/vectorfit/v-", capsys.readouterr().err, re.MULTILINE)) == 1


def test_where_no_other_seed_says_which_cell_it_was_for_all_pages_of_its_method_are_told(add, runs):
    truncated(ran(add, 0))
    assert told(runs, "tables") == PAGES  # and not `other`, which has no row of this method


def test_a_damaged_record_changes_no_page_but_by_its_note(add, runs):
    ran(add, 1)
    before = program.makers("tables", load(runs), [])["table1"]().files()
    truncated(ran(add, 0))
    after = program.makers("tables", load(runs), [])["table1"]().files()
    assert after["csv"] == before["csv"]
    assert after["md"].startswith(before["md"].rstrip(b"\n"))


def test_what_is_not_counted_in_a_figure_stands_below_it(add, runs, tmp_path):
    ran(add, 1)
    built(runs, tmp_path / "whole", "pareto_t_m", command="plots")
    truncated(ran(add, 0))
    built(runs, tmp_path / "noted", "pareto_t_m", command="plots")
    height = [float(re.search(r'viewBox="0 0 \S+ (\S+)"', (tmp_path / folder / "pareto_t_m.svg").read_text())[1])
              for folder in ("whole", "noted")]  # fmt: skip
    assert height[1] > height[0]
