"""What the paper contradicts in itself: known cases are found, sound ones are not, and everything is computed."""

from decimal import Decimal

import pandas as pd
import pytest

from analysis.checks import claims as checks_claims
from analysis.checks import counts as checks_counts
from analysis.checks import errata, findings, params
from analysis.checks import scores as checks_scores
from analysis.load import paper
from analysis.load.records import Loaded
from tests.conftest import ROOT

RUNS = ROOT / "runs"


@pytest.fixture(scope="module")
def made():
    return pd.DataFrame([vars(finding) for finding in errata.findings(RUNS)])


def wrong(made, kind, where=""):
    found = made[(made["kind"] == kind) & ~made["holds"]]
    return found[found["where"].str.contains(where, regex=False)]


# Computed by hand from the printed cells.
CLAIMS = [
    ("SVFT-R (d=16) recovers 96 %", "95.0 %"), ("DoRA (r=16) recovers 86 %", "84.0 %"),
    ("better than VeRA by 15.5 %", "4.20 %"), ("better than VeRA by 1.16 %", "1.443 %"),
    ("75 % fewer parameters than DoRA", "53.0 %"), ("has 2500M parameters", "8000.0 M"),
    ("DoRA (r=8) is among the points", "DoRA (r=1), DoRA (r=4), DoRA (r=16)"),
    ("the row compared with is LoRA (r=16)", "LoRA (r=32), LoRA (r=1)"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "computed"), CLAIMS)
def test_a_claim_that_the_tables_contradict_is_found_with_its_computed_value(made, claim, computed):
    assert wrong(made, "claim", claim)["computed"].tolist() == [computed]


@pytest.mark.parametrize(
    "claim", ["from 0.006 %", "up to 0.25 %", "about 7 times", "fewer parameters than LoRA (r=32)"]
)
def test_a_claim_that_the_tables_bear_out_is_among_what_is_right(made, claim):
    found = made[(made["kind"] == "claim") & made["where"].str.contains(claim, regex=False)]
    assert found["holds"].tolist() == [True]


def test_all_printed_averages_and_differences_are_right(made):
    averages = made[made["kind"] == "average"]
    assert len(averages) == 8 + 8 + 9 + 3 and averages["holds"].all()


def test_the_mislabelled_row_is_named_by_the_count_it_has(made):
    (how,) = wrong(made, "count", "Table 8, Gemma-2B")["how"]
    assert how == "it is the count of DoRA (r=16) on the same layers (13,501,440)"


def test_the_layers_that_a_wrong_count_needs_are_searched(made):
    how = wrong(made, "count", "Table 1, Gemma-7B").set_index("where")["how"]
    assert how["Table 1, Gemma-7B, SVFT-P on QKVUDOG"] == "any 5 of the 7 layers of a block give it, as QKVUD (430,080)"
    assert "QKV alone gives it (430,080)" in how["Table 1, Gemma-7B, VeRA (r=1024) on GU"]
    assert how["Table 1, Gemma-7B, LoRA (r=1) on QKVUD"] == "it is the count of Gemma-2B (820,224)"


def test_every_count_that_is_not_reproduced_is_in_exactly_one_place(made):
    table = params.table(RUNS)
    recounted = made[made["how"].str.startswith("equal when")]
    assert len(recounted) == table["match"].isin(["rounded", "truncated"]).sum()
    rest = made[made["kind"].isin(["count", "slip"]) & made["where"].str.contains(" on ") & ~made["holds"]]
    assert len(rest) == (table["match"] == "no").sum() == 15


def test_the_closed_forms_agree_with_the_count_of_the_built_models():
    counted = params.table(RUNS)
    compared = 0
    for row in counted.itertuples():
        count = checks_counts.counted(row.model, row.method, row.variant, row.config, row.target_modules)
        if count is not None:
            assert count == row.params_computed, row
            compared += 1
    assert compared == counted["method"].isin(["LoRA", "DoRA", "VeRA", "SVFT"]).sum() - 2  # Table 6 states no layers


def test_the_formulas_of_table_7_are_evaluated_as_they_are_printed():
    formula = paper.table(7)["value"].iloc[-1]
    assert checks_counts.evaluated(formula, 126, 2048, "d=16") == 126 * (2048 * 16 + (2048 - 16) * 17)
    assert checks_counts.evaluated("L_tuned*D_model*(2r+1)", 90, 2048, "r=16") == 90 * 2048 * 33


@pytest.mark.parametrize("n", [277, 1172, 1319])
def test_a_score_is_attainable_exactly_where_some_number_of_right_answers_prints_so(n):
    possible = {f"{round(Decimal(100 * k) / n, 2):.2f}" for k in range(n + 1)}
    possible |= {f"{10000 * k // n / 100:.2f}" for k in range(n + 1)}
    for hundredths in range(10000):
        value = f"{hundredths / 100:.2f}"
        assert checks_scores._possible(value, n) == (value in possible), value


def test_scores_that_are_no_k_of_n_are_found_and_those_rounded_up_apart(made):
    unattainable = wrong(made, "attainable")
    assert {"12.13", "0.21"} == set(unattainable[unattainable["where"].str.contains("MATH")]["printed"])
    assert set(unattainable[unattainable["where"].str.contains("GSM-8K")]["printed"]) == {"73.50"}
    up = wrong(made, "slip")
    assert set(up[up["how"] == "equal only when rounded up"]["printed"]) == {
        "40.34",
        "76.81",
        "48.00",
        "75.90",
        "91.80",
    }


def test_a_pair_of_rows_that_share_two_scores_is_found_with_both(made):
    cells = wrong(made, "identical", "Table 1")["printed"].tolist()
    assert cells == ["Gemma-2B MATH 13.04; Gemma-7B MATH 26.28"]
    assert wrong(made, "coincidence", "Table 9")["printed"].tolist() == ["ViT-L/16 Resisc45 78.02"]


def test_rows_that_two_tables_print_differently_are_found_and_coarser_prints_are_not(made):
    repeated = wrong(made, "repeated").set_index("where")
    assert "Tables 4 and 9, ViT-B/16, LoRA (r=8), CIFAR100" in repeated.index
    assert repeated.loc["Tables 1 and 2, Gemma-7B, SVFT-P", ["printed", "computed"]].tolist() == ["0.43M", "0.51M"]
    assert not any("Tables 1 and 5" in where for where in repeated.index)  # 6.35M and 6.4M


@pytest.mark.parametrize(
    ("where", "shown", "script"),
    [
        ("Table 12, Gemma-2B, SVFT-R (d=16), lr", "1E-03", "5E-02"),
        ("Table 8, Gemma-2B, SVFT-B (d=16), variant", "B", "R"),
        ("Table 1, Gemma-2B, BOFT (b=8, m=2), target modules", "QV", "QVKO"),
        ("Table 6, Pythia-2.8B, SVFT, config", "not stated", "d=16"),
    ],
)
def test_where_a_script_sets_otherwise_than_the_paper_says_both_are_shown(made, where, shown, script):
    assert wrong(made, "script", where)[["printed", "computed"]].to_numpy().tolist() == [[shown, script]]


def test_the_hyper_parameters_of_a_row_that_has_no_result_are_found_and_the_reverse(made):
    found = wrong(made, "settings").set_index("where")["printed"]
    assert found["Table 13, Gemma-2B, SVFT-B (d=8)"] == "hyper-parameters"
    assert found["Table 8, Gemma-2B, SVFT-B (d=16)"] == "a result"


def test_a_finding_follows_the_reference_and_not_what_was_typed(monkeypatch):
    changed = findings.results().copy()
    svft = (changed["label"] == "SVFT-R (d=16)") & (changed["model"] == "Gemma-2B") & (changed["metric"] == "GSM-8K")
    changed.loc[svft, "value"] = "50.60"
    monkeypatch.setattr(findings, "results", lambda: changed)
    monkeypatch.setattr(findings, "_by_name", findings._by_name.__wrapped__)  # not what is remembered of the reference
    claim = next(finding for finding in checks_claims.claims() if "recovers 96 %" in finding.where)
    assert claim.holds and claim.computed == "96.0 %" and "50.60" in claim.how


def test_a_cell_that_is_not_printed_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no cell '1\|Gemma-2B\|LoRA\|\|r=2\|MATH' is printed"):
        findings.cell("1|Gemma-2B|LoRA||r=2|MATH")


@pytest.mark.parametrize(("printed", "low", "high"), [("0.27M", 265_000, 280_000), ("49.2K", 49_150, 49_300)])
def test_what_is_printed_stands_for_the_counts_that_round_or_are_cut_to_it(printed, low, high):
    assert findings.spread(printed) == (low, high)


def test_the_page_counts_what_it_lists_and_gives_every_kind_its_severity(made):
    page = errata.page(errata.findings(RUNS))
    assert f"{(~made['holds']).sum()} of {len(made)} checks do not hold" in page
    assert f"## Checked and right: {made['holds'].sum()}" in page
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| Where", "| :--"))]
    assert len(rows) == (~made["holds"]).sum()
    assert set(made["kind"]) == set(errata.KINDS)


def test_the_committed_page_is_what_the_reference_gives():
    for ending, content in errata.makers(Loaded(RUNS, [], []))["errata"]().files().items():
        assert content == (ROOT / "analysis" / "output" / f"errata.{ending}").read_bytes()


def test_golds_that_end_in_a_full_stop_lower_the_highest_score_of_the_released_scoring(made):
    (row,) = wrong(made, "gold").itertuples()
    assert (row.printed, row.computed) == ("2 of 5,000", "at most 99.96 %")  # 4,998 / 5,000
    assert row.how.endswith("\\frac{7}{5} + \\frac{1}{5} i.")
