"""Claims judged by runs: every verdict, whose runs they are of, and what the pages and the figure say of them."""

import re

import numpy as np
import pandas as pd
import pytest

from analysis.checks import verdicts as pages
from analysis.figures import verdicts as forest
from analysis.load import hypotheses
from analysis.load.hypotheses import Contrast, Hypothesis, Row
from analysis.load.records import load
from analysis.statistics import estimates, evidence, stats, verdicts
from errors import RecordError
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built

TOY, MORE = cases.column("toy"), cases.column("more")
LORA = cases.row("M", "LoRA", "r=1", metrics=["toy"], targets="QKVUD", params=300)
PLAIN = cases.row("M", "SVFT", variant="P", metrics=["toy"], targets="QKVUD", params=100)
FEW = cases.row("M", "SVFT", variant="P", metrics=["toy"], targets="QV", params=40)
FULL = cases.row("M", "Full-FT", metrics=["toy"], targets="all weights", params=9000)
N = 240


@pytest.fixture
def claims(tmp_path, monkeypatch):
    """claims("[A] - [B]", ...): the file of claims h1, h2, ...; a dictionary has further columns."""

    def write(*given: str | dict) -> None:
        lines = [{"contrasts": each} if isinstance(each, str) else each for each in given]
        empty = dict.fromkeys(hypotheses.FIELDS, "") | {"kind": "above", "where": "abstract"}
        rows = [{**empty, "id": f"h{n}", "claim": f"Claim {n}", **line} for n, line in enumerate(lines, 1)]
        pd.DataFrame(rows).to_csv(tmp_path / "hypotheses.csv", index=False)
        monkeypatch.setattr(hypotheses, "PATH", tmp_path / "hypotheses.csv")

    return write


@pytest.fixture
def study(tmp_path):
    """study(row, ..., name=, columns=) is an experiment that is evidence."""

    def write(*rows: dict, name: str = "study", columns=(TOY,)) -> None:
        cases.write(tmp_path / "runs", name, columns, rows, evidence=True)

    return write


@pytest.fixture
def ran(add):
    """ran(row, share, ...): runs of a row, of whose verdicts this share is right, drawn anew for each seed."""

    def write(row: dict, share: float, seeds=range(4), benchmarks=("toy",), n: int = N) -> None:
        for seed in seeds:
            rng = np.random.default_rng([seed, sum(map(ord, row["cells"]["toy"]["identity"]))])
            drawn = {name: "".join(map(str, (rng.random(n) < share).astype(int))) for name in benchmarks}
            scores = {name: cases.entry(items) for name, items in drawn.items()}
            cases.ran(add, row, seed, scores, parameters={"adapter": row["params"], "head": 2, "frozen": 9})

    return write


def judged(tmp_path) -> dict[str, list[verdicts.Judged]]:
    return verdicts.judged(load(tmp_path / "runs"))


def said(tmp_path) -> list[str]:
    return [own[-1].verdict for own in judged(tmp_path).values()]


def test_every_verdict_is_reached(claims, study, ran, tmp_path):
    claims(
        "[Full-FT] - [LoRA (r=1)]", "[LoRA (r=1)] - [Full-FT]", "[SVFT-P] - [LoRA (r=1)]", "[SVFT-P@QV] - [SVFT-P]", ""
    )
    study(LORA, PLAIN, FEW, FULL)
    ran(LORA, 0.6)
    ran(PLAIN, 0.6)
    ran(FULL, 0.8)
    assert said(tmp_path) == ["holds", "fails", "not told apart", "not tested", "not tested"]
    *_, (_, open_case), (few, over), (undecided,) = judged(tmp_path).values()
    assert open_case.smallest == pytest.approx(open_case.parts[0].estimate.smallest)
    assert (few.reason, over.reason) == ("not run", "not run")
    assert undecided.reason == "no comparison here decides it"


def test_the_contrast_is_of_the_verdicts_seed_by_seed_and_item_by_item(claims, study, ran, tmp_path):
    claims({"contrasts": "[SVFT-P] - 0.96 [Full-FT] - 0.04 [LoRA (r=1)]", "bound": "-1"})
    study(LORA, PLAIN, FULL)
    for row, share in ((LORA, 0.5), (PLAIN, 0.7), (FULL, 0.7)):
        ran(row, share)
    ran(LORA, 0.5, seeds=[9])  # a seed that the others do not have
    (here, _) = judged(tmp_path)["h1"]
    runs = [here.column.entry(Row(name)).runs for name in ("SVFT-P", "Full-FT", "LoRA (r=1)")]
    values = np.array([[[float(c) for c in run[seed].items] for seed in range(4)] for run in runs])
    expected = estimates.crossed(np.tensordot([1, -0.96, -0.04], values, 1))
    (part,) = here.parts
    assert part.estimate.mean == pytest.approx(expected.mean)
    assert (part.estimate.error, part.estimate.df) == pytest.approx((expected.error, expected.df))
    assert (part.estimate.seeds, part.estimate.items) == (4, N)
    assert here.raw == pytest.approx(estimates.two_sided_p(expected, -0.01))


@pytest.mark.parametrize("contrast", ["[SVFT-P] - [LoRA (r=1)]", "[LoRA (r=1)] - [SVFT-P]"])
def test_a_claim_within_a_bound_holds_fails_or_is_open(claims, study, ran, tmp_path, contrast):
    study(LORA, PLAIN)
    ran(LORA, 0.5)
    ran(PLAIN, 0.62)
    claims(contrast)
    size = 100 * abs(judged(tmp_path)["h1"][0].parts[0].estimate.mean)
    bounds = {2 * size: "holds", size + 1: "not told apart", size - 1: "not told apart", size / 8: "fails"}
    for bound, verdict in bounds.items():
        claims({"contrasts": contrast, "kind": "within", "bound": f"{bound:.4f}"})
        assert said(tmp_path) == [verdict]


def test_holm_is_over_the_claims_of_a_column_and_several_contrasts_are_one_claim(claims, study, ran, tmp_path):
    """All of them must hold: the largest p. One fails: the smallest, times their number."""
    claims(
        "[Full-FT] - [LoRA (r=1)]; [Full-FT] - [SVFT-P]", "[Full-FT] - [LoRA (r=1)]; [SVFT-P] - [Full-FT]",
        "[SVFT-P] - [LoRA (r=1)]",
    )  # fmt: skip
    study(LORA, PLAIN, FULL)
    ran(LORA, 0.6)
    ran(PLAIN, 0.64)
    ran(FULL, 0.75)
    first, second, third = (own[0] for own in judged(tmp_path).values())
    p = [part.holds for part in first.parts]
    assert first.raw == max(p)
    assert second.raw == pytest.approx(2 * second.parts[1].fails)
    assert (first.verdict, second.verdict) == ("holds", "fails")
    assert [each.p for each in (first, second, third)] == stats.holm([each.raw for each in (first, second, third)])


def test_the_side_condition_is_about_parameters_and_a_claim_without_it_fails(claims, study, ran, tmp_path):
    better = "[Full-FT] - [LoRA (r=1)]"
    claims(
        better,
        {"contrasts": better, "fewer": "Full-FT < LoRA (r=1)"},
        {"contrasts": better, "fewer": "LoRA (r=1) < Full-FT"},
    )
    study(LORA, FULL)
    ran(LORA, 0.6)
    ran(FULL, 0.9)
    assert said(tmp_path) == ["holds", "fails", "holds"]
    _, (here, over), _ = judged(tmp_path).values()
    assert here.params == (9000, 300)
    assert here.reason == over.reason == "not fewer parameters"


def test_rows_of_several_experiments_are_pooled_and_a_label_means_all_linear_layers(claims, study, ran, tmp_path):
    claims("[SVFT-P] - [LoRA (r=1)]", "[SVFT-P@QV] - [Full-FT]")
    study(LORA, FULL, PLAIN, name="methods")
    study(PLAIN, FEW, name="layers")
    for row in (LORA, FULL, PLAIN, FEW):
        ran(row, 0.5)
    (column,) = evidence.columns(load(tmp_path / "runs"))
    identity = {label: column.entry(Row(*label)).identity for label in (("SVFT-P",), ("SVFT-P", "QV"), ("Full-FT",))}
    assert identity == {
        label: row["cells"]["toy"]["identity"] for label, row in zip(identity, (PLAIN, FEW, FULL), strict=True)
    }
    assert all(len(own) == 2 for own in judged(tmp_path).values())


def test_a_row_or_column_of_one_name_that_is_another_is_refused(claims, study, tmp_path):
    claims("[LoRA (r=1)] - [LoRA (r=1)]")
    study(LORA, name="a")
    study(cases.row("M", "LoRA", "r=1", metrics=["toy"], targets="QKVUD", runs="other"), name="b")
    with pytest.raises(RecordError, match=r"M toy: LoRA \(r=1\) on QKVUD is another run in b"):
        judged(tmp_path)
    study(LORA, name="b", columns=[TOY | {"scorer": "strict"}])
    with pytest.raises(RecordError, match="M toy: scorer is legacy in a and strict in b"):
        judged(tmp_path)


@pytest.mark.parametrize(("seeds", "why"), [([0], "one seed"), ([0, 1], "two seeds"), ([7, 8, 9], "no seed that all")])
def test_fewer_than_three_shared_seeds_are_not_tested(claims, study, ran, tmp_path, seeds, why):
    claims("[SVFT-P] - [LoRA (r=1)]")
    study(LORA, PLAIN)
    ran(LORA, 0.5)
    ran(PLAIN, 0.9, seeds=seeds)
    here, over = judged(tmp_path)["h1"]
    assert here.verdict == over.verdict == "not tested"
    assert here.reason.startswith(why)


def test_runs_that_all_answer_alike_or_were_scored_on_other_items_are_not_tested(claims, study, ran, tmp_path):
    claims("[SVFT-P] - [LoRA (r=1)]", "[Full-FT] - [LoRA (r=1)]")
    study(LORA, PLAIN, FULL)
    ran(LORA, 1.0)
    ran(PLAIN, 1.0)
    ran(FULL, 0.9, n=N - 1)
    assert [own[0].reason for own in judged(tmp_path).values()] == [
        "nothing varies between seeds",
        "scored on other items",
    ]


def test_a_metric_without_verdicts_is_tested_over_seeds_and_a_loss_the_other_way_round(claims, study, add, tmp_path):
    claims(
        "[SVFT-P] - [LoRA (r=1)]",
        {"contrasts": "[SVFT-P] - [LoRA (r=1)]", "bound": "-1"},
        "[SVFT-P] - 0.9 [LoRA (r=1)]",
    )
    values = {"P": [0.31, 0.33, 0.30, 0.32], "": [0.55, 0.56, 0.57, 0.53]}
    for row in (LORA, PLAIN):
        for seed, mean in enumerate(values[row["variant"]]):
            cases.ran(add, row, seed, {"toy": cases.entry(None, 50, mean=mean, error=0.02)})
    study(LORA, PLAIN, columns=[TOY])
    here, over = judged(tmp_path)["h1"]
    expected = estimates.over_seeds(np.subtract(values["P"], values[""]))
    assert here.parts[0].estimate == over.parts[0].estimate == expected
    assert said(tmp_path) == ["fails", "fails", "fails"]
    study(LORA, PLAIN, columns=[TOY | {"better": "lower"}])
    (loss, over), *others = judged(tmp_path).values()
    assert loss.parts[0].estimate.mean == -expected.mean
    assert (loss.verdict, over.verdict, over.reason) == ("holds", "not tested", "no column of it is summed")
    assert {own[0].reason for own in others} == {"of shares or points, which a loss has not"}


def test_the_summary_is_over_the_columns_of_which_the_task_is_counted_once(claims, study, ran, tmp_path):
    rows = [cases.row("M", each["method"], each["config"], variant=each["variant"], metrics=["toy", "more", "again"],
                      targets="QKVUD", params=each["params"]) for each in (LORA, PLAIN)]  # fmt: skip
    claims("[SVFT-P] - [LoRA (r=1)]", {"contrasts": "[SVFT-P] - [LoRA (r=1)]", "columns": "more"})
    study(*rows, columns=[TOY, MORE, cases.column("again") | {"summary": False}])
    for row, share in zip(rows, (0.5, 0.8), strict=True):
        ran(row, share, benchmarks=["toy", "more", "again"])
    (*each, over), only = judged(tmp_path).values()
    assert [one.column.metric for one in each] == ["toy", "more", "again"]
    summary = estimates.combined([one.parts[0].estimate for one in each[:2]])
    assert (over.parts[0].estimate, over.parts[0].tau, over.parts[0].sets) == (summary.estimate, summary.tau, 2)
    assert [one.column.metric for one in only[:-1]] == ["more"]
    assert only[-1].parts[0].estimate == only[0].parts[0].estimate


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ("[SVFT-Q] - [LoRA (r=1)]", r"no experiment has a row 'SVFT-Q'; there are: Full-FT, LoRA \(r=1\), SVFT-P$"),
        ("[SVFT-P@QK] - [LoRA (r=1)]", "no experiment has a row 'SVFT-P' on 'QK'; there are: QKVUD, QV$"),
        ({"contrasts": "[SVFT-P]", "columns": "tow"}, "no experiment has a column 'tow'; there are: toy$"),
        ({"contrasts": "", "fewer": "SVFT-P < Lora"}, r"no experiment has a row 'Lora'; there are: Full-FT, "),
    ],
)  # fmt: skip
def test_what_no_experiment_has_is_one_sentence_with_file_id_and_what_there_is(
    claims, study, tmp_path, capsys, claim, what
):
    claims("", claim)
    study(LORA, PLAIN, FEW, FULL)
    with pytest.raises(RecordError, match=f"^hypotheses.csv, h2: {what}"):
        judged(tmp_path)
    assert built(tmp_path / "runs", tmp_path / "out", "verdicts") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_row_that_only_the_projects_own_experiments_have_is_not_tested_here(claims, study, tmp_path):
    claims("[VeRA (r=256)] - [LoRA (r=1)]", {"contrasts": "[LoRA (r=1)]", "columns": "MRPC, test"})
    study(LORA, PLAIN)
    assert said(tmp_path) == ["not tested", "not tested"]
    assert {each.reason for own in judged(tmp_path).values() for each in own} == {"no study has all its rows"}


def test_a_row_of_an_experiment_that_is_no_evidence_is_known_and_not_tested(claims, study, tmp_path):
    claims("[BOFT (b=8, m=2)] - [LoRA (r=1)]")
    study(LORA)
    cases.write(tmp_path / "runs", "table1", [TOY], [cases.row("G", "BOFT", "b=8,m=2", metrics=["toy"])], table=1)
    (over,) = judged(tmp_path)["h1"]
    assert (over.verdict, over.reason) == ("not tested", "no study has all its rows")


def test_of_null_claims_one_table_in_twenty_says_anything():
    """300 tables of 6 claims that are not so, 4 seeds by 60 items, after Holm's correction."""
    rng, wrong = np.random.default_rng(5), 0
    claim = Hypothesis("h", "w", "c", "above", (Contrast(()),), 0.0, None, (), "")
    for _ in range(300):
        drawn = [rng.normal(0, 0.04, (4, 1)) + rng.normal(0, 0.3, 60) + rng.normal(0, 0.5, (4, 60)) for _ in range(6)]
        parts = [verdicts._part(claim, claim.contrasts[0], estimates.crossed(values)) for values in drawn]
        found = verdicts._corrected([verdicts.Judged(claim, None, (part,)) for part in parts])
        wrong += any(each.verdict != "not told apart" for each in found)
    assert wrong <= 0.05 * 300 + 2 * np.sqrt(300 * 0.05 * 0.95)


# --- pages and figure ------------------------------------------------------------------------------------------------


@pytest.fixture
def told(claims, study, ran, tmp_path):
    smaller = {"contrasts": "[SVFT-P] - [LoRA (r=1)]", "fewer": "SVFT-P < LoRA (r=1)", "note": "Why."}
    claims("[Full-FT] - [LoRA (r=1)]", smaller, "[SVFT-P@QV] - [SVFT-P]", "")
    study(LORA, PLAIN, FEW, FULL)
    for row, share in ((LORA, 0.6), (PLAIN, 0.6), (FULL, 0.9)):
        ran(row, share)
    return load(tmp_path / "runs")


def test_the_pages_say_the_verdicts_in_words_and_in_numbers(told, tmp_path):
    words = pages.words(told).set_index("Claim")
    assert words.columns.tolist() == ["Where", "All", "M: toy"]
    assert words.loc["h1: Claim 1"].tolist() == ["abstract", "**holds**", "holds"]
    visible = verdicts.judged(told)["h2"][0].smallest
    assert words.loc["h2: Claim 2", "M: toy"] == f"not told apart ({100 * visible:.1f})"
    assert words.loc["h3: Claim 3"].tolist() == ["abstract", "**not tested**", "not tested"]
    assert words.loc["h4: Claim 4"].tolist() == ["abstract", "**not tested**", ""]
    shown = pages.text(told)
    head, here, over = shown[shown["Claim, column"].str.contains("h2").cumsum() == 1].iloc[:3].to_dict("records")
    assert head["Claim, column"] == "**h2: Claim 2; above 0**"
    assert (here["Seeds × items"], here["Parameters"], here["Contrast"]) == (
        "4 × 240",
        "100 against 300",
        "SVFT-P - LoRA (r=1)",
    )
    assert (over["Claim, column"], over["Verdict"]) == ("All (1 column)", "not told apart")
    assert "h2: Why." in list(pages.notes(told, False))


def test_pages_and_figure_are_written_by_name_and_what_is_missing_is_empty(told, tmp_path):
    out = tmp_path / "out"
    assert built(tmp_path / "runs", out, "verdicts", "verdicts_numbers") == 0
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{ending}" for name in ("verdicts", "verdicts_numbers") for ending in ("csv", "md", "tex")
    }
    for path in out.iterdir():
        assert not re.search(r"\bnan\b|None", path.read_text()), path.name
    frame = pd.read_csv(out / "verdicts_numbers.csv")
    here = frame[(frame["id"] == "h1") & (frame["metric"] == "toy")].iloc[0]
    estimate = verdicts.judged(told)["h1"][0].parts[0].estimate
    assert here[["mean", "error", "df", "smallest"]].tolist() == pytest.approx(
        [estimate.mean, estimate.error, estimate.df, estimate.smallest]
    )
    assert built(tmp_path / "runs", out, "verdicts", command="plots") == 0
    assert {"verdicts.svg", "verdicts.png"} <= {path.name for path in out.iterdir()}


def test_the_figure_has_a_line_for_each_claim_that_is_tested(told):
    points = forest.points(told)
    assert points["id"].tolist() == ["h1", "h1", "h2", "h2"]
    mean = verdicts.judged(told)["h1"][0].parts[0].estimate
    assert points.loc[0, ["mean", "low", "high"]].tolist() == pytest.approx(
        [100 * mean.mean, *(100 * x for x in mean.interval)]
    )
    texts = [text.get_text() for text in forest.figure(told).axes[0].texts]
    assert {"h1: Claim 1", "holds", "h2: Claim 2", "not told apart"} <= set(texts)


def test_without_evidence_there_is_no_page_and_without_runs_every_claim_is_not_tested(claims, study, tmp_path):
    claims("[SVFT-P] - [LoRA (r=1)]", "")
    cases.write(tmp_path / "runs", "table1", [TOY], [LORA, PLAIN], table=1)
    assert pages.makers(load(tmp_path / "runs")) == forest.makers(load(tmp_path / "runs")) == {}
    study(LORA, PLAIN)
    loaded = load(tmp_path / "runs")
    assert set(pages.words(loaded)["All"]) == {"**not tested**"}
    assert forest.makers(loaded) == {}
    assert set(pages.makers(loaded)) == {"verdicts", "verdicts_numbers"}


def test_a_column_that_tests_nothing_yet_is_named_below_the_table_and_is_no_column_of_it(claims, study, ran, tmp_path):
    claims("[SVFT-P] - [LoRA (r=1)]")
    study(LORA, PLAIN)
    others = [cases.row("Other", *name, metrics=["toy"], targets="QKVUD") for name in (("LoRA", "r=1"), ("SVFT",))]
    others[1]["variant"] = "P"
    study(*others, name="later")
    loaded = load(tmp_path / "runs")
    assert set(pages.words(loaded).columns[3:]) == {"M: toy", "Other: toy"}  # nothing was run at all
    ran(LORA, 0.5)
    ran(PLAIN, 0.9)
    loaded = load(tmp_path / "runs")
    assert list(pages.words(loaded).columns[3:]) == ["M: toy"]
    assert "Planned, and no claim tested there yet: Other: toy." in list(pages.notes(loaded, False))
    assert not pages.text(loaded)["Claim, column"].str.contains("Other").any()
