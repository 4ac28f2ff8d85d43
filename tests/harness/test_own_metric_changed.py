"""The code of a metric of one's own is in no key: a record says by which it scored, and other code scores anew."""

import pytest

import run
from analysis.load.records import load
from errors import RecordError
from harness.run import command_line
from harness.store import record
from harness.store.record import Record
from tests.tasks.test_metrics import caches, own_metric

__all__ = ["caches"]  # a fixture: evaluate leaves nothing behind

ROWS = "text,label\n" + "".join(f"word{i % 5} other,{i % 2}\n" for i in range(24))


@pytest.fixture
def go(composed, tmp_path, capsys):
    """Run in process with the metric as it is now; the record of that seed, and what was said."""
    (tmp_path / "mine.csv").write_text(ROWS)

    def start(returned: float, *overrides: str) -> tuple[Record, str]:
        path = own_metric(tmp_path, f'{{"length": {returned}}}', "int64")
        command_line.failures.clear()
        run.main(composed("task=classification", "model=micro_deberta", "method=head", "train.max_steps=1",
                          f"task.source.train={tmp_path}/mine.csv", f"task.source.metrics=[{path}]",
                          f"runs_dir={tmp_path}/runs", "wandb.mode=disabled", *overrides))  # fmt: skip
        assert command_line.failures == []
        found, broken = record.find(tmp_path / "runs")
        assert not broken
        said = capsys.readouterr()
        return found[-1], said.out + said.err

    return start


def means(found: Record) -> set[float]:
    return {entry["scorers"]["length"]["mean"] for entry in found.scores["classification"].values()}


def test_an_edited_metric_scores_the_stored_predictions_anew(go, monkeypatch):
    first, _ = go(0.25)
    assert means(first) == {0.25}
    assert "done before" in go(0.25)[1]
    monkeypatch.setattr("harness.run.evaluator.predict", None)  # nothing is predicted again
    second, said = go(0.75)
    assert "done before" not in said and means(second) == {0.75}
    assert (second.key, second.train, second.files) == (first.key, first.train, first.files)
    assert "done before" in go(0.75)[1]


def test_seeds_that_were_scored_by_other_code_of_a_metric_have_no_mean(go, tmp_path):
    go(0.25)
    go(0.75, "seed=1")
    with pytest.raises(RecordError, match="seeds 0 and 1 have different code of the metric length of classification "):
        load(tmp_path / "runs")
