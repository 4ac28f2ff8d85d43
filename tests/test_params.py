"""Parameter counts of the paper's tables: the code's, against a recount by formula and the printed values."""

import csv
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from analysis.checks import params
from harness.adapters.adapt import head_modules
from harness.models import bases
from harness.plan.config import register_resolvers
from harness.plan.counting import butterfly_extension
from papers import recount

ROOT = Path(__file__).resolve().parents[1]
COUNTS = ROOT / recount.COUNTS
EXPECTED = ROOT / "tests" / "analysis" / "data" / "param_expected.csv"
# Without the classification head; DeBERTa with its pooler.
TOTALS = {
    "gemma2b": 2_506_172_416, "gemma7b": 8_537_680_896, "llama3_8b": 8_030_261_248, "pythia_2_8b": 2_775_208_960,
    "deberta_v3_base": 184_422_144, "vit_b16": 85_798_656, "vit_l16": 303_301_632,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def resolvers():
    register_resolvers()


@pytest.fixture(scope="module")
def table():
    return params.table(ROOT / "runs")


def stored() -> list[dict]:
    return json.loads(COUNTS.read_text())


def one_row_per_method_and_model() -> list[dict[str, str]]:
    chosen = {}
    for row in recount.rows():
        chosen.setdefault((row["method"], row["model"]), row)
    return list(chosen.values())


@pytest.mark.parametrize("name", TOTALS)
def test_a_model_without_weights_has_the_parameters_of_the_real_one(name):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(overrides=[f"+model={name}"]).model
    model = bases.build(cfg, num_labels=7 if cfg.head else None)  # checks that every letter names one layer a block
    classifier = tuple(f"{module}." for module in head_modules(cfg.head)[-1:])  # a pooler before it is counted
    counted = [p for name, p in model.named_parameters() if not name.startswith(classifier)]
    assert sum(p.numel() for p in counted) == TOTALS[name]
    assert set(cfg.linear) == set(cfg.roles)


@pytest.mark.parametrize("row", one_row_per_method_and_model(), ids=lambda r: f"{r['method']}-{r['model']}")
def test_a_count_made_anew_is_the_stored_one(row):
    (entry,) = [e for e in stored() if all(str(e[k]) == row[k] for k in recount.KEY)]
    assert recount.recount(row) == entry


def test_every_row_is_what_the_formula_gives_and_has_the_expected_verdict(table):
    with EXPECTED.open(encoding="utf-8") as file:
        expected = list(csv.DictReader(line for line in file if not line.startswith("#")))
    rows = [[str(value) for value in row] for row in table[[*params.KEY, "params_computed", "match"]].to_numpy()]
    assert rows == [[row[k] for k in (*params.KEY, "params_expected", "match")] for row in expected]


def test_95_of_the_110_printed_counts_are_reproduced(table):
    assert len(table) == 110
    assert table["match"].value_counts().to_dict() == {"rounded": 84, "truncated": 11, "no": 15}


def test_each_count_that_is_not_reproduced_has_a_note(table):
    assert table.loc[table["match"] == "no", "note"].ne("").all()


def test_a_row_without_a_recount_is_empty_and_has_no_verdict(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "counts.json").write_text(json.dumps(stored()[:1]))
    shown, _ = params.text(params.table(tmp_path))
    assert shown.loc[0, "Computed"] == "2,506,172,416" and shown.loc[0, "Match"] == "rounded"
    assert shown.loc[1, ["Computed", "Match"]].tolist() == ["", ""]


def test_peft_is_left_as_it_was_after_a_count_of_boft():
    from peft.tuners.boft import layer

    before = layer.get_fbd_cuda, layer.BOFTLayer.perm2mat, layer.BOFTLayer.block_butterfly_perm
    with butterfly_extension("present"):
        assert layer.get_fbd_cuda is not before[0]
    assert before == (layer.get_fbd_cuda, layer.BOFTLayer.perm2mat, layer.BOFTLayer.block_butterfly_perm)
