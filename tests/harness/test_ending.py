"""What is said of a run that ended."""

from pathlib import Path

import pytest

from harness.console.ending import summary
from harness.store.record import Record


def record(*benchmarks: str) -> Record:
    score = {"mean": 0.5, "standard_error": 0.05}
    scores = {benchmark: {"test": {"scorers": {"strict": score, "legacy": score}}} for benchmark in benchmarks}
    return Record("k", {"label": "LoRA", "seed": 1}, {}, {}, scores=scores)


@pytest.mark.parametrize(
    ("benchmarks", "said"),
    [
        (["gsm8k"], "test strict 50.0% ± 5.0%; test legacy 50.0% ± 5.0%"),
        (
            ["gsm8k", "math"],
            "gsm8k test strict 50.0% ± 5.0%; gsm8k test legacy 50.0% ± 5.0%; "
            "math test strict 50.0% ± 5.0%; math test legacy 50.0% ± 5.0%",
        ),
    ],
)
def test_of_several_benchmarks_each_score_says_whose_it_is(benchmarks, said):
    assert summary(record(*benchmarks), Path("runs/x")) == f"LoRA, seed 1: {said}  (runs/x)"
