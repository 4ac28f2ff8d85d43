"""What is committed follows from what is committed: tables from records, the README from tables."""

import re

import pytest

from analysis import bench_tables, comparison, errata, fusion, paper_tables, readme, tables, training_strength
from tests.conftest import ROOT

OUT = ROOT / "analysis" / "output" / "tables"


def test_the_committed_tables_are_what_the_committed_records_give(tmp_path):
    tables.main(["--runs", str(ROOT / "runs"), "--out", str(tmp_path)])
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {"params.csv", "micro_gsm_micro_gemma.md", "digits_micro_vit.md"} <= made.keys()
    for name, text in made.items():
        assert (OUT / name).read_text() == text, name


def test_the_committed_tables_of_the_paper_are_what_the_committed_records_give(tmp_path):
    paper_tables.main(["--runs", str(ROOT / "runs"), "--out", str(tmp_path)])
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {"table1.csv", "table10.md", "micro_table3.tex"} <= made.keys()
    for name, text in made.items():
        assert (OUT / name).read_text() == text, name


@pytest.mark.parametrize(
    ("page", "name"),
    [(comparison, "comparison"), (fusion, "fusion"), (training_strength, "vectorfit_strength")],
)
def test_the_committed_comparisons_are_what_the_committed_records_give(tmp_path, page, name):
    page.main(["--runs", str(ROOT / "runs"), "--out", str(tmp_path)])
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    planned = (ROOT / "runs" / "experiments" / f"{name}.json").exists()
    assert made.keys() == ({f"{name}.{kind}" for kind in ("csv", "md", "tex")} if planned else set())
    for file, text in made.items():
        assert (OUT / file).read_text() == text, file


def test_the_committed_benchmarks_are_what_the_committed_files_give(tmp_path):
    bench_tables.main(["--runs", str(ROOT / "runs"), "--out", str(tmp_path)])
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made.keys() == {path.name for path in OUT.glob("bench_*")} != set()
    for file, text in made.items():
        assert (OUT / file).read_text() == text, file


def test_the_committed_errata_are_what_the_reference_gives(tmp_path):
    errata.main(["--runs", str(ROOT / "runs"), "--out", str(tmp_path)])
    for path in tmp_path.iterdir():
        assert (OUT.parent / path.name).read_text() == path.read_text()


def test_the_tables_in_the_readme_and_in_docs_are_the_committed_ones(monkeypatch):
    monkeypatch.chdir(ROOT)
    tables_in = {str(page): page.read_text(encoding="utf-8").count("<!-- table:") for page in readme.pages()}
    assert tables_in["README.md"] >= 1
    assert tables_in["docs/results.md"] >= 4
    assert tables_in["docs/speed.md"] >= 2
    assert readme.main(["--check", "--tables", str(OUT)]) == 0


def test_every_figure_that_the_results_show_or_link_is_there():
    named = set(re.findall(r"\(\.\./(analysis/output/[^)]+)\)", (ROOT / "docs" / "results.md").read_text()))
    assert {"analysis/output/figures/pareto_comparison.png", "analysis/output/figures/vectorfit_strength.png"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
