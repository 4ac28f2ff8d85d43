"""Metrics against scikit-learn and scipy, and against values worked out by hand."""

import math
import random
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef

from tasks.scoring.corpus import f1, matthews, pearson, spearman


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(seed: int, regression: bool) -> tuple[list, list]:
    """Golds, and predictions that are right rather more often than not."""
    rng = random.Random(seed)
    golds = [rng.uniform(0, 5) if regression else rng.randrange(2) for _ in range(200)]
    return [g + rng.gauss(0, 1) if regression else (g if rng.random() < 0.7 else 1 - g) for g in golds], golds


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_classes_are_those_of_scikit_learn(seed):
    predictions, golds = drawn(seed, regression=False)
    assert matthews(predictions, golds) == pytest.approx(matthews_corrcoef(golds, predictions))
    assert f1(predictions, golds) == pytest.approx(f1_score(golds, predictions))
    assert sum(predictions) != sum(golds), "F1 would not show which argument is which"


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_values_are_those_of_scipy(seed):
    predictions, golds = drawn(seed, regression=True)
    assert pearson(predictions, golds) == pytest.approx(stats.pearsonr(golds, predictions).statistic)
    assert spearman(predictions, golds) == pytest.approx(stats.spearmanr(golds, predictions).statistic)


def test_matthews_of_a_table_worked_out_by_hand():
    # TP 3, TN 2, FP 1, FN 2: (3 * 2 - 1 * 2) / sqrt(4 * 5 * 3 * 4)
    golds, predictions = [1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 1]
    assert matthews(predictions, golds) == pytest.approx(4 / math.sqrt(240))


def test_f1_of_a_table_worked_out_by_hand_is_that_of_class_1():
    # TP 1, FP 1, FN 0: precision 1/2, recall 1. Class 0 would have 6/7.
    assert f1([1, 1, 0, 0, 0], [1, 0, 0, 0, 0]) == pytest.approx(2 / 3)


def test_correlations_worked_out_by_hand():
    # Deviations (-1, 0, 1) and (-2, -1, 3): 5 / sqrt(2 * 14). Ranks are the same.
    assert pearson([1.0, 2.0, 3.0], [0.0, 1.0, 5.0]) == pytest.approx(5 / math.sqrt(28))
    assert spearman([1.0, 2.0, 3.0], [0.0, 1.0, 5.0]) == pytest.approx(1)
    # Ranks (1.5, 1.5, 3) and (1, 2, 3): 1.5 / sqrt(1.5 * 2)
    assert spearman([7.0, 7.0, 9.0], [0.0, 1.0, 5.0]) == pytest.approx(math.sqrt(0.75))


@pytest.mark.parametrize("metric", [matthews, f1, pearson, spearman])
def test_the_golds_themselves_score_one_and_it_is_a_plain_number(metric):
    score = metric([0, 1, 1, 0], [0, 1, 1, 0])
    assert score == pytest.approx(1)
    assert type(score) is float


@pytest.mark.parametrize("metric", [matthews, pearson, spearman])
def test_the_opposite_scores_minus_one(metric):
    assert metric([1, 0, 0, 1], [0, 1, 1, 0]) == pytest.approx(-1)


@pytest.mark.parametrize("metric", [matthews, pearson, spearman])
@pytest.mark.parametrize(
    ("predictions", "golds"), [([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([1, 1], [1, 1]), ([1], [1])]
)
def test_what_is_constant_correlates_with_nothing(metric, predictions, golds):
    assert metric(predictions, golds) == 0.0


@pytest.mark.parametrize(("predictions", "golds"), [([0, 0, 0], [0, 1, 1]), ([0, 0], [0, 0]), ([1, 1], [0, 0])])
def test_f1_without_a_hit_is_zero(predictions, golds):
    assert f1(predictions, golds) == 0.0


@pytest.mark.parametrize("metric", [pearson, spearman])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_predictions_that_are_no_numbers_correlate_with_nothing(metric, broken):
    assert metric([1.0, broken, 3.0], [1.0, 2.0, 3.0]) == 0.0


def test_predictions_alike_but_for_rounding_do_not_raise():
    assert -1 <= pearson(np.nextafter([1.0, 1.0, 1.0], [2.0, 1.0, 1.0]).tolist(), [1.0, 2.0, 3.0]) <= 1
