"""The page as a file: what is in it, what may run in it, and what is said of records that make none."""

import base64
import gzip
import hashlib
import json
import re

import pytest

from analysis.program import main
from analysis.report import charts, parts


@pytest.fixture(autouse=True)
def _bundle(monkeypatch):
    """Vega takes seconds to put together, and none of these tests runs it."""
    monkeypatch.setattr(parts, "vega_script", lambda: "window.vegaEmbed = null;")


def opened(page: bytes, name: str):
    blob = re.search(rf'<script type="application/octet-stream" id="{name}">([^<]*)</script>', page.decode())[1]
    return gzip.decompress(base64.b64decode(blob)).decode()


def report(runs, out) -> int:
    return main(["report", "--runs", str(runs), "--out", str(out)])


def test_a_page_has_its_records_and_is_the_same_when_made_again(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"})
    add("SVFT-P", 0, {"strict": "0111"}, method="svft_plain")
    pages = []
    for name in ("a", "b"):
        assert report(tmp_path / "runs", tmp_path / f"{name}.html") == 0
        pages.append((tmp_path / f"{name}.html").read_bytes())
    assert hashlib.sha256(pages[0]).digest() == hashlib.sha256(pages[1]).digest()
    core = json.loads(opened(pages[0], "core"))
    assert core["about"] | {"runs": 2, "done": 2, "failed": 0} == core["about"]
    (board,) = core["boards"]
    assert {line["label"]: own[0][0][1] for line, own in zip(board["lines"], board["outcomes"], strict=True)} == {
        "LoRA": 0.5, "SVFT-P": 0.75,
    }  # fmt: skip


def test_nothing_runs_but_the_scripts_of_the_page_and_nothing_is_loaded(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"})
    report(tmp_path / "runs", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_bytes()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page.decode())[1]
    script = re.findall(r'<script type="module">(.*?)</script>', page.decode(), re.DOTALL)
    allowed = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in [*script, opened(page, "vega")]
    }
    assert len(script) == 1
    assert policy.startswith("default-src 'none';")
    assert set(re.findall(r"'sha256-([^']*)'", policy)) == allowed
    assert "unsafe-eval" not in policy and "http" not in policy
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.decode())


def test_what_records_say_can_not_end_a_script(add, tmp_path):
    add("</script><script>alert(1)</script>", 0, {"strict": "0011"})
    report(tmp_path / "runs", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_bytes()
    assert b"alert(1)" not in page
    assert "alert(1)" in opened(page, "core")


@pytest.mark.parametrize("runs", ["empty", "none"])
def test_a_folder_without_records_makes_no_page(tmp_path, capsys, runs):
    (tmp_path / "empty").mkdir()
    try:
        code = report(tmp_path / runs, tmp_path / "a.html")
    except SystemExit as left:
        code = left.code
    assert code != 0
    assert re.search(r"error: (no record below|there is no folder) ", capsys.readouterr().err)
    assert not (tmp_path / "a.html").exists()


def test_a_page_that_is_too_large_is_not_written(add, tmp_path, monkeypatch, capsys):
    add("LoRA", 0, {"strict": "0011"})
    (tmp_path / "a.html").write_text("before")
    monkeypatch.setattr(parts, "LIMIT", 1000)
    assert report(tmp_path / "runs", tmp_path / "a.html") == 1
    assert re.search(r"^error: the page has [\d,]+ bytes, more than 1,000; ", capsys.readouterr().err)
    assert (tmp_path / "a.html").read_text() == "before"


def test_a_damaged_record_is_told_on_the_page(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"})
    path = add("LoRA", 1, {"strict": "0111"})
    path.write_text(path.read_text()[:-20])
    assert report(tmp_path / "runs", tmp_path / "a.html") == 0
    (sentence,) = json.loads(opened((tmp_path / "a.html").read_bytes(), "core"))["about"]["left_out"]
    assert "seed=1" in sentence


def test_figures_are_written_beside_the_page(add, tmp_path):
    add("LoRA", 0, {"strict": "0011"})
    add("SVFT-P", 0, {"strict": "0111"}, method="svft_plain", parameters={"adapter": 12, "head": 0, "frozen": 10})
    out = ["--out", str(tmp_path / "a.html"), "--figures", str(tmp_path / "plots")]
    assert main(["report", "--runs", str(tmp_path / "runs"), *out]) == 0
    made = {path.suffix: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    assert set(made) == {".svg", ".png", ".pdf"}
    assert b"SVFT-P" in made[".svg"]
    assert (made[".png"][:4], made[".pdf"][:4]) == (b"\x89PNG", b"%PDF")


def test_a_plot_shows_methods_without_a_yaml_and_no_row_without_a_number(add, tmp_path):
    unknown = {"strict": {"mean": None, "standard_error": None, "unparsed": 0.0, "items": None}}
    nothing = {"metric": "pearson", "n": 4, "seconds": 1.0, "generated_tokens": 0, "scorers": unknown}
    add("LoRA", 0, {"strict": "0011"})
    add("Of mine", 0, {"strict": "0111"}, method="mine")
    add("LoRA (r=1)", 0, {"strict": "0111"}, method="lora_r1")
    add("Without", 0, scores={"toy": {"test": nothing}}, method="oft")
    out = ["--out", str(tmp_path / "a.html"), "--figures", str(tmp_path / "plots")]
    assert main(["report", "--runs", str(tmp_path / "runs"), *out]) == 0
    drawn = (tmp_path / "plots" / "pareto_toy_tiny.svg").read_text()
    assert "Of mine" in drawn and "LoRA (r=1)" in drawn and "Without" not in drawn
    assert drawn.count("#0072B2") > drawn.count("#6b6b6b") > 0


def test_it_is_said_where_there_is_nothing_to_plot(add, tmp_path, capsys):
    add("LoRA", 0, {"strict": "0011"})
    out = ["--out", str(tmp_path / "a.html"), "--figures", str(tmp_path / "plots")]
    assert main(["report", "--runs", str(tmp_path / "runs"), *out]) == 0
    assert capsys.readouterr().err == "no plot was written: no table has two adapters with a score\n"


@pytest.mark.parametrize("place", ["seed=0", ".", "tiny/lora/v-1/seed=0"])
def test_a_record_may_lie_elsewhere_than_a_run_puts_it(add, tmp_path, place):
    path = add("LoRA", 0, {"strict": "0011"})
    moved = tmp_path / "moved" / place / path.name
    moved.parent.mkdir(parents=True)
    path.rename(moved)
    assert report(tmp_path / "moved", tmp_path / "a.html") == 0


@pytest.mark.parametrize("name", charts.specifications())
def test_every_chart_is_drawn_of_its_rows_alone(name):
    row = {"x": 1e3, "y": 50.0, "low": 40.0, "high": 60.0, "label": "LoRA", "colour": "#0072B2", "shape": "circle",
           "front": True, "step": 1, "loss": 2.0, "claim": "h01", "column": "A", "mean": 1.0, "verdict": "holds",
           "tokens": 256, "value": 1.1}  # fmt: skip
    drawn = charts.drawn(name, [row, {**row, "x": 1e4, "step": 2, "tokens": 512}], {}, ["svg"])["svg"].decode()
    assert "#0072B2" in drawn
    assert "currentColor" not in drawn
