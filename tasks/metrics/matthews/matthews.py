"""Matthews' correlation of classes (GLUE: CoLA), in [-1, 1]; 0 where predictions or references are all alike."""

import datasets
import evaluate
from sklearn.metrics import matthews_corrcoef


class Matthews(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions, references: classes, as whole numbers.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        if min(len(set(predictions)), len(set(references))) < 2:
            return {"matthews": 0.0}
        return {"matthews": float(matthews_corrcoef(references, predictions))}
