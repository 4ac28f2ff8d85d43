"""Verdicts are computed in the page, and are those of the printed tables."""

import math

import pytest

from analysis.load.records import load
from analysis.pages import comparison, results
from analysis.statistics import estimates, stats
from analysis.statistics.experiments import experiments
from tests.conftest import ROOT

pytestmark = pytest.mark.page

JUDGED = """(wish) => Object.fromEntries(report.core.boards.map((board) => {
  const judged = report.statistics.judge(board, wish);
  return [board.name, board.lines.map((_, line) => board.columns.map((_, column) => judged.at(line, column)))];
}))"""


@pytest.fixture(scope="module")
def loaded():
    return load(ROOT / "runs")


@pytest.fixture
def judged(page):
    page.go()
    boards = {
        board["name"]: board for board in page.tab.evaluate("report.core.boards.map(({judged, ...rest}) => rest)")
    }
    return boards, page.tab.evaluate(JUDGED, "printed")


def close(one: float | None, other: float | None) -> bool:
    missing = one is None or math.isnan(one), other is None or math.isnan(other)
    return all(missing) or (not any(missing) and math.isclose(one, other, rel_tol=1e-7, abs_tol=1e-9))


def test_every_verdict_of_every_comparison_is_the_printed_one(loaded, judged):
    boards, found = judged
    checked = 0
    for name in (name for name, each in experiments(loaded).items() if each.compares):
        board = boards[name]
        cells = {
            (board["columns"][column]["name"], line["model"], line["label"], line["targets"]): own
            for line, row in zip(board["lines"], found[name], strict=True)
            for column, own in enumerate(row)
        }
        for row in comparison.numbers(loaded, name).itertuples():
            own = cells[row.panel, row.model, row.label, row.targets]
            if isinstance(row.verdict, str):
                assert own["verdict"] == row.verdict, (name, row.panel, row.label)
                checked += row.verdict != "reference"
            if own and own["verdict"] != "reference":
                for shown, printed in (("mean", "difference"), ("low", "difference_low"), ("high", "difference_high"),
                                       ("p", "p")):  # fmt: skip
                    assert close(own[shown], getattr(row, printed)), (name, row.panel, row.label, shown)
    assert checked > 40


def test_every_verdict_of_every_table_of_results_is_the_printed_one(loaded, judged):
    boards, found = judged
    seen = set()
    for result in results.results(loaded):
        board, keys = boards[result.name], list(result.rows["key"])
        names = [(column["benchmark"], column["scorer"]) for column in board["columns"]]
        for cell in result.cells.itertuples():
            own = found[result.name][keys.index(cell.key)][names.index((cell.benchmark, cell.scorer))]
            verdict = cell.verdict if isinstance(cell.verdict, str) else None
            assert (own or {}).get("verdict") == verdict, (result.name, cell)
            seen.add(verdict)
    assert {"best", "tie", "differs"} <= seen


@pytest.mark.parametrize("differences", [[1, 0, -2, 3], [0, 0], [1] * 30, [5, -5, 1], [1, -1] * 40 + [3]])
def test_the_sign_flip_test_of_the_page_is_that_of_the_tables(page, differences):
    page.go()
    made = page.tab.evaluate("(d) => report.statistics.sign_flip_p(d)", differences)
    assert made == pytest.approx(stats.sign_flip_p(differences), rel=1e-7)


def test_crossed_errors_of_the_page_are_those_of_the_verdicts(page):
    import numpy as np

    values = np.random.default_rng(0).integers(-1, 2, (5, 40))
    page.go()
    made = page.tab.evaluate(
        """(differences) => {
          const found = report.statistics.crossed(differences);
          return [found.mean, found.error, found.df, report.statistics.smallest(found)];
        }""",
        values.tolist(),
    )
    trusted = estimates.crossed(values)
    assert made == pytest.approx([trusted.mean, trusted.error, trusted.df, trusted.smallest], rel=1e-7)


def test_another_reference_gives_the_verdicts_of_a_table_with_that_reference(loaded, page):
    from analysis.statistics import paired
    from analysis.statistics.experiments import identified

    experiment = experiments(loaded)["real"]
    (column,) = experiment.manifest["columns"]
    by_label = {
        cell.label: paired.outcomes(column, identified(experiment.records)[cell.identity])
        for cell in experiment.cells.itertuples()
    }
    other = "SVFT-P"
    trusted = paired.differences({name: (own, by_label[other]) for name, own in by_label.items() if name != other})
    page.go()
    lines = page.tab.evaluate(
        'report.core.boards.find((board) => board.name === "real").lines.map((line) => line.label)'
    )
    made = dict(zip(lines, [row[0] for row in page.tab.evaluate(JUDGED, other)["real"]], strict=True))
    assert made.pop(other)["verdict"] == "reference"
    assert {name: own["verdict"] for name, own in made.items()} == {n: each.verdict for n, each in trusted.items()}
    for name, own in made.items():
        assert own["mean"] == pytest.approx(trusted[name].mean, abs=1e-12)
        assert own["p"] == pytest.approx(trusted[name].p, rel=1e-7)
