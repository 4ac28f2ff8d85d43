"""What a reader does: filter, change the reference, open a number, compare rows, export, come back to an address."""

import csv
import hashlib
import io
import re

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.page

SECTIONS = ("overview", "explorer", "versus", "pareto", "paper", "cost", "methods")
PLACES = (
    *(f"/{section}" for section in SECTIONS), "/overview?ref=printed",
    "/explorer?board=comparison", "/explorer?board=all", "/paper?part=claims",
    "/paper?part=others", "/paper?part=misprints", "/overview?open=real.3.0", "/overview?open=real.3.0&tab=items",
    "/overview?open=real.3.0&tab=configuration", "/overview?open=real.3.0&tab=runs",
)  # fmt: skip


def labels(tab, of: str = "explorer") -> list[str]:
    return [text.strip() for text in tab.locator(f"#{of} tbody tr > :first-child").all_inner_texts()]


def test_a_filter_leaves_the_lines_that_fit(page):
    tab = page.go("/explorer?board=real")
    everything = labels(tab)
    tab.select_option("#filter-family", "SVFT")
    page.settle()
    assert labels(tab) == [label for label in everything if label.startswith("SVFT")] != everything
    tab.fill("#filter-most", "20k")
    page.settle()
    assert labels(tab) == ["SVFT-P"]
    assert tab.locator("#explorer-count").inner_text() == f"1 line of {len(everything)}."


def test_a_table_is_sorted_by_the_column_that_is_clicked(page):
    tab = page.go("/explorer?board=real")
    tab.get_by_role("button", name="Trained").first.click()
    page.settle()
    trained = [
        int(text.replace(",", "")) for text in tab.locator("#explorer tbody tr > :nth-child(4)").all_inner_texts()
    ]
    assert trained in (sorted(trained), sorted(trained, reverse=True))


def test_another_reference_changes_the_verdicts_that_are_shown(page):
    tab = page.go("/explorer?board=real")
    before = tab.locator("#explorer").inner_text()
    tab.select_option("#explorer-ref", "Head")
    page.settle()
    after = tab.locator("#explorer").inner_text()
    assert "Compared with Head." in tab.locator("main").inner_text()
    better = tab.locator("#explorer tbody tr", has_text="better").count()
    assert better == len(labels(tab)) - 1 and "worse" not in after
    assert "better" not in before and "worse" in before


def test_a_number_opens_its_seeds_items_configuration_and_command(page):
    tab = page.go("/explorer?board=real")
    tab.locator("#explorer tbody tr", has_text="SVFT-P").locator("a.open").first.click()
    page.settle()
    dialog = tab.locator("#drill")
    assert dialog.is_visible() and dialog.locator("h2").inner_text().strip() == "SVFT-P"
    for title, expected in (
        ("Seeds", r"\b82\.\d"), ("Items", r"LoRA \(r=8\)"), ("Configuration", r"0\.03"),
        ("Runs", r"python run\.py .*method=svft_plain"),
    ):  # fmt: skip
        dialog.get_by_role("tab", name=title).click()
        tab.evaluate("async () => report.drilled")
        assert re.search(expected, dialog.inner_text()), title
    tab.keyboard.press("Escape")
    page.settle()
    assert not dialog.is_visible()


def test_two_rows_are_read_side_by_side_where_one_of_them_is_right(page):
    tab = page.go("/explorer?board=real&open=real.3.0&tab=items&with=0")
    tab.evaluate("async () => report.drilled")
    rows = [re.split(r"\s*\t\s*", row.strip()) for row in tab.locator("#items tbody tr").all_inner_texts()]
    assert len(rows) > 5
    for *_, gold, own, other in rows:
        (right,) = (answer for answer in (own, other) if answer.startswith("right"))
        (wrong,) = (answer for answer in (own, other) if answer.startswith("wrong"))
        assert right.endswith(gold) and not wrong.endswith(gold)


def test_items_are_told_over_all_seeds_and_come_first_where_the_seeds_differ_most(page):
    tab = page.go("/explorer?board=real&open=real.3.0&tab=items&with=0")
    tab.evaluate("async () => report.drilled")
    gaps = []
    for row in tab.locator("#items tbody tr").all_inner_texts():
        (own, n), (other, same) = re.findall(r"(\d+) of (\d+) seeds right", row)
        assert n == same == "5"
        gaps.append(abs(int(own) - int(other)))
    outcomes = """(line) => report.core.boardOf.get("real").cells[line][0].outcomes.map(({ items }) => [...items])"""
    own, other = (tab.evaluate(outcomes, line) for line in (3, 0))
    trusted = sorted(
        (
            abs(sum(seed[i] for seed in own) - sum(seed[i] for seed in other))
            for i in range(len(own[0])) if own[0][i] != other[0][i]
        ), reverse=True,
    )  # fmt: skip
    assert gaps == trusted[: len(gaps)] and len(gaps) > 5


def test_a_table_is_exported_as_it_is_shown(page):
    tab = page.go("/explorer?board=real&family=SVFT")
    shown = labels(tab)
    made = {}
    for form in ("Markdown", "CSV", "LaTeX"):
        tab.get_by_role("button", name=form).first.click()
        tab.wait_for_function("(before) => report.copied !== before", arg=made.get("last", ""))
        made[form] = made["last"] = tab.evaluate("report.copied")
    assert [row[0].strip() for row in csv.reader(io.StringIO(made["CSV"]))][1:] == shown
    assert [line.split("|")[1].strip() for line in made["Markdown"].splitlines() if line.startswith("|")][2:] == shown
    assert all(f"{label} &" in made["LaTeX"] for label in shown)
    assert re.match(r"(%.*\n)+\\begin\{tabular\}", made["LaTeX"])
    assert "Compared with LoRA (r=8)." in made["Markdown"].splitlines()[-1]


def test_an_address_brings_back_what_was_shown(page, browser):
    tab = page.go("/explorer?board=real")
    tab.select_option("#filter-family", "SVFT")
    tab.select_option("#explorer-ref", "Full-FT")
    page.settle()
    address, text = tab.url, tab.locator("main").inner_text()
    tab.goto("about:blank")
    tab.goto(address)
    page.settle()
    assert tab.locator("main").inner_text() == text
    tab.get_by_role("link", name="Cost").click()
    page.settle()
    tab.go_back()
    page.settle()
    assert tab.locator("main").inner_text() == text


def test_a_budget_gives_the_best_row_within_it_and_what_cannot_be_told_apart(page):
    tab = page.go("/pareto?board=real")
    tab.locator("main input").first.fill("50k")
    page.settle()
    said = tab.locator("#take").inner_text()
    assert "50,000" in said.replace("50k", "50,000")
    assert "SVFT-P" in said and "LoRA (r=1)" in said and "LoRA (r=8)" not in said
    assert tab.locator("#pareto-chart svg").count() == 1


def test_two_methods_meet_once_in_each_column_that_scored_both_and_differ_as_in_its_table(page):
    tab = page.go("/versus?a=SVFT-P&b=LoRA (r=8)")
    said = tab.locator("#versus-said").inner_text()
    number, *parts = map(
        int, re.search(r"(\d+) columns: better in (\d+), worse in (\d+), not told apart in (\d+)", said).groups()
    )
    untested = re.search(r"not tested in (\d+)", said)
    assert number == sum(parts) + int(untested[1] if untested else 0) == tab.locator("#versus tbody tr").count()
    row = tab.locator("#versus tbody tr", has_text="MiniLM-L6, movie snippets")
    assert row.count() == 1
    tab = page.go("/explorer?board=real&cols=c0,d0")
    table = tab.locator("#explorer tbody tr", has_text="SVFT-P").locator("td").last.inner_text()
    tab = page.go("/versus?a=SVFT-P&b=LoRA (r=8)")
    assert table in tab.locator("#versus tbody tr", has_text="MiniLM-L6, movie snippets").inner_text()
    tab.locator("#versus-swap").click()
    page.settle()
    swapped = tab.locator("#versus-said").inner_text()
    assert swapped.startswith("LoRA (r=8) against SVFT-P")
    assert re.search(r"better in (\d+), worse in (\d+)", swapped).groups() == (str(parts[1]), str(parts[0]))


@pytest.mark.parametrize(("name", "limit"), [("most", "abc"), ("most", "50.000.000"), ("times", "1,5")])
def test_a_limit_that_is_no_number_is_told_and_not_passed_over(page, name, limit):
    tab = page.go(f"/pareto?board=real&{name}={limit}")
    assert tab.locator("#take").inner_text().startswith("A limit is no number")
    assert tab.locator(f"#take-{name}").get_attribute("aria-invalid") == "true"


def test_what_could_not_be_tested_is_not_called_a_tie_of_the_front(page):
    tab = page.go("/pareto?board=micro_stsb_micro_deberta")
    standing = tab.locator("#front tbody tr > :last-child").all_inner_texts()
    assert set(standing) == {"on the front", "not on it, not tested"}


def test_a_score_that_is_no_number_is_neither_better_nor_worse(page):
    page.go("/overview")
    verdict = page.tab.evaluate(
        """() => {
          const board = report.core.boardOf.get("real");
          const place = (label) => board.lines.findIndex((line) => line.label === label);
          board.cells[place("Head")][0].outcomes[0].mean = NaN;
          board.judged = new Map();
          return report.statistics.judge(board, "SVFT-P").at(place("Head"), 0).verdict;
        }"""
    )
    assert verdict == "untested"


def test_seeds_without_a_number_are_told_beside_the_mean_of_the_others(page):
    page.go("/explorer?board=real")
    page.tab.evaluate(
        """() => {
          const cell = report.core.boardOf.get("real").cells[0][0];
          Object.assign(cell, { seeds: 4, lost: 1 });
          dispatchEvent(new Event("shown-theme"));
        }"""
    )
    page.settle()
    assert "4 of 5 seeds, 1 without a number" in page.tab.locator("#explorer tbody tr").first.inner_text()


def test_a_row_that_was_not_run_in_a_column_has_no_rate_seeds_or_verdict_of_another(page):
    board = page.go("/overview") and page.tab.evaluate(
        """() => {
          const { core } = report;
          for (const board of core.boards)
            for (const [line, own] of board.lines.entries())
              for (const column of own.columns ?? [])
                if (!board.cells[line][column] && board.cells[line].some(Boolean) && own.rows[column] === null)
                  return [board.name, line, column];
        }"""
    )
    if board is None:
        pytest.skip("every row of the committed records was run in all of its columns, or in none")
    name, line, column = board
    tab = page.go(f"/explorer?board={name}&column={column}&cols=rate,seeds,c{column},v{column}")
    cells = tab.locator("#explorer tbody tr").nth(line).locator("td").all_inner_texts()
    assert [text.strip() for text in cells] == ["", "", "not run", ""]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_there_without_a_word_to_the_console_or_the_network(page, section):
    tab = page.go(f"/{section}")
    assert tab.locator("h2").first.is_visible()
    text = tab.locator("body").inner_text()
    assert not re.search(r"undefined|\[object|\bNaN\b", text)


@pytest.mark.parametrize("place", PLACES)
def test_no_place_is_wider_than_a_small_screen(page, place):
    page.tab.set_viewport_size({"width": 390, "height": 844})
    tab = page.go(place)
    tab.evaluate("async () => report.drilled")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    from importlib.resources import files

    (source,) = (
        each
        for each in files("axe_playwright_python").iterdir()
        if each.name.startswith("axe") and each.name.endswith(".js")
    )
    page.tab.emulate_media(color_scheme=theme)
    found = []
    for place in PLACES:
        tab = page.go(place)
        tab.evaluate("async () => report.drilled")
        tab.evaluate(source.read_text(encoding="utf-8") + "; void 0")
        violations = tab.evaluate(
            """async () => {
              const {violations} = await axe.run(document, {resultTypes: ["violations"]});
              return violations.map(({id, impact}) => [id, impact]);
            }"""
        )
        found += [(place, name) for name, impact in violations if impact in ("serious", "critical")]
    assert found == []


def test_the_committed_page_is_the_one_that_the_committed_records_give(file):
    there = ROOT / "analysis" / "output" / "report.html"
    assert hashlib.sha256(there.read_bytes()).hexdigest() == hashlib.sha256(file.read_bytes()).hexdigest()


# --- what nobody would click ----------------------------------------------------------------------------------------


def copied(page, labels: list[str], form: str) -> str:
    """A table with a line a label, as it is copied."""
    page.go("/explorer?board=real")
    page.tab.evaluate(
        """(labels) => {
          const { lines } = report.core.boardOf.get("real");
          labels.forEach((label, i) => (lines[i].label = label));
          dispatchEvent(new Event("shown-theme"));
        }""",
        labels,
    )
    page.settle()
    page.tab.get_by_role("button", name=form).first.click()
    page.tab.wait_for_function("report.copied !== ''")
    return page.tab.evaluate("report.copied")


def test_a_spreadsheet_takes_no_label_for_a_formula(page):
    labels = ["=1+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "+cmd", "-2*HYPERLINK(1)"]
    rows = list(csv.reader(io.StringIO(copied(page, labels, "CSV"))))[1:]
    assert [row[0] for row in rows[: len(labels)]] == [f"'{label}" for label in labels]
    numbers = [cell for row in rows for cell in row[1:] if re.match(r"[-+]\d", cell)]
    assert len(numbers) > 5


def test_a_label_is_no_option_of_latex_and_no_markup(page):
    labels = ["[a] b", "* c", "d\ne"]
    latex = copied(page, labels, "LaTeX")
    assert re.findall(r"^(\{\[\}a\] b|\{\*\} c|d e) &", latex, re.MULTILINE) == ["{[}a] b", "{*} c", "d e"]
    assert "| \\&lt;b\\> \\$x\\$ |" in copied(page, ["&lt;b> $x$"], "Markdown")


@pytest.mark.parametrize(
    "place",
    ["/cost?measure=constructor&bench=-1", "/nowhere?ref=Nobody", "/overview?ref=Nobody", "/explorer?board=Nobody",
     "/explorer?board=real&column=99&sort=-nothing&cols=nothing", "/pareto?board=real&y=c99&x=nothing&lora=99&times=2",
     "/overview?open=real.99.99", "/overview?open=real.0.0&with=99&tab=no", "/explorer?q=%E0%A4%A", "?",
     "/overview?open=real.0.0&tab=items&page=-3&seed=x&show=y", "/paper?part=no"],
)  # fmt: skip
def test_an_address_that_names_nothing_shows_a_page(page, place):
    tab = page.go(place)
    tab.evaluate("async () => report.drilled")
    assert tab.locator("h2").first.is_visible()
    assert not re.search(r"undefined|\[object|\bNaN\b", tab.locator("body").inner_text())


def test_means_over_benchmarks_are_not_said_to_be_told_apart(page):
    page.go()
    board = page.tab.evaluate(
        "report.core.boards.findIndex(({ columns }) => columns.filter(({ unit }) => unit === '%').length)"
    )
    page.tab.evaluate(
        """(place) => {
          const { columns } = report.core.boards[place];
          columns[0].tested = false;
          report.core.boards[place].judged = undefined;
          dispatchEvent(new Event("shown-theme"));
        }""",
        board,
    )
    page.settle()
    sentence = page.tab.locator("#overview .tile .group, .tile .group").first.inner_text()
    assert sentence.endswith("Others are not tested.")


@pytest.mark.parametrize("lacking", ["delete globalThis.DecompressionStream", "globalThis.atob = () => 'cut'"])
def test_a_page_that_cannot_open_its_records_says_so(browser, file, lacking):
    tab = browser.new_page()
    said = []
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.add_init_script(lacking)
    tab.goto(file.as_uri())
    tab.evaluate("async () => report.ready")
    assert re.search("DecompressionStream|not whole", tab.locator("main").inner_text())
    assert said == []
    tab.close()


def test_long_words_make_no_place_wider_than_a_small_screen(page):
    page.tab.set_viewport_size({"width": 320, "height": 800})
    for place in ("/overview", "/explorer?board=real", "/pareto?board=real", "/explorer?board=real&open=real.0.0"):
        page.go(place)
        page.tab.evaluate(
            """async () => {
              for (const board of report.core.boards) board.lines[0].label = "W".repeat(200);
              dispatchEvent(new Event("shown-theme"));
              await report.drawn;
              await report.drilled;
            }"""
        )
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= 320, place
        assert page.tab.evaluate("document.querySelector('#drill').scrollWidth") <= 320, place


def test_a_table_without_a_score_lists_its_runs(page):
    page.go("/overview")
    page.tab.evaluate(
        """() => {
          const board = report.core.boardOf.get("real");
          board.columns = [];
          board.cells = board.lines.map((line) => ((line.columns = []), []));
        }"""
    )
    page.tab.evaluate("location.hash = '#/explorer?board=real'")
    page.tab.wait_for_selector("#explorer tbody tr")
    assert "LoRA (r=8)" in labels(page.tab)
    assert "No run has a score." in page.tab.locator("main").inner_text()
