"""The estimate of a contrast and its error against worked cases, published examples and simulation."""

import numpy as np
import pytest
from scipy import stats as reference

from analysis.statistics import estimates
from analysis.statistics.estimates import Estimate

# BCG vaccine against tuberculosis, 13 trials (Colditz et al. 1994, as in metafor's dat.bcg): cases and others, treated
# and not.
BCG = np.array([
    [4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27],
    [119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886],
    [11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29],
    [128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825],
])  # fmt: skip


def test_the_error_of_seeds_and_items_is_the_worked_case():
    """Means 1/2, 1/4 and 3/4 of seeds, 1, 1/3, 2/3 and 0 of items; Σ² of both and of the rest by hand."""
    found = estimates.crossed(np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]]))
    seeds, items = 4 * (0 + 1 / 16 + 1 / 16) / 2, 3 * (1 / 4 + 1 / 36 + 1 / 36 + 1 / 4) / 3
    rest = (3.0 - 2 * 4 / 16 - 3 * 5 / 9) / 6  # all of it, less both: Σ(D - 1/2)² = 12/4 = 3
    square = seeds + items - rest
    assert found.mean == 0.5
    assert found.error == pytest.approx(np.sqrt(square / 12))
    assert found.df == pytest.approx(square**2 / (seeds**2 / 2 + items**2 / 3 + rest**2 / 6))
    assert (found.seeds, found.items) == (3, 4)


def test_the_error_is_never_below_that_of_seeds_or_of_items_alone():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.integers(-1, 2, (3, 30)).astype(float)
        found = estimates.crossed(values)
        assert found.error >= estimates.over_seeds(values.mean(axis=1)).error - 1e-12
        assert found.error >= reference.sem(values.mean(axis=0)) - 1e-12
        assert found.df >= 2


def test_where_seeds_agree_the_test_is_the_t_test_over_items_and_where_items_agree_that_over_seeds():
    rng = np.random.default_rng(1)
    row = rng.integers(-1, 2, 80).astype(float)
    same = estimates.crossed(np.tile(row, (4, 1)))
    exact = reference.ttest_1samp(row, 0.1)
    assert (same.error, same.df) == pytest.approx((reference.sem(row), 79))
    assert estimates.two_sided_p(same, 0.1) == pytest.approx(exact.pvalue)
    seeds = rng.normal(0.1, 0.1, 5)
    across = estimates.crossed(np.tile(seeds[:, None], (1, 80)))
    assert (across.error, across.df) == pytest.approx((reference.sem(seeds), 4))
    assert estimates.two_sided_p(across, 0) == pytest.approx(reference.ttest_1samp(seeds, 0).pvalue)


def test_seeds_alone_are_the_t_test_of_scipy_and_its_interval():
    values = [0.02, 0.05, 0.01, 0.03]
    found, exact = estimates.over_seeds(values), reference.ttest_1samp(values, 0.01)
    assert estimates.two_sided_p(found, 0.01) == pytest.approx(exact.pvalue)
    assert found.interval == pytest.approx(tuple(exact.confidence_interval()))


@pytest.mark.parametrize("shift", [0.0, 0.006, -0.006, 0.03])
def test_equivalence_is_the_larger_of_two_one_sided_t_tests(shift):
    values = np.array([0.002, -0.004, 0.001, 0.003, -0.002]) + shift
    exact = max(
        reference.ttest_1samp(values, -0.01, alternative="greater").pvalue,
        reference.ttest_1samp(values, 0.01, alternative="less").pvalue,
    )
    assert estimates.equivalence_p(estimates.over_seeds(values), 0.01) == pytest.approx(exact)


def test_the_smallest_difference_is_found_with_a_power_of_80_percent():
    """Of the noncentral t, exactly; the sum of two quantiles is near it."""
    found = Estimate(0.0, 0.01, 12.0, 5, 100)
    effect, limit = found.smallest / found.error, reference.t.ppf(0.975, 12)
    power = reference.nct.sf(limit, 12, effect) + reference.nct.cdf(-limit, 12, effect)
    assert power == pytest.approx(0.8, abs=0.01)


def test_the_summary_is_the_published_one_of_the_bcg_trials():
    """metafor: tau² 0.3088, estimate -0.7141, error 0.1787; Hartung and Knapp's 0.1807 as statsmodels 0.15 has it."""
    tp, tn, cp, cn = BCG
    y, v = np.log((tp / (tp + tn)) / (cp / (cp + cn))), 1 / tp - 1 / (tp + tn) + 1 / cp - 1 / (cp + cn)
    found = estimates.combined([Estimate(a, b, 99.0, 1) for a, b in zip(y, np.sqrt(v), strict=True)])
    assert found.tau**2 == pytest.approx(0.3088, abs=5e-5)
    assert found.estimate.mean == pytest.approx(-0.7141, abs=5e-5)
    assert 1 / np.sqrt((1 / (v + found.tau**2)).sum()) == pytest.approx(0.1787, abs=5e-5)
    assert found.estimate.error == pytest.approx(0.18069662833554745)
    assert (found.estimate.df, found.sets) == (12, 13)


def test_the_error_of_a_summary_is_never_below_the_plain_one():
    """Hartung and Knapp's own would be 0 of equal estimates."""
    found = estimates.combined([Estimate(0.02, 0.01, 9.0, 5), Estimate(0.02, 0.01, 9.0, 5)])
    assert (found.estimate.error, found.tau) == pytest.approx((0.01 / np.sqrt(2), 0))


def test_one_column_is_its_own_summary():
    one = Estimate(0.02, 0.01, 9.0, 5)
    assert estimates.combined([one]) == estimates.Summary(one, 0.0, 1)


def test_what_does_not_vary_has_no_error_however_its_sum_is_rounded():
    assert not estimates.crossed(np.full((3, 40), 1 - 0.96 - 0.04)).varies
    assert not estimates.over_seeds([0.1 + 0.2, 0.3, 0.3]).varies


@pytest.mark.parametrize(("of_seeds", "of_items"), [(0.0, 0.3), (0.05, 0.3), (0.05, 0.0)])
def test_intervals_cover_the_truth_and_the_test_errs_in_one_of_twenty(of_seeds, of_items):
    """400 draws of 5 seeds by 60 items: 95 % within 2.5 binomial errors below, and at most a little too wide."""
    rng, covered = np.random.default_rng(7), []
    for _ in range(400):
        seeds, items, rest = (rng.normal(0, s, n) for s, n in ((of_seeds, (5, 1)), (of_items, (1, 60)), (0.4, (5, 60))))
        covered.append(estimates.two_sided_p(estimates.crossed(seeds + items + rest), 0) > 0.05)
    assert 0.923 <= np.mean(covered) <= 0.99
