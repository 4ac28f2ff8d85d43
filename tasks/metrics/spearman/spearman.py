"""Correlation of ranks (GLUE: STS-B), in [-1, 1]; ties share their mean rank.

0 where it is not defined: where predictions or references are all alike, or a prediction is not a finite number.
"""

import math
import warnings

import datasets
import evaluate
from scipy import stats


class Spearman(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions, references: numbers.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        if min(len(set(predictions)), len(set(references))) < 2 or not all(map(math.isfinite, predictions)):
            return {"spearman": 0.0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.NearConstantInputWarning)
            return {"spearman": float(stats.spearmanr(predictions, references).statistic)}
