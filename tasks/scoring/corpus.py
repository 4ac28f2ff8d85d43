"""Metrics of all predictions together: what GLUE reports where it does not report accuracy (arXiv:1804.07461, Table 1).

Each takes (predictions, golds). A correlation is 0.0 where it is not defined: where predictions or golds are all alike,
or predictions are no finite numbers.
"""

import math
import warnings
from collections.abc import Sequence

from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef


def matthews(predictions: Sequence[int], golds: Sequence[int]) -> float:
    """Matthews' correlation of classes, in [-1, 1]."""
    return 0.0 if _is_constant(predictions, golds) else float(matthews_corrcoef(golds, predictions))


def f1(predictions: Sequence[int], golds: Sequence[int]) -> float:
    """F1 of class 1, in [0, 1]; 0.0 where class 1 is never predicted."""
    return float(f1_score(golds, predictions, labels=[1], average="macro", zero_division=0.0))


def pearson(predictions: Sequence[float], golds: Sequence[float]) -> float:
    """Correlation of values, in [-1, 1]."""
    return _correlation(stats.pearsonr, predictions, golds)


def spearman(predictions: Sequence[float], golds: Sequence[float]) -> float:
    """Correlation of ranks, in [-1, 1]; ties share their mean rank."""
    return _correlation(stats.spearmanr, predictions, golds)


def _correlation(correlate, predictions: Sequence[float], golds: Sequence[float]) -> float:
    if _is_constant(predictions, golds) or not all(map(math.isfinite, predictions)):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(correlate(predictions, golds).statistic)


def _is_constant(predictions: Sequence[float], golds: Sequence[float]) -> bool:
    return min(len(set(predictions)), len(set(golds))) < 2
