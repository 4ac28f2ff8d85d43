"""What is committed follows from what is committed: tables and figures from records, the README from tables."""

import re

import matplotlib
import pytest

from analysis import program, readme
from analysis.load.records import load
from tests.conftest import ROOT

OUT = ROOT / "analysis" / "output"
MATPLOTLIB = re.compile(r"Matplotlib v(\S+),")  # in an SVG, whose bytes another version may write differently


@pytest.fixture(scope="module")
def made():
    """Every page and figure of the committed records, by its file below analysis/output; figures as SVG alone."""
    loaded, faults = load(ROOT / "runs"), []
    assert loaded.left_out == []
    pages = {}
    for command in program.MAKERS:
        for name, maker in program.makers(command, loaded, faults).items():
            page = maker()
            files = page.files() if command == "tables" else page.files(("svg",))
            pages |= {f"{page.folder}/{name}.{ending}".lstrip("/"): content for ending, content in files.items()}
    assert faults == []
    return pages


def committed(*endings: str) -> set[str]:
    """Files of analysis/output, but those of searches, which write picks besides."""
    paths = (path.relative_to(OUT).as_posix() for path in OUT.rglob("*.*") if path.suffix[1:] in endings)
    return {path for path in paths if not path.startswith("tables/search_")}


def test_the_committed_tables_are_those_that_the_committed_records_give(made):
    names = {name for name in made if not name.startswith("figures/")}
    assert names == committed("csv", "md", "tex")
    assert [name for name in sorted(names) if made[name] != (OUT / name).read_bytes()] == []


def test_the_committed_figures_are_those_that_the_committed_records_give(made):
    names = {name for name in made if name.startswith("figures/")}
    assert names == committed("svg")
    assert {name.replace(".svg", ".png") for name in names} == committed("png")
    (version,) = {MATPLOTLIB.search((OUT / name).read_text())[1] for name in names}
    if version != matplotlib.__version__:
        pytest.skip(f"the figures were drawn by Matplotlib {version}")
    assert [name for name in sorted(names) if made[name] != (OUT / name).read_bytes()] == []


def test_the_tables_in_the_readme_and_in_docs_are_the_committed_ones(monkeypatch):
    monkeypatch.chdir(ROOT)
    tables_in = {str(page): page.read_text(encoding="utf-8").count("<!-- table:") for page in readme.pages()}
    assert tables_in["README.md"] >= 1
    assert tables_in["docs/results.md"] >= 4
    assert tables_in["docs/speed.md"] >= 2
    assert readme.main(["--check", "--tables", str(OUT / "tables")]) == 0


def test_every_figure_that_the_results_show_or_link_is_there():
    named = set(re.findall(r"\(\.\./(analysis/output/[^)]+)\)", (ROOT / "docs" / "results.md").read_text()))
    assert {"analysis/output/figures/pareto_comparison.png", "analysis/output/figures/vectorfit_strength.png"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
