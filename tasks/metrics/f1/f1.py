"""F1 of class 1 (GLUE: MRPC, QQP), in [0, 1]; 0 where class 1 is never predicted."""

import datasets
import evaluate
from sklearn.metrics import f1_score


class F1(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions, references: classes, as whole numbers.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        score = f1_score(references, predictions, labels=[1], average="macro", zero_division=0.0)
        return {"f1": float(score)}
