"""The one program of the room: what it makes, and what it says of a command line that asks for something else."""

import importlib.util
import re
import subprocess
import sys

import pytest

from analysis import program
from tests.analysis import paper_cases as cases
from tests.analysis.conftest import built
from tests.conftest import ROOT

SEARCH = ["search", "--family", "f", "--task", "t", "--model", "m"]


@pytest.mark.parametrize("command", [["tables"], ["plots"], ["tables", "plots"], SEARCH])
@pytest.mark.parametrize("named", ["nowhere", "file"])
def test_a_folder_of_records_that_is_none_is_an_error_and_nothing_is_written(tmp_path, capsys, command, named):
    (tmp_path / "file").write_text("")
    runs, out = tmp_path / named, str(tmp_path / "out")
    with pytest.raises(SystemExit) as left:
        program.main([*command, "--runs", str(runs), "--out", out])
    assert left.value.code == 2
    assert f"error: there is no folder {runs}; --runs names the one with records\n" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", ["tables", "plots"])
def test_a_folder_without_records_is_told_of_and_leaves_nothing_behind(tmp_path, capsys, command):
    assert built(tmp_path, tmp_path / "out", command=command) == 1
    assert re.search(f"^error: no .* below {tmp_path}; `python run.py` makes one$", capsys.readouterr().err)
    assert not any(tmp_path.iterdir())


def test_an_unknown_page_is_named_with_those_there_are_and_nothing_is_written(add, tmp_path, capsys):
    add("LoRA", 0, {"strict": "0011"})
    with pytest.raises(SystemExit) as left:
        built(tmp_path / "runs", tmp_path / "out", "toy_tiny", "toy_tni")
    assert left.value.code == 2
    assert (
        "there is no page or figure 'toy_tni'; there are toy_tiny; did you mean 'toy_tiny'?" in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_pages_and_figures_are_made_by_name(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"})
    row = cases.row("M", "LoRA", metrics=["toy"])
    for name in ("table1", "table2"):
        cases.write(tmp_path / "runs", name, [cases.column("toy")], [row], table=1)
    assert built(tmp_path / "runs", tmp_path / "out", "plots", "table2", "pareto_toy_tiny") == 0
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {"table2.csv", "table2.md", "table2.tex", "pareto_toy_tiny.svg", "pareto_toy_tiny.png"}


def test_records_are_read_once_for_all_tables_and_figures(add, tmp_path, monkeypatch):
    from harness.store import record

    read = []
    monkeypatch.setattr(record, "read", lambda path, read_one=record.read: read.append(path) or read_one(path))
    paths = [add("LoRA", seed, {"strict": "0011"}) for seed in (0, 1)]
    built(tmp_path / "runs", tmp_path / "out", "plots")
    assert read == paths


def test_a_fault_of_one_kind_of_page_does_not_keep_the_others_from_being_made(add, tmp_path, capsys):
    add("LoRA", 0, {"strict": "0011"})
    (tmp_path / "runs" / "bench").mkdir()
    (tmp_path / "runs" / "bench" / "block-cpu.json").write_text("{")
    assert built(tmp_path / "runs", tmp_path / "out") == 1
    assert (tmp_path / "out" / "toy_tiny.md").exists()
    assert "block-cpu.json is not a readable result file" in capsys.readouterr().err


def test_own_runs_are_tabulated_without_a_word_of_what_nobody_asked_for(add, tmp_path, capsys):
    add("LoRA", 0, {"strict": "0011"})
    assert built(tmp_path / "runs", tmp_path / "out") == 0
    assert capsys.readouterr().err == ""


def test_every_command_line_of_the_room_that_a_file_names_works():
    pages = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "conf").rglob("*.yaml"), *(ROOT / "docs").rglob("*.md")]
    named = {match for page in pages for match in re.findall(r"-m (analysis[\w.]*)(?: (\w+))?", page.read_text())}
    assert ("analysis", "tables") in named
    for module, word in named:
        assert importlib.util.find_spec(module), module
        assert module != "analysis" or not word or word in {*program.MAKERS, *program.OTHERS}, word


def test_help_names_the_commands_and_reads_neither_records_nor_libraries():
    code = "try: p.main(['--help'])\nfinally: print({'pandas', 'scipy'} & {*sys.modules})"
    command = [sys.executable, "-c", f"import sys, analysis.program as p\n{code}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"python -m analysis {command}" in said for command in ("tables", "report", "readme", "search"))
    assert "{tables,plots,report,readme,search}" in said
    assert said.endswith("set()\n")
