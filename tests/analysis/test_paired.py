"""Differences between runs: their size, their interval over seeds, and when they are called ties."""

import pytest
from scipy import stats as reference

from analysis.statistics import paired
from analysis.writing import numbers
from harness.store.record import find
from tests.analysis import paper_cases as cases


def runs(*items: str, data: str = "d") -> dict[int, paired.Outcome]:
    return {
        seed: paired.Outcome(text.count("1") / len(text), text, data) if text else paired.Outcome(0.5, None, data)
        for seed, text in enumerate(items)
    }


def right(count: int, n: int = 100) -> str:
    return "1" * count + "0" * (n - count)


def only(one, other) -> paired.Difference:
    return paired.differences({"x": (one, other)})["x"]


def test_a_difference_is_the_mean_over_shared_seeds_and_its_interval_their_range():
    found = only(runs(right(60), right(70), right(80)), runs(right(50), right(50), right(50), right(0)))
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.1, 0.3))
    assert (found.seeds, found.verdict) == (3, "better")


def test_p_is_mcnemars_and_holm_is_over_all_pairs_that_are_shown():
    """6 items against none: 2/64, 9 against none: 2/512; Holm doubles the smaller and keeps the larger."""
    found = paired.differences({"a": (runs(right(56)), runs(right(50))), "b": (runs(right(59)), runs(right(50)))})
    p = [reference.binomtest(n, n).pvalue for n in (6, 9)]
    assert [found["a"].p, found["b"].p] == pytest.approx([p[0], 2 * p[1]])
    twice = {name: (runs(right(56)), runs(right(50))) for name in "ab"}
    assert [each.verdict for each in paired.differences(twice).values()] == ["tie", "tie"]
    assert only(*twice["a"]).verdict == "better"


def test_a_difference_that_not_all_trainings_have_is_a_tie_however_many_items_speak_for_it():
    found = only(runs(right(90), right(90), right(49)), runs(right(50), right(50), right(50)))
    assert found.p < 1e-6 and found.low < 0 < found.high
    assert found.verdict == "tie"
    assert only(runs(right(90), right(90)), runs(right(50), right(50))).verdict == "better"  # two seeds: not known


def test_a_difference_of_few_items_is_a_tie_though_all_trainings_have_it():
    found = only(runs(*[right(51)] * 3), runs(*[right(50)] * 3))
    assert found.low > 0 and found.p == 1.0 and found.verdict == "tie"


@pytest.mark.parametrize("other", [runs(right(50), data="other"), runs("")])
def test_what_has_no_verdicts_on_the_same_items_is_untested(other):
    found = only(runs(right(90)), other)
    assert found.p is None and found.verdict == "untested"


def test_pairs_without_a_shared_seed_have_no_difference():
    assert paired.differences({"x": (runs(right(90)), {})}) == {}


def test_a_difference_of_nothing_is_zero_and_no_sum_of_rounding_errors():
    one, other = ({seed: paired.Outcome(mean, None, "d") for seed in range(3)} for mean in (0.1 + 0.2, 0.3))
    assert one[0].mean != other[0].mean
    difference = only(one, other)
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_outcomes_are_those_of_finished_runs_that_have_the_score(add, tmp_path):
    row = cases.row("M", "LoRA", metrics=["toy"])
    cases.ran(add, row, 0, {"toy": cases.entry("110")})
    cases.ran(add, row, 1, {"other": cases.entry("110")})
    cases.ran(add, row, 2, {"toy": cases.entry("111")}, status="failed")
    records = {record.run["seed"]: record for record in find(tmp_path / "runs")[0]}
    assert paired.outcomes(cases.column("toy"), records) == {0: paired.Outcome(2 / 3, "110", "d")}


@pytest.mark.parametrize(("rate", "said"), [(0.0321, "+3.2"), (-0.0321, "-3.2"), (-0.0004, "0.0"), (0.0, "0.0")])
def test_points_have_a_sign_unless_they_round_to_zero(rate, said):
    assert numbers.signed(rate) == said


def test_points_stand_before_their_interval():
    assert numbers.with_interval(0.02, 0.01, 0.03) == "+2.0 [+1.0, +3.0]"
    assert numbers.with_interval(0.02, None, None) == "+2.0"


def test_a_mean_that_is_no_number_is_neither_better_nor_worse():
    items = "1" * 30 + "0" * 70
    one = {seed: paired.Outcome(float("nan") if seed == 0 else 0.3, items, "d") for seed in range(3)}
    other = {seed: paired.Outcome(0.9, "1" * 90 + "0" * 10, "d") for seed in range(3)}
    assert only(one, other).verdict == "untested"
