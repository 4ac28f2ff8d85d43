"""The committed manifests, from which tables and figures know their cells, are those of the experiments as they are."""

import json

import pytest
from hydra import initialize_config_dir

from harness.plan import config, experiments
from harness.store import record
from papers import manifests
from tests.conftest import ROOT

COMMITTED = ROOT / manifests.OUT
NAMES = [name for name in experiments.names() if "columns" in experiments.read(name)]


def committed(name: str) -> dict:
    return json.loads((COMMITTED / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["table5", "table6", "figure4", "micro_table10", "micro_figure4"])
def test_a_committed_manifest_is_what_its_experiment_gives(name):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert manifests.manifest(name) == committed(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_committed_manifest_has_the_cells_and_overrides_of_its_experiment(name):
    stored = {
        (row["panel"], row["model"], row["method"], row["variant"], row["config"], row["targets"], metric): cell[
            "overrides"
        ]
        for row in committed(name)["rows"]
        for metric, cell in row["cells"].items()
    }
    listed = {
        (*(cell.row.get(key, "") for key in manifests.ROW), cell.column["metric"]): " ".join(cell.overrides)
        for cell in experiments.cells(experiments.read(name))
    }
    assert stored == listed


def identity(name: str, variant: str, config: str, metric: str = "GSM-8K", model: str = "Gemma-2B") -> str:
    keys = {"model": model, "method": "SVFT", "variant": variant, "config": config}
    rows = [row for row in committed(name)["rows"] if all(row[key] == value for key, value in keys.items())]
    return next(
        row["cells"][metric]["identity"] for row in rows if metric in row["cells"] and row["targets"] == "QKVUDOG"
    )


def test_a_run_that_several_tables_print_is_one_run():
    """Tables 1 and 5 and Figures 1 and 4 share SVFT-P on all layers of Gemma-2B, whichever benchmark they ask for."""
    assert len({identity(name, "P", "") for name in ("table1", "table5", "figure1", "figure4")}) == 1
    assert identity("table1", "P", "", "MATH") == identity("table1", "P", "")
    assert identity("table1", "R", "d=16") == identity("table5", "R", "d=16") != identity("table5", "R", "d=8")


def test_runs_that_differ_in_what_trains_them_have_identities_of_their_own():
    rows = committed("figure4")["rows"]
    assert len({row["cells"]["GSM-8K"]["identity"] for row in rows}) == len(rows) == 20


def test_a_record_has_the_identity_that_its_configuration_is_composed_to(composed):
    found, _ = record.find(ROOT / "runs" / "micro_gsm" / "micro_gemma" / "svft_plain")
    cfg = composed("task=micro_gsm", "model=micro_gemma", "method=svft_plain")
    assert config.identity(cfg) in {each.run["identity"] for each in found}


def test_the_drawn_patterns_are_those_of_the_code():
    stored = json.loads((COMMITTED / "patterns.json").read_text())
    assert stored == manifests.drawn_patterns()
    sizes = {name: len({tuple(entry) for entry in pattern["entries"]}) for name, pattern in stored.items()}
    K, d = manifests.DRAWN, manifests.DRAWN_D
    budget = K * (2 * d + 1) - d * (d + 1)
    assert sizes == {"plain": K, "banded": budget, "random": budget, "topk": budget}
