"""Tables from records: what is there, and what is shown to be absent."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis import program, readme
from analysis.load.records import load
from analysis.pages import results as tables
from analysis.writing import markup
from errors import RecordError
from harness.store.record import summarise_values
from tests.analysis.conftest import built, entry, score

GOOD, BAD = "1" * 30 + "0" * 10, "1" * 5 + "0" * 35
ROOT = Path(__file__).resolve().parents[2]


def only(tmp_path):
    (result,) = tables.results(load(tmp_path / "runs"))
    return result


def row(result, label):
    frame = tables.text(result)
    return frame[frame["Method"] == label].iloc[0]


def test_three_seeds_have_their_mean_and_interval(add, tmp_path):
    for seed, right in enumerate((20, 24, 28)):
        add("LoRA (r=1)", seed, {"strict": "1" * right + "0" * (40 - right)})
    shown = row(only(tmp_path), "LoRA (r=1)")
    assert shown["strict (%)"] == "60.0 [50.0, 70.0]"
    assert (shown["Trained"], shown["Seeds"], shown["Step (s)"], shown["Saved"]) == ("1,234", "3", "0.5", "4.94 kB")


def test_one_seed_says_so_and_has_the_binomial_error(add, tmp_path):
    add("LoRA (r=1)", 0, {"strict": "1" * 50 + "0" * 50})
    result = only(tmp_path)
    assert row(result, "LoRA (r=1)")["strict (%)"] == "50.0 ± 5.0"
    assert any(note.startswith("One seed: ± the binomial standard error") for note in result.notes)


def test_the_least_loss_is_the_best_and_stands_in_nats_beside_the_accuracy(add, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tests.analysis.conftest.score",
        lambda items, unparsed: score(items, unparsed) if isinstance(items, str) else summarise_values(items),
    )
    add("LoRA (r=1)", 0, {"strict": "1110", "answer_loss": [0.5, 1.5, 0.5, 1.5]})
    add("SVFT-P", 0, {"strict": "1100", "answer_loss": [0.25, 0.5, 0.5, 0.75]}, method="svft_plain")
    result = only(tmp_path)
    found = {label: row(result, label)["answer_loss (nats)"] for label in ("LoRA (r=1)", "SVFT-P")}
    assert found == {"LoRA (r=1)": "1.000 ± 0.289", "SVFT-P": "**0.500** ± 0.102"}
    assert row(result, "LoRA (r=1)")["strict (%)"].startswith("**75.0**")


@pytest.mark.parametrize(("items", "shown"), [("0" * 100, "0.0 [0.0, 3.7]"), ("1" * 100, "100.0 [96.3, 100.0]")])
def test_beside_all_or_nothing_of_one_seed_stands_an_interval_and_no_error_of_zero(add, tmp_path, items, shown):
    add("LoRA (r=1)", 0, {"strict": items})
    result = only(tmp_path)
    assert row(result, "LoRA (r=1)")["strict (%)"] == shown
    assert any("95 % Wilson interval" in note for note in result.notes)
    assert not any(note.startswith("One seed: ±") for note in result.notes)


def test_a_score_that_was_not_made_is_an_empty_cell_and_never_zero(add, tmp_path):
    add("LoRA (r=1)", 0, {"strict": GOOD})
    add("SVFT-P", 0, None, method="svft_plain", train={}, adapter={})
    shown = row(only(tmp_path), "SVFT-P")
    assert [shown[name] for name in ("strict (%)", "Step (s)", "Saved")] == ["", "", ""]
    numbers = tables.wide(only(tmp_path)).set_index("label").loc["SVFT-P"]
    assert numbers[["toy_strict_mean", "seconds_per_step", "adapter_bytes"]].isna().all()


def test_the_seconds_of_a_step_are_those_of_the_seeds_that_had_their_cores(add, tmp_path):
    def took(median: float, cores: float) -> dict:
        times = {"median": median, "quartiles": [median, median], "cpu_seconds": 20 * cores, "queued_seconds": None}
        return {"steps": 10, "step_seconds": 20.0, "step_times": times, "trained_bytes": 4936}

    for seed, (median, cores) in enumerate([(0.25, 1.0), (3.5, 0.3), (0.75, 1.0), (0.5, 1.0)]):
        add("A", seed, {"strict": GOOD}, train=took(median, cores))
        add("B", seed, {"strict": GOOD}, train=took(3.5, 0.3))
        add("C", seed, {"strict": GOOD})  # of before: the mean
    result = only(tmp_path)
    assert [row(result, label)["Step (s)"] for label in "ABC"] == ["0.5", "3.5 (busy)", "0.5"]
    numbers = tables.wide(result).set_index("label")
    assert numbers["crowded"].tolist() == [False, True, False]
    assert any(note.startswith("Busy: ") for note in result.notes)


def test_unparsed_answers_have_a_column_where_there_are_any(add, tmp_path):
    add("A", 0, {"strict": GOOD}, unparsed=0.25)
    add("B", 0, None, method="vera")
    result = only(tmp_path)
    assert row(result, "A")["Unparsed (%)"] == "25.0" and row(result, "B")["Unparsed (%)"] == ""


def test_a_truncated_record_is_named_in_a_footnote(add, tmp_path):
    add("LoRA (r=1)", 0, {"strict": GOOD})
    broken = add("LoRA (r=1)", 1, {"strict": GOOD})
    broken.write_text(broken.read_text()[:100])
    result = only(tmp_path)
    name = broken.relative_to(tmp_path / "runs")
    assert any(note.startswith(f"Not counted: {name} is not a readable record") for note in result.notes)
    assert row(result, "LoRA (r=1)")["Seeds"] == "1"


def test_a_table_whose_every_record_is_truncated_is_still_written_with_its_footnote(add, tmp_path):
    add("LoRA (r=1)", 0, {"strict": GOOD}).write_text("{")
    built(tmp_path / "runs", tmp_path / "out")
    assert "not a readable record" in (tmp_path / "out" / "toy_tiny.md").read_text()


def test_a_failed_run_keeps_its_row_and_is_named_with_its_reason(add, tmp_path):
    add("LoRA (r=1)", 0, {"strict": GOOD})
    add("VeRA", 0, None, method="vera", status="failed", failure={"reason": "loss is nan", "step": 40})
    result = only(tmp_path)
    assert row(result, "VeRA")["Seeds"] == "0" and row(result, "VeRA")["strict (%)"] == ""
    assert "Not counted: VeRA, seed 0, failed at step 40: loss is nan." in result.notes


def test_a_reason_that_is_a_word_alone_is_a_reason_all_the_same(add, tmp_path):
    add("LoRA (r=1)", 0, {"strict": GOOD})
    add("VeRA", 0, None, method="vera", status="failed", failure="out of memory")
    assert "Not counted: VeRA, seed 0, failed: out of memory." in only(tmp_path).notes


def test_the_best_is_bold_and_only_what_cannot_be_told_from_it_is_marked(add, tmp_path):
    add("A", 0, {"strict": GOOD})
    add("B", 0, {"strict": "0" + GOOD[1:]})
    add("C", 0, {"strict": BAD})
    cells = [row(only(tmp_path), label)["strict (%)"].split(" ")[0] for label in "ABC"]
    assert cells == ["**75.0**", "72.5†", "12.5"]


def test_rows_are_in_the_given_order_and_unknown_methods_come_last(add, tmp_path):
    for label, method in (("SVFT-P", "svft_plain"), ("Mine", "aaa"), ("LoRA", "lora"), ("Full-FT", "full")):
        add(label, 0, {"strict": GOOD}, method=method)
    assert only(tmp_path).rows["label"].tolist() == ["Full-FT", "LoRA", "SVFT-P", "Mine"]


def test_rows_of_one_label_are_told_apart_by_the_setting_in_which_they_differ(add, tmp_path):
    for rate in (1e-3, 1e-2):
        add("LoRA", 0, {"strict": GOOD}, config={"train": {"lr": rate}})
    assert set(only(tmp_path).rows["label"]) == {"LoRA, learning rate 0.001", "LoRA, learning rate 0.01"}


def test_selection_rule_learning_rate_and_targets_are_in_the_notes(add, tmp_path):
    add("A", 0, {"strict": GOOD})
    add("B", 0, {"strict": GOOD}, config={"train": {"lr": 0.05, "select_best": True}})
    notes = " ".join(only(tmp_path).notes)
    assert "targets QV" in notes
    assert "A: learning rate 0.001, steps 10, kept last step." in notes
    assert "B: learning rate 0.05, kept best on validation." in notes


def test_what_trains_nothing_says_so_and_leaves_the_settings_of_the_others_shared(add, tmp_path):
    nothing = {"parameters": {"adapter": 0, "head": 0}, "train": {"steps": 0, "step_seconds": 0.0}}
    add("Pre-trained", 0, {"strict": BAD}, method="none", config={"train": {"lr": 0.7}}, **nothing)
    add("A", 0, {"strict": GOOD}, config={"train": {"lr": 1e-3, "max_steps": 10}})
    search = {"train": {"lr": 1e-2, "max_steps": 10}, "evaluate": {"splits": ["validation"]}}
    add("A", 0, config=search, scores={"toy": {"validation": entry({"strict": GOOD}, 0.0)}})
    add("B", 0, {"strict": GOOD}, config={"train": {"lr": 1e-3, "max_steps": 10}})
    notes = only(tmp_path).notes
    assert "All rows: recipe clean, targets QV, learning rate 0.001, steps 10, base m, data d." in notes
    assert [note for note in notes if note.startswith("Pre-trained")] == ["Pre-trained: nothing was trained."]
    assert notes[-1] == "Learning rates that were run, searches included: A 2 (0.001, 0.01); B 1 (0.001)."


def test_legacy_and_strict_have_a_column_each(add, tmp_path):
    add("A", 0, {"legacy": GOOD, "strict": BAD})
    shown = row(only(tmp_path), "A")
    assert shown["legacy (%)"].startswith("75.0") and shown["strict (%)"].startswith("12.5")


def test_three_benchmarks_have_an_average_only_where_all_were_scored(add, tmp_path):
    add("A", 0, {"strict": GOOD}, benchmarks=["x", "y", "z"])
    add("B", 0, {"strict": GOOD}, benchmarks=["x", "y"])
    result = only(tmp_path)
    assert row(result, "A")["average (%)"].startswith("75.0")
    assert row(result, "B")["average (%)"] == "" and row(result, "B")["z (%)"] == ""


def test_a_run_that_was_asked_for_more_than_was_there_has_no_average_of_the_rest(add, tmp_path):
    add("A", 0, {"strict": GOOD}, benchmarks=["x", "y", "z"], data={"missing": {}})
    add("B", 0, {"strict": GOOD}, benchmarks=["x", "y", "z"], data={"missing": {"w": "no file w"}})
    result = only(tmp_path)
    assert row(result, "A")["average (%)"].startswith("75.0")
    assert row(result, "B")["average (%)"] == "" and row(result, "B")["z (%)"] != ""


def test_verdicts_missing_from_the_record_are_said_to_be_untested(add, tmp_path):
    add("A", 0, {"strict": GOOD})
    add("B", 1, {"strict": BAD})
    assert any(note.startswith("Not tested against the best") and note.endswith(" B.") for note in only(tmp_path).notes)


def test_a_warning_of_the_method_is_a_footnote(add, tmp_path):
    add("BOFT (m=2)", 0, {"strict": GOOD}, adapter={"warnings": ["Setting factor to 1."]})
    assert "BOFT (m=2), when attached: Setting factor to 1." in only(tmp_path).notes


def test_a_run_that_was_evaluated_on_validation_data_alone_is_no_row(add, tmp_path):
    """The grid of a learning-rate search lies in runs/ too; its rows are in the table of the search."""
    add("A", 0, {"strict": GOOD})
    scores = {"toy": {"validation": entry({"strict": GOOD}, 0.0)}}
    config = {"train": {"lr": 1e-3}, "recipe": {"name": "clean"}, "evaluate": {"splits": ["validation"]}}
    add("B", 0, scores=scores, config=config)
    add("C", 0, status="failed", failure={"reason": "no", "step": 1}, config=config)
    assert only(tmp_path).rows["label"].tolist() == ["A"]


def test_a_run_that_is_there_twice_is_refused_by_name(add, tmp_path):
    path = add("A", 3, {"strict": GOOD})
    shutil.copytree(path.parent, path.parent.with_name("copy"))
    with pytest.raises(RecordError, match="A, seed 3, is twice below"):
        only(tmp_path)


def test_latex_escapes_what_latex_would_read_as_a_command():
    assert markup.tex(r"50% & a_b #1 {x} \y ~^ $") == (
        r"50\% \& a\_b \#1 \{x\} \textbackslash{}y \textasciitilde{}\textasciicircum{} \$"
    )
    assert markup.tex("**1.0** ± 2†") == r"\textbf{1.0} $\pm$ 2\textsuperscript{\dag}"


def test_latex_has_a_command_for_each_sign_that_tables_use():
    assert markup.tex("0.1‡ σ/μ 6 × 1") == r"0.1\textsuperscript{\ddag} $\sigma$/$\mu$ 6 $\times$ 1"


def test_latex_is_booktabs_with_one_line_a_row():
    text = markup.latex(pd.DataFrame({"Method": ["a", "b"], "x": ["1", ""]}))
    assert [rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [True] * 3
    assert "a & 1 \\\\\nb &  \\\\" in text


def test_markdown_escapes_the_column_mark():
    assert r"a\|b" in markup.markdown(pd.DataFrame({"Method": ["a|b"]}))


def test_the_written_csv_has_the_numbers_unrounded(add, tmp_path):
    add("A", 0, {"strict": "1" + "0" * 2})
    built(tmp_path / "runs", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out" / "toy_tiny.csv")["toy_strict_mean"][0] == pytest.approx(1 / 3)


def test_the_csv_has_ten_digits_and_whole_numbers_whole():
    frame = pd.DataFrame({"share": [1 / 3, 0.1 + 0.2], "bytes": [12345678901.0, None], "p": [6.8324040912e-126, 1e-20]})
    lines = ["share,bytes,p", "0.3333333333,12345678901,6.832404091e-126", "0.3,,1e-20"]
    assert markup.csv(frame) == "\n".join(lines) + "\n"


def test_the_terminal_shows_intervals_in_brackets(add, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    for seed, items in enumerate((GOOD, GOOD, BAD)):
        add("A", seed, {"strict": items})
    program.main(["tables", "--runs", str(tmp_path / "runs"), "--print"])
    assert "54.2 [12.5, 75.0]" in capsys.readouterr().out


def test_an_empty_folder_of_runs_says_how_to_make_one(tmp_path, capsys):
    built(tmp_path, tmp_path / "out")
    assert "no record below" in capsys.readouterr().err


def test_analysis_imports_the_record_schema_and_nothing_else_of_the_project():
    rooms = "analysis.pages.results, analysis.figures.pareto, analysis.readme, analysis.search"
    code = f"import sys, {rooms}; print(*sorted(sys.modules), sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rooms = {"svft", "baselines", "tasks", "harness", "torch"}
    ours = [name for name in io.StringIO(loaded).read().split() if name.split(".")[0] in rooms]
    assert set(ours) == {
        "harness",
        "harness.settings",
        "harness.settings.process",
        "harness.store",
        "harness.store.disk",
        "harness.store.files",
        "harness.store.identity",
        "harness.store.record",
    }  # the record, what reads it, and what every process of the harness sets


def test_the_readme_is_filled_between_its_marks_and_checked(tmp_path, capsys):
    (tmp_path / "toy.md").write_text("| x |\n")
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- table:toy -->\nold\n<!-- end -->\nafter\n")
    arguments = ["--readme", str(page), "--tables", str(tmp_path)]
    assert readme.main([*arguments, "--check"]) == 1
    assert readme.main(arguments) == 0
    assert page.read_text() == "before\n<!-- table:toy -->\n| x |\n<!-- end -->\nafter\n"
    assert readme.main([*arguments, "--check"]) == 0


def test_pages_in_docs_are_filled_with_the_readme(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("toy.md").write_text("| x |\n")
    pages = [Path("README.md"), Path("docs/a.md")]
    Path("docs").mkdir()
    for page in pages:
        page.write_text("<!-- table:toy -->\nold\n<!-- end -->\n")
    assert readme.main(["--tables", ".", "--check"]) == 1
    assert {line.split(" is not ")[0] for line in capsys.readouterr().err.splitlines()} == {str(page) for page in pages}
    assert readme.main(["--tables", "."]) == 0
    assert {page.read_text() for page in pages} == {"<!-- table:toy -->\n| x |\n<!-- end -->\n"}
    assert readme.main(["--tables", ".", "--check"]) == 0


def test_the_first_table_of_the_readme_has_what_was_run_and_its_difference_to_the_reference(tmp_path):
    header = "label,params,seeds,reproduced,low,high,error,difference,difference_low,difference_high,verdict"
    rows = ["LoRA,1000,5,0.5,0.4,0.6,,,,,reference", "BOFT,7,1,0.1,,,0.02,-0.4,,,worse", "OFT,70,0,,,,,,,,"]
    (tmp_path / "real.csv").write_text("\n".join([header, *rows]) + "\n")
    heads, _, *lines = readme.short(tmp_path).splitlines()
    assert heads == "| Method | Trained | Accuracy (%) | Difference |  |"
    assert lines[0] == "| LoRA | 1,000 | 50.0 [40.0, 60.0] |  | reference |"
    assert lines[1] == "| BOFT | 7 | 10.0 ± 2.0 | -40.0 | worse |"
    assert "OFT | 70" not in "".join(lines)


def test_a_readme_with_an_unknown_table_names_the_tables_there_are(tmp_path, capsys):
    (tmp_path / "toy.md").write_text("")
    (tmp_path / "R.md").write_text("<!-- table:tyo -->\n<!-- end -->\n")
    assert readme.main(["--readme", str(tmp_path / "R.md"), "--tables", str(tmp_path)]) == 1
    assert "no table is named 'tyo'" in capsys.readouterr().err


def test_a_readme_that_is_not_there_is_a_sentence(tmp_path, capsys):
    assert readme.main(["--readme", str(tmp_path / "nowhere.md")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_rows_of_fewer_than_three_seeds_are_left_out_where_others_have_them():
    runs = pd.DataFrame([("a", 0), ("a", 1), ("a", 2), ("b", 0)], columns=["key", "seed"]).assign(status="done")
    kept, left_out = tables._with_enough_seeds(runs)
    assert set(kept["key"]) == {"a"} and left_out == 1
    one_seed = runs[runs["seed"] == 0]
    kept, left_out = tables._with_enough_seeds(one_seed)
    assert set(kept["key"]) == {"a", "b"} and left_out == 0
    failed = one_seed.assign(status=["done", "failed"])
    assert tables._with_enough_seeds(failed)[1] == 0
