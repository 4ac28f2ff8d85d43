"""Two ranks end together: diverged, asked to stop, failed, killed; and nobody waits for the other."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from errors import DataError, ModelError, SettingError
from harness.models import pretrained
from harness.run import evaluator
from harness.store import provenance
from harness.train import checkpoints, trainer
from harness.train.interruption import Stop, Stopped
from tests.distributed.ranks import Ranks, on_rank
from tests.distributed.runs import BANDED, STSB, comparable, losses, one_process, read, two_ranks

FINAL = "another process of this run has ended"
original = trainer.BenchTrainer._meet
mark, on_save = checkpoints.mark, Stop.on_save


def said(ranks: Ranks) -> str:
    return "".join(ranks.said(stream, rank) for stream in ("stdout", "stderr") for rank in (0, 1))


def in_step_3(rank: int, act, other=str) -> partial:
    """What a rank does then, in the place of what it hears from the others, and before that the other rank."""
    return partial(_in_step_3, str(rank), act, other)


def _in_step_3(rank: str, act, other) -> None:
    def changed(self) -> None:
        if self.state.global_step == 2:
            (act if os.environ["RANK"] == rank else other)()
        original(self)

    trainer.BenchTrainer._meet = changed


def sleep() -> None:
    """Until the other rank is gone."""
    time.sleep(1.5)


def cannot_read() -> None:
    raise DataError("an example cannot be read on this machine")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def not_finite_on_rank_1() -> None:
    def spoil(self):
        self.unseen_errors += int(os.environ["RANK"] == "1" and self.state.global_step == 2)
        original(self)

    trainer.BenchTrainer._meet = spoil


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_with_one_sentence(tmp_path):
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=not_finite_on_rank_1) as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count("error: the loss is not a finite number at step 3") == 1
        assert "\nerror: the loss" in said(ranks), "it follows the progress bar on its line"
        assert "Traceback" not in said(ranks)
    assert (read(tmp_path).status, read(tmp_path).failure["step"]) == ("failed", 3)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_an_error_of_one_rank_is_told_once_and_is_in_the_record(rank, tmp_path):
    """Of rank 0 too, with which the store goes that the other would hear of it by."""
    other = sleep if rank == 0 else str
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=in_step_3(rank, cannot_read, other)) as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count("error: an example cannot be read on this machine") == 1
        assert "Traceback" not in said(ranks)
    assert read(tmp_path).failure["reason"] == "an example cannot be read on this machine"


def no_model() -> None:
    def fail(cfg):
        raise ModelError("the checkpoint is not on this machine")

    pretrained.fingerprint = fail


def another_model() -> None:
    pretrained.fingerprint = lambda cfg: "of another file"


OUTSIDE = {"an error": (no_model, "error: the checkpoint is not on this machine"),
           "another model": (another_model, "and of another file for process 1")}  # fmt: skip


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_one_rank_alone_finds_before_there_is_a_folder_is_told_once_and_ends_both(what, tmp_path):
    act, sentence = OUTSIDE[what]
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=on_rank(1, act)) as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count(sentence) == 1
        assert "Traceback" not in said(ranks)
    assert not list(tmp_path.iterdir())


def no_device() -> None:
    def fail(*_):
        raise SettingError("device=cuda, but torch sees no GPU here")

    provenance.set_up = fail


@pytest.mark.slow
def test_what_a_rank_finds_before_it_has_joined_is_told_by_that_rank(tmp_path):
    """The other one waits for it in vain, which torchrun would end."""
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=on_rank(1, no_device)) as ranks:
        assert ranks.wait_for(1) == 1
        assert ranks.said("stderr", 1).count("error: device=cuda, but torch sees no GPU here") == 1


def predict_nothing() -> None:
    evaluator.predict = lambda benchmark, modality, model, examples, *_: ([float("nan")] * len(examples), 0, [])


@pytest.mark.slow
def test_predictions_that_are_not_finite_are_told_once_and_a_sweep_goes_on(tmp_path):
    sweep = ("-m", "seed=0,1")
    with Ranks(*sweep, *STSB, f"runs_dir={tmp_path}", "train.max_steps=1", before=predict_nothing) as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count("error: a prediction for micro_stsb validation is not a finite number") == 2
        assert "Traceback" not in said(ranks)
    assert len(list(tmp_path.rglob("record.json"))) == 2


def asked_on_rank_1_while_rank_0_marks_slowly() -> None:
    _in_step_3("1", partial(os.kill, os.getpid(), signal.SIGUSR2), str)

    def slowly(checkpoint: Path) -> None:
        time.sleep(1)
        mark(checkpoint)

    def noticed(self, args, state, control, **kwargs) -> None:
        try:
            on_save(self, args, state, control, **kwargs)
        except Stopped:
            if not (Path(args.output_dir) / f"checkpoint-{state.global_step}" / "complete").exists():
                print("it ends before the checkpoint is marked", file=sys.stderr, flush=True)
            raise

    checkpoints.mark, Stop.on_save = slowly, noticed


def test_a_signal_to_one_rank_stops_both_and_the_run_ends_as_if_left_alone(tmp_path):
    """Rank 1 alone is asked, and both stop after the same step, with a checkpoint that both resume from."""
    stopped, before = tmp_path / "stopped", asked_on_rank_1_while_rank_0_marks_slowly
    with Ranks(*BANDED, f"runs_dir={stopped}", "train.checkpoint_every=100", before=before) as ranks:
        assert ranks.wait() == 2 * [128 + signal.SIGUSR2], said(ranks)
        assert "it ends before the checkpoint is marked" not in said(ranks)
    assert read(stopped).status == "running"
    assert [path.parent.name for path in stopped.rglob("complete")] == ["checkpoint-3"]
    settings = (*BANDED, "train.checkpoint_every=100")
    resumed, alone = two_ranks(stopped, *settings), one_process(tmp_path / "alone", *settings)
    torch.testing.assert_close(losses(resumed), losses(alone), rtol=0, atol=1e-5)
    assert comparable(resumed) == comparable(alone)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_the_other_and_the_same_command_goes_on(rank, tmp_path):
    other = sleep if rank == 0 else str
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=in_step_3(rank, be_killed, other)) as ranks:
        assert ranks.wait() == [-signal.SIGKILL, 1][:: 1 if rank == 0 else -1]
        assert said(ranks).count(FINAL) == 1
        assert "Traceback" not in said(ranks)
    assert read(tmp_path).status == "running"
    assert [path.parent.name for path in tmp_path.rglob("complete")] == ["checkpoint-2"]


def test_what_all_ranks_find_wrong_is_told_once(tmp_path):
    with Ranks(*BANDED, f"runs_dir={tmp_path}", "train.batch_size=12", "train.micro_batch_size=4") as ranks:
        assert ranks.wait() == [1, 1]
        said_by_both = said(ranks)
    assert said_by_both.count("is not a multiple of 8 (train.micro_batch_size x devices)") == 1
    assert "train.micro_batch_size=3 fits" in said_by_both
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("sweep", "title"), [((), "1 run"), (("-m", "seed=0,1"), "2 runs")])
def test_a_plan_is_printed_once(sweep, title, tmp_path):
    with Ranks(*sweep, *BANDED, f"runs_dir={tmp_path}", "plan=true") as ranks:
        assert ranks.wait() == [0, 0], said(ranks)
        assert title in ranks.said("stdout", 0)
        assert not ranks.said("stdout", 1) + ranks.said("stderr", 1)


def test_what_hydra_refuses_is_told_once(tmp_path):
    with Ranks(f"runs_dir={tmp_path}", "train.lrr=3") as ranks:
        assert ranks.wait() == [1, 1]
        assert "error: there is no 'train.lrr'" in ranks.said("stderr", 0)
        assert not ranks.said("stdout", 1) + ranks.said("stderr", 1)
