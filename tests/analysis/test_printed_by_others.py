"""SVFT in other papers: counts against the printed ones, copies against the paper, and where SVFT stands."""

from decimal import Decimal

import pandas as pd
import pytest
from peft import PsoftConfig, get_peft_model
from torch import nn

from analysis.checks import counts, others, others_pages
from analysis.checks.findings import results
from analysis.load.paper import reference
from analysis.load.records import load
from harness.plan.config import register_resolvers
from papers import recount
from tests.analysis import paper_cases as cases

GSM = cases.column("GSM-8K")
SVFT_R = cases.row("Gemma-2B", "SVFT", "d=16", variant="R", metrics=["GSM-8K"], targets="QKVUDOG", params=6352416)
LLAMA_3B = (
    "model=llama3_8b model.architecture.hidden_size=3072 model.architecture.intermediate_size=8192 "
    "model.architecture.num_attention_heads=24 model.architecture.num_hidden_layers=28 model.blocks=28"
)


@pytest.fixture(scope="module")
def frame():
    return others.printed()


def rows(frame, **wanted) -> pd.DataFrame:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    return frame


def with_values(**values) -> dict[str, str]:
    """A line of the reference, of a comparator unless told otherwise."""
    line = dict.fromkeys(reference(others.PRINTED).columns, "")
    return line | {"role": "comparator", "better": "higher", "task": "t", "label": values.get("method", "")} | values


# --- what is printed -------------------------------------------------------------------------------------------------


def test_every_line_says_what_it_is_in_words_that_are_known(frame):
    assert set(frame["role"]) == {others.ROLE, "comparator"}
    svft = frame["role"] == others.ROLE
    assert (frame.loc[svft, "method"] == "SVFT").all() and not frame.loc[~svft, "method"].eq("SVFT").any()
    assert set(frame.loc[svft, "kind"]) == set(others_pages.KINDS) and not frame.loc[~svft, "kind"].any()
    assert set(frame["better"]) == {"higher", "lower"} and set(frame["unit"]) <= {"%", "GB", "GiB", "s", ""}
    assert all(Decimal(value).is_finite() for value in frame["value"])
    assert set(frame.loc[frame["task"] == "", "metric"]) == set(others.COSTS)
    assert not frame.duplicated([*others.CELL, "label", "target_modules", "params_printed"]).any()


def test_a_comparator_stands_beside_a_row_of_svft(frame):
    for _, cell in frame.groupby(others.CELL):
        assert (cell["role"] == others.ROLE).any()


def test_every_caveat_that_a_line_names_has_a_text_and_every_text_is_used(frame):
    kept = reference(others.CAVEATS)
    assert kept["caveat"].is_unique and kept["text"].str.endswith(".").all()
    assert {each for line in frame["caveats"] for each in line.split()} == set(kept["caveat"])


# --- counts ----------------------------------------------------------------------------------------------------------

BY_HAND = [  # layers x numbers of each
    ("FuRA", "SVFT-B (d=8)", "UDOG", 32 * 4 * (4096 * 17 - 72), "8,903,680"),
    ("PSOFT", "SVFT-P", "QKVUDOG", 28 * (5 * 3072 + 2 * 1024), "0.49M"),
    ("PSOFT", "SVFT-P", "QKVUD", 32 * (3 * 4096 + 2 * 1024), "0.46M"),
    ("PiCa", "SVFT-P", "QKVUDOG", 18 * (5 * 2048 + 2 * 256), "0.19M"),
    ("PSOFT", "LoRA (r=1)", "QKV", 28 * (6144 + 2 * 4096), "0.40M"),
]


@pytest.mark.parametrize(("source", "label", "targets", "expected", "shown"), BY_HAND)
def test_a_printed_count_is_that_of_the_layers(frame, source, label, targets, expected, shown):
    own = rows(frame, source=source, label=label, target_modules=targets, params_printed=shown)
    assert set(own["count"]) == {expected} and set(own["match"]) <= {"rounded", "exact"}


@pytest.mark.parametrize(
    ("overrides", "source", "label", "model"),
    [
        ("model=llama3_8b method=svft_banded method.adapter.d=8 method.targets=UDOG", "FuRA", "SVFT-B (d=8)", ""),
        (f"{LLAMA_3B} method=svft_plain method.targets=QKVUDOG", "PSOFT", "SVFT-P", "LLaMA-3.2-3B"),
        ("model=llama3_8b method=svft_plain method.targets=QKVUD", "PSOFT", "SVFT-P", "LLaMA-3.1-8B"),
    ],
)
def test_the_closed_form_counts_what_a_model_without_weights_trains(frame, overrides, source, label, model):
    register_resolvers()
    own = rows(frame, source=source, label=label, **({"model": model} if model else {}))
    assert set(own["count"].dropna()) == {recount.count(overrides, "", "parameters")}


def test_psoft_is_counted_as_peft_builds_it():
    model = get_peft_model(nn.Sequential(nn.Linear(6, 8)), PsoftConfig(r=4, target_modules=["0"]))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert counts.closed_form("PSOFT", "", "r=4", [(8, 6, 1)], gate=False) == trained


def test_assumed_layers_give_the_printed_count(frame):
    assumed = frame[frame["assumed_modules"] != ""]
    assert not assumed["target_modules"].any() and set(assumed["match"]) == {"rounded"}
    assert assumed["caveats"].str.split().map(lambda ids: "layers" in ids).all()


def test_the_one_count_that_its_layers_do_not_give_is_told_with_those_that_do(frame):
    assert list(others.misprints(frame)) == [
        "PSOFT, LLaMA-3.1-8B, LoRA (r=1) on QV: 0.59M is printed, 425,984 counted; QKV gives 589,824"
    ]


def test_a_count_that_cannot_be_made_is_empty_and_a_note_says_why(frame):
    empty = frame[(frame["role"] == others.ROLE) & (frame["params_printed"] != "") & frame["count"].isna()]
    assert set(empty["source"]) == {"SSVD", "F-Adapter", "SOARA"} and empty["match"].isna().all()
    assert empty["caveats"].str.split().map(lambda ids: bool({"shapes", "no_d"} & set(ids))).all()


# --- the paper's own and ours ----------------------------------------------------------------------------------------


def test_copies_have_the_digits_of_the_paper(tmp_path):
    copies = rows(others.scores(load(tmp_path)), kind="copied")
    assert list(zip(copies["authors"], copies["copy"], strict=True)) == [
        ("40.34 (Tables 1, 5)", "equal"), ("14.38 (Tables 1, 5)", "equal"), ("50.03 (Tables 1, 5)", "equal"),
        ("15.56 (Tables 1, 5)", "equal"), ("76.81 (Table 1)", "equal"),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"value": "40.35"}, {"params_printed": "0.20M"}])
def test_a_copy_with_another_digit_is_not_called_equal(frame, change):
    line = rows(frame, source="PiCa", label="SVFT-P", task="GSM-8K").iloc[0].to_dict()
    cells = others.by_the_authors(line)
    assert others.copy_of(line, cells) == "equal" and others.copy_of(line | change, cells) == "differs"
    assert others.copy_of(line | change | {"kind": "rerun"}, cells) == ""


def test_the_neurips_version_gives_the_copied_score_to_another_row():
    changed = rows(reference("camera_ready.csv"), model="Gemma-7B", method="SVFT", config="d=16", metric="GSM-8K")
    scores = dict(zip(changed["variant"], changed["value"], strict=True))
    assert scores["B"] == "76.81" != scores["R"]
    assert rows(results(), model="Gemma-7B", variant="R", metric="GSM-8K", value="76.81")["config"].tolist() == ["d=16"]


def test_a_finished_run_of_the_paper_stands_beside_the_copy_and_what_was_not_run_is_empty(add, tmp_path):
    cases.write(tmp_path / "runs", "table1", [GSM], [SVFT_R], table=1)
    cases.ran(add, SVFT_R, 0, {"gsm8k": cases.entry("1" * 50 + "0" * 50)})
    found = others.scores(load(tmp_path / "runs"))
    assert found.loc[found["here"] != "", ["source", "label", "task", "here"]].to_numpy().tolist() == [
        ["PiCa", "SVFT-R (d=16)", "GSM-8K", "50.0 ± 5.0"]
    ]


# --- where SVFT stands -----------------------------------------------------------------------------------------------


def stand(frame, **wanted) -> dict:
    (line,) = rows(others.standing(frame[~frame["metric"].isin(others.COSTS)]), **wanted).to_dict("records")
    return {name: (line[name], line[f"{name}_by"]) for name in others_pages.POOLS}


def test_svft_stands_where_subtraction_by_hand_puts_it(frame):
    found = stand(frame, source="PSOFT", task="GSM-8K")
    assert found["full"] == ("", None)
    assert found["at_most"] == ("LoRA-XS (r=48)", Decimal("0.15"))
    assert found["about"] == ("PSOFT (r=72)", 0) and found["best"] == ("LoRA (r=1) on QKVUDOG", Decimal("-5.31"))


def test_an_error_rate_above_another_is_a_negative_difference(frame):
    found = stand(frame, model="OWSM-0.1B", task="CGN", label="SVFT-B (d=64)")
    assert found["full"] == ("Full-FT", Decimal("-7.2")) and found["at_most"] == ("LoRA (r=32)", Decimal("-5.3"))


def test_a_comparator_whose_count_is_not_known_is_in_no_pool_by_count(frame):
    found = stand(frame, source="FuRA", task="Average")
    assert found["at_most"] == found["about"] == ("", None) and found["best"] == ("FuRA", Decimal("-2.06"))


@pytest.mark.parametrize(("size", "pools"), [(80, "at_most about"), (79, "at_most"), (125, "about"), (126, "")])
def test_about_as_many_is_from_four_fifths_to_five_fourths(size, pools):
    svft = with_values(method="SVFT", role=others.ROLE, value="2.0", size=Decimal(100))
    line = others.standing(pd.DataFrame([svft, with_values(method="A", value="1.5", size=Decimal(size))])).iloc[0]
    assert {name for name in ("at_most", "about") if line[f"{name}_by"] == Decimal("0.5")} == set(pools.split())


def test_averages_are_the_means_of_their_tasks_and_another_digit_is_noticed(frame):
    assert others.averages(frame) == [True, True]
    assert others.averages(frame.assign(value=frame["value"].replace("85.95", "85.96"))) == [True, False]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_notes_are_numbered_as_the_lines_first_name_them():
    numbers = others_pages.numbered(["", "no_d shapes", "layers shapes"])
    assert numbers == {"no_d": 1, "shapes": 2, "layers": 3}
    assert [note[:8] for note in others_pages.caveat_notes(numbers)] == ["Note 1: ", "Note 2: ", "Note 3: "]


def test_costs_are_compared_with_svft(frame):
    shown, _ = others_pages.costs(others.costs())
    lora = shown[shown["Row"].eq("LoRA (r=1)") & shown["Printed"].eq("32.0")].iloc[0]
    assert lora["SVFT / row"] == "1.28"  # 41.1 / 32.0
    assert set(shown.loc[shown["Row"].str.startswith("SVFT"), "SVFT / row"]) == {""}


def test_without_the_papers_counts_there_is_no_page_of_other_papers(tmp_path):
    assert others_pages.makers(load(tmp_path)) == {}
