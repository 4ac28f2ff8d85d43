"""Statistics against scipy, enumeration and worked examples."""

from itertools import product

import numpy as np
import pytest
from scipy import stats as reference

from analysis.statistics import stats


def test_the_bootstrap_interval_is_that_of_all_resamples():
    values = [0.40, 0.43, 0.47, 0.44, 0.52]
    means = [np.mean(resample) for resample in product(values, repeat=5)]
    assert stats.bootstrap_interval(values) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=2e-3)


def test_the_bootstrap_interval_is_the_same_each_time():
    assert stats.bootstrap_interval([0.1, 0.5, 0.3]) == stats.bootstrap_interval([0.1, 0.5, 0.3])


def test_with_three_seeds_the_interval_is_their_range():
    assert stats.bootstrap_interval([0.2, 0.9, 0.4]) == pytest.approx((0.2, 0.9))


@pytest.mark.parametrize("values", [[0.4], [0.4, 0.5]])
def test_below_three_seeds_there_is_no_interval(values):
    assert stats.bootstrap_interval(values) is None


def test_equal_seeds_have_an_interval_without_width():
    assert stats.bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize(("wins", "losses"), [(9, 2), (2, 9), (5, 5), (0, 1), (30, 12), (0, 0)])
def test_with_one_seed_the_paired_test_is_mcnemars_exact_test(wins, losses):
    one, other = "1" * wins + "0" * losses + "1100", "0" * wins + "1" * losses + "1100"
    expected = reference.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert stats.paired_p({0: one}, {0: other}) == pytest.approx(expected)


def test_over_seeds_the_paired_test_is_the_permutation_test_of_scipy():
    rng = np.random.default_rng(1)
    one, other = rng.random((3, 12)) < 0.7, rng.random((3, 12)) < 0.4
    exact = reference.permutation_test(
        (one.sum(0), other.sum(0)), lambda a, b, axis: (a - b).sum(axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    ).pvalue  # fmt: skip
    as_text = [{s: "".join("01"[int(v)] for v in row) for s, row in enumerate(rows)} for rows in (one, other)]
    assert stats.paired_p(*as_text) == pytest.approx(exact)


def test_only_shared_seeds_are_paired():
    one, other = {0: "1111", 1: "1111"}, {1: "0000", 2: "1111"}
    assert stats.paired_p(one, other) == pytest.approx(reference.binomtest(4, 4).pvalue)


@pytest.mark.parametrize("other", [{1: "01"}, {0: "011"}, {0: None}, {0: ""}])
def test_what_cannot_be_paired_has_no_p(other):
    assert stats.paired_p({0: "01"}, other) is None


def test_holm_is_the_worked_example():
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, then 0.04 x 1 raised to the value before it.
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one():
    assert stats.holm([0.6, 0.9]) == [1.0, 1.0]


def test_a_method_near_the_best_is_a_tie_and_one_far_from_it_is_not():
    items = {"a": {0: "1" * 40}, "b": {0: "1" * 38 + "00"}, "c": {0: "0" * 40}, "d": {9: "1" * 40}}
    means = {"a": 1.0, "b": 0.95, "c": 0.0, "d": 0.9}
    expected = {"a": "best", "b": "tie", "c": "differs", "d": "untested"}
    assert stats.against_best(means, items) == expected


def test_the_error_of_a_share_is_binomial_and_at_0_and_1_has_the_width_that_wilson_gives():
    assert stats.share_error(0.5, 100) == pytest.approx(0.05)
    z = reference.norm.ppf(0.975)
    assert stats.wilson_interval(0.0, 100) == (0.0, pytest.approx(z**2 / (100 + z**2)))  # the closed form at k = 0
    assert stats.wilson_interval(1.0, 100) == (pytest.approx(100 / (100 + z**2)), 1.0)
    assert stats.share_error(1.0, 100) == pytest.approx(stats.wilson_interval(0.0, 100)[1] / (2 * 1.96))


def test_means_of_the_same_numbers_are_equal_however_they_are_summed():
    assert sum([0.1, 0.2, 0.3]) / 3 != sum([0.3, 0.2, 0.1]) / 3
    assert stats.mean([0.1, 0.2, 0.3]) == stats.mean([0.3, 0.2, 0.1]) == 0.2
