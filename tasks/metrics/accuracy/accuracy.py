"""The share of predictions that are the reference, in [0, 1]."""

import datasets
import evaluate


class Accuracy(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        value = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="predictions, references: classes, as whole numbers.",
            features=datasets.Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions, references) -> dict[str, float]:
        right = sum(prediction == reference for prediction, reference in zip(predictions, references, strict=True))
        return {"accuracy": right / len(references)}
