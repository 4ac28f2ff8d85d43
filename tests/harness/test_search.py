"""The search for learning rates: which rates are tried, for how many steps, and which one is picked."""

import math

import pytest
from omegaconf import OmegaConf

from analysis.statistics import rates
from errors import Diverged, SettingError
from harness import search
from harness.search import Row, Search

EXPERIMENT = {
    "run": "recipe=clean",
    "columns": [
        {"metric": "a", "benchmark": "a", "run": "task=one"},
        {"metric": "b", "benchmark": "b", "run": "task=one"},
        {"metric": "c", "benchmark": "c", "run": "task=two"},
    ],
    "rows": [{"model": "m", "run": "method=lora"}, {"model": "m", "run": "method=head", "search": False}],
}


@pytest.fixture
def searched(monkeypatch):
    """Does a search whose runs score what `score` says of rate and steps; returns the rate and what was run."""

    def do(score, grid=(1e-3, 3e-3, 1e-2), steps=300):
        ran = []

        def scored(self, row, rate, few):
            ran.append((rate, few or steps))
            return score(rate, few or steps)

        monkeypatch.setattr(Search, "_steps", lambda self, row: steps)
        monkeypatch.setattr(Search, "_score", scored)
        return Search([], grid, 0).rate(Row(("method=lora",), True)), ran

    return do


def near(best: float):
    return lambda rate, steps: -abs(math.log(rate / best))


def test_all_rates_get_a_third_of_the_steps_and_the_best_two_all_of_them(searched):
    rate, ran = searched(near(4e-3))
    assert ran[:5] == [(1e-3, 100), (3e-3, 100), (1e-2, 100), (3e-3, 300), (1e-2, 300)]
    assert rate == 3e-3


def test_after_all_steps_too_the_best_rate_has_two_neighbours(searched):
    rate, ran = searched(lambda rate, steps: near(4e-3 if steps == 100 else 4e-4)(rate, steps))
    assert rate == 3e-4
    assert [rate for rate, steps in ran if steps == 300] == [3e-3, 1e-2, 1e-3, 3e-4, 1e-4]


def test_the_rate_is_that_which_is_best_after_all_steps(searched):
    rate, _ = searched(lambda rate, steps: near(4e-3 if steps == 100 else 1e-2)(rate, steps))
    assert rate == 1e-2


@pytest.mark.parametrize(("best", "tried"), [(1e-5, [3e-4, 1e-4, 3e-5, 1e-5, 3e-6]), (0.1, [0.03, 0.1, 0.3])])
def test_the_grid_goes_on_until_the_best_rate_has_two_neighbours(searched, best, tried):
    rate, ran = searched(near(best))
    assert rate == best
    assert [rate for rate, steps in ran if steps == 100][3:] == tried


def test_a_grid_ends_somewhere(searched):
    _, ran = searched(lambda rate, steps: rate)
    assert max(rate for rate, _ in ran) == search.HIGHEST


def test_a_rate_that_diverges_is_the_worst(monkeypatch):
    def run(self, row, more, seed):
        raise Diverged(7)

    monkeypatch.setattr(Search, "run", run)
    assert Search([], (1e-3,), 0)._score(Row((), True), 1e-3, 10) == -math.inf


def test_a_run_that_fills_several_columns_is_searched_once_and_rows_without_a_rate_are_told():
    found = search.rows(EXPERIMENT, [])
    assert [(row.overrides[-1], row.searched) for row in found] == [
        ("method=lora", True), ("method=lora", True), ("method=head", False), ("method=head", False),
    ]  # fmt: skip
    assert {row.overrides for row in search.rows(EXPERIMENT, ["task=two"])} == {
        ("recipe=clean", "task=two", "method=lora"), ("recipe=clean", "task=two", "method=head"),
    }  # fmt: skip
    with pytest.raises(SettingError, match="no run of the experiment has task=three"):
        search.rows(EXPERIMENT, ["task=three"])


@pytest.mark.parametrize("scores", [[5, 5, 5], [5, 5], [5, 0, 5, 5], [1, 9, 3]])
def test_the_search_and_its_table_pick_by_one_rule(scores):
    import pandas as pd

    values = {1.0 + i: score for i, score in enumerate(scores)}
    frame = pd.DataFrame({"rate": list(values), "score": scores, "steps": 1})
    assert search.best(values) == rates.pick(frame)


def test_steps_are_those_of_the_training(monkeypatch, composed):
    cfg = composed("task=micro_sst2", "model=micro_deberta", "method=lora")
    examples = len(search.config.instantiate(cfg.task.source).examples("train"))
    OmegaConf.update(cfg, "train.max_steps", None)
    OmegaConf.update(cfg, "train.epochs", 2)
    monkeypatch.setattr(Search, "_composed", lambda self, row: cfg)
    assert Search([], (), 0)._steps(Row((), True)) == 2 * math.ceil(examples / cfg.train.batch_size)
