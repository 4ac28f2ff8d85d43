"""A run that is killed and started again ends with the record of one that was left alone."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store import record
from harness.store.run_folder import RunFolder
from harness.train import trainer
from harness.train.interruption import Stopped
from tests import processes
from tests.conftest import TINY, without_clocks
from tests.processes import killed_once_there_is, signalled, there_is

COMMAND = (*TINY, "train.max_steps=12", "train.checkpoint_every=4",
           "train.log_every=1", "wandb.mode=disabled", "threads=1")  # fmt: skip

BANDED = ("method=svft_banded", "method.adapter.d=2")
UNSAVED = (*BANDED, "train.checkpoint_every=100", "evaluate.benchmarks=[micro_gsm]", "evaluate.splits=[test]")
LOADING = (
    "harness.modality.modalities",
    "look",
)  # what a run calls once it holds its folder, before it loads the model
STEP = ("harness.train.trainer:Meter", "on_step_begin")


def start(runs: Path, *more: str, before: Callable[[], None] = processes.nothing) -> processes.Program:
    return processes.Program(*COMMAND, f"runs_dir={runs}", *more, before=before)


def kill_when_there_is(runs: Path, ending: str, *more: str, status: str | None = "running") -> None:
    """Start the run, which is killed by -9 as soon as a file is there."""
    with start(runs, *more, before=killed_once_there_is(ending)) as process:
        assert process.wait() == -signal.SIGKILL, process.said("stderr")
    assert there_is(runs, ending)
    assert (read(runs).status if list(runs.rglob("record.json")) else None) == status


def finish(runs: Path, *more: str) -> None:
    with start(runs, *more) as process:
        assert process.wait() == 0, process.said("stderr")


FREEZING = ("method=vectorfit", "method.callbacks.freezing.every=2", "method.callbacks.freezing.log_every=1")


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    """Runs folders by method, each of a run from beginning to end.

    In an interpreter of their own, which has other hashes than the processes of `start`.
    """
    folders = {method: tmp_path_factory.mktemp("alone") for method in (BANDED, FREEZING)}
    processes.fresh_sequence(*((*COMMAND, f"runs_dir={runs}", *method) for method, runs in folders.items()))
    return folders


def read(runs: Path) -> record.Record:
    (path,) = runs.rglob("record.json")
    return record.read(path)


def predictions(runs: Path) -> dict[str, bytes]:
    """Every byte of every file, by its name. So of `adapter`."""
    return _bytes(runs, "predictions")


def adapter(runs: Path) -> dict[str, bytes]:
    return _bytes(runs, "adapter")


def _bytes(runs: Path, folder: str) -> dict[str, bytes]:
    (found,) = runs.rglob(folder)
    return {path.name: path.read_bytes() for path in found.iterdir()}


@pytest.fixture(scope="module")
def killed_and_alone(alone, tmp_path_factory) -> tuple[Path, Path]:
    """The same run twice: killed in training, after training and in evaluation; and left alone."""
    killed, alone = tmp_path_factory.mktemp("killed"), alone[BANDED]
    kill_when_there_is(killed, "checkpoint/checkpoint-4/complete", *BANDED)
    kill_when_there_is(killed, "adapter/train.json", *BANDED)
    kill_when_there_is(killed, "predictions/micro_gsm-validation.json", *BANDED)
    finish(killed, *BANDED)
    return killed, alone


def test_a_run_killed_in_training_after_training_and_in_evaluation_ends_as_if_left_alone(killed_and_alone):
    killed, alone = killed_and_alone
    assert read(alone).status == "done"
    assert without_clocks(read(killed)) == without_clocks(read(alone))
    assert [step for step, _ in read(killed).train["loss"]] == list(range(1, 13))
    assert not list(killed.rglob(".*.partial"))


def test_two_runs_of_one_key_on_one_machine_leave_the_same_bytes_in_adapter_and_predictions(killed_and_alone):
    killed, alone = killed_and_alone
    assert {"train.json", "adapter_config.json"} < adapter(alone).keys() and len(predictions(alone)) > 1
    assert adapter(killed) == adapter(alone)
    assert predictions(killed) == predictions(alone)
    assert read(killed).files == read(alone).files


def test_seconds_and_memory_of_an_interrupted_run_are_in_its_record(killed_and_alone):
    for runs in killed_and_alone:
        found = read(runs)
        assert found.train["step_seconds"] > 0 and found.train["peak_bytes"] > 0
        assert all(entry["seconds"] > 0 for splits in found.scores.values() for entry in splits.values())


@pytest.fixture(scope="module")
def unsaved(tmp_path_factory) -> Path:
    """The runs folder of a run that writes no checkpoint unless it is asked to stop, left alone."""
    runs = tmp_path_factory.mktemp("unsaved")
    finish(runs, *UNSAVED)
    return runs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_run_that_is_asked_to_stop_writes_a_checkpoint_and_ends_as_if_left_alone(number, unsaved, tmp_path):
    asked = tmp_path / "asked"
    with start(asked, *UNSAVED, before=signalled(number, *STEP, call=5)) as process:
        assert process.wait() == 128 + number
        assert f"stopped by {number.name}; the same command goes on from here" in process.said("stderr")
    assert read(asked).status == "running"
    [complete] = asked.rglob("complete")
    assert complete.parent.name == "checkpoint-5"
    with start(asked, *UNSAVED) as process:
        assert process.wait() == 0, process.said("stderr")
        assert re.search(r"\b5/12\b", process.said("stderr"))
    assert without_clocks(read(asked)) == without_clocks(read(unsaved))
    assert adapter(asked) == adapter(unsaved)


def test_a_run_that_is_asked_to_stop_before_it_trains_ends_at_once(tmp_path):
    with start(tmp_path, *BANDED, before=signalled(signal.SIGTERM, *LOADING)) as process:
        assert process.wait() == 143
    assert there_is(tmp_path, "config.yaml")
    assert not list(tmp_path.rglob("checkpoint*"))


SELECTING = (*TINY, *BANDED, "train.max_steps=null", "train.epochs=2", "train.batch_size=16", "wandb.mode=disabled",
             "train.micro_batch_size=16", "train.select_best=true", "train.log_every=1", "threads=1",
             "evaluate.benchmarks=[micro_gsm]", "evaluate.splits=[test]")  # fmt: skip


@pytest.fixture(scope="module")
def selecting(tmp_path_factory) -> Path:
    """The runs folder of a run of two epochs with three steps each that keeps the best one, left alone."""
    runs = tmp_path_factory.mktemp("selecting")
    with processes.Program(*SELECTING, f"runs_dir={runs}") as process:
        assert process.wait() == 0, process.said("stderr")
    return runs


def stop(cfg, step: int, monkeypatch) -> None:
    """Run until that step, in which the run is asked to stop."""
    from run import run

    train = trainer.BenchTrainer.training_step

    def asked(self, *args, **kwargs):
        if self.state.global_step + 1 == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return train(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.BenchTrainer, "training_step", asked)
        with pytest.raises(Stopped):
            run(cfg)


@pytest.mark.parametrize("step", [2, 3, 6], ids=["within an epoch", "at the end of an epoch", "at the last step"])
def test_a_run_that_keeps_the_best_epoch_may_be_asked_to_stop_at_any_step(
    step, selecting, composed, tmp_path, monkeypatch
):
    from run import run

    cfg = composed(*SELECTING, f"runs_dir={tmp_path}")
    stop(cfg, step, monkeypatch)
    assert read(tmp_path).status == "running"
    run(cfg)
    assert without_clocks(read(tmp_path)) == without_clocks(read(selecting))
    assert adapter(tmp_path) == adapter(selecting)


def test_a_run_that_was_killed_after_its_last_step_trains_no_further(composed, tmp_path, monkeypatch):
    from run import run

    def killed(*_):
        raise SystemExit

    within_an_epoch = "train.max_steps=11"
    cfg = composed(*COMMAND, *BANDED, f"runs_dir={tmp_path}", "evaluate.splits=[validation]", within_an_epoch)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "finish_training", killed)
        with pytest.raises(SystemExit):
            run(cfg)
    assert there_is(tmp_path, "checkpoint/checkpoint-11/complete")
    run(cfg)
    assert read(tmp_path).train["steps"] == 11
    assert [step for step, _ in read(tmp_path).train["loss"]] == list(range(1, 12))


def test_a_run_with_frozen_vectors_that_was_killed_ends_as_if_left_alone(alone, tmp_path):
    """The moving averages, the vectors that rest and the recorded strengths survive with the checkpoint."""
    killed, alone = tmp_path / "killed", alone[FREEZING]
    kill_when_there_is(killed, "checkpoint/checkpoint-4/complete", *FREEZING)
    finish(killed, *FREEZING)
    strengths = read(alone).train["method"]["training_strength"]
    assert len(strengths["steps"]) == 12
    assert any(strengths["frozen"])
    assert without_clocks(read(killed)) == without_clocks(read(alone))
    assert adapter(killed) == adapter(alone)


def test_two_processes_do_not_run_the_same_run(tmp_path):
    """The first stands still, with its lock, for as long as the second takes."""
    with start(tmp_path, *BANDED, before=signalled(signal.SIGSTOP, *LOADING)) as first:
        first.wait_until(lambda: there_is(tmp_path, "config.yaml"))
        with start(tmp_path, *BANDED) as second:
            assert second.wait() == 1
            assert "error: another process is running" in second.said("stderr")
        assert first.running


def test_a_run_whose_process_was_killed_can_be_taken_over(tmp_path):
    kill_when_there_is(tmp_path, "config.yaml", *BANDED, status=None)
    finish(tmp_path, *BANDED)
    assert read(tmp_path).status == "done"
