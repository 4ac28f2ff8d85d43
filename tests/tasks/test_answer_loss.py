"""The loss of answers that are ranked: of each question, of all of them, in the record and in words."""

import math
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from harness.finished import model_card
from harness.run import evaluator
from harness.store import record
from harness.train import scores
from tasks.base import ValueScorer
from tasks.scoring.verdicts import answer_loss, likeliest
from tests.bare import Bare

PREDICTIONS = [
    {"likeliest": "a", "log_likelihoods": {"a": -0.5, "b": -2.0}},
    {"likeliest": "a", "log_likelihoods": {"a": -0.25, "b": -1.75}},
    {"likeliest": "b", "log_likelihoods": {"a": -3.0, "b": -1.0000004}},
]
GOLDS = ["a", "b", "b"]
LOSSES = [0.5, 1.75, 1.0000004]


def test_the_loss_is_that_of_the_right_answer_and_the_likelier_answer_is_right_or_wrong():
    assert [answer_loss(*each) for each in zip(PREDICTIONS, GOLDS, strict=True)] == LOSSES
    assert [likeliest(*each).correct for each in zip(PREDICTIONS, GOLDS, strict=True)] == [True, False, True]


def test_the_score_is_the_mean_with_its_standard_error_and_a_number_for_each_question():
    score = scores.score(ValueScorer(answer_loss), PREDICTIONS, GOLDS)
    assert score["mean"] == pytest.approx(np.mean(LOSSES))
    assert score["standard_error"] == pytest.approx(stats.sem(LOSSES))
    assert score["values"] == pytest.approx(LOSSES, abs=1e-6)
    assert (score["items"], score["unparsed"]) == (None, 0.0)


def test_one_question_has_a_loss_and_no_noise_to_tell():
    assert record.summarise_values([0.5])["standard_error"] == 0.0


class Stored:
    """A run whose predictions are stored already."""

    def __init__(self, predictions):
        self.rows = [{"prediction": p, "gold": gold} for p, gold in zip(predictions, GOLDS, strict=True)]

    def stored_predictions(self, *_):
        return {"data": "d", "seconds": 0.0, "generated_tokens": 0, "rows": self.rows}


@pytest.fixture
def benchmark():
    found = Bare(name="mine", metric="accuracy")
    found.scorers = {"strict": likeliest, "answer_loss": ValueScorer(answer_loss)}
    found.fingerprint = lambda: "d"
    found.examples = lambda split: [SimpleNamespace(choices=("a", "b"))] * 3
    return found


def test_predictions_of_earlier_versions_have_no_likelihoods_and_get_no_such_score(benchmark):
    older = [{"likeliest": p["likeliest"]} for p in PREDICTIONS]
    found = evaluator.evaluate(Stored(older), benchmark, None, None, "test", 1)
    assert list(found["scorers"]) == ["strict"]
    found = evaluator.evaluate(Stored(PREDICTIONS), benchmark, None, None, "test", 1)
    assert found["scorers"]["answer_loss"]["mean"] == pytest.approx(statistics.fmean(LOSSES))


def test_a_loss_is_told_in_nats_and_a_rate_in_per_cent():
    loss = record.summarise_values(LOSSES)
    rate = record.summarise([True, False, True], [True] * 3)
    error = stats.sem(LOSSES)
    assert record.shown(loss, error=True) == f"1.083 ± {error:.3f}"
    assert (record.shown(loss), record.shown(rate)) == ("1.083", "66.7%")
    low, high = 1.0833 - 1.96 * error, 1.0833 + 1.96 * error
    assert model_card._shown(loss, 3) == f"1.083 [{low:.3f}, {high:.3f}] nats"
    assert model_card._shown(rate, 3).endswith("] of 100") and math.isclose(rate["mean"], 2 / 3)
