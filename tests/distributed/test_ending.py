"""Two ranks end together: diverged, asked to stop, failed, killed; and nobody waits for the other."""

import os
import signal
import time
from pathlib import Path

import torch

from harness import trainer
from tasks.base import DataError
from tests.distributed.ranks import Ranks
from tests.distributed.runs import BANDED, comparable, losses, one_process, read, two_ranks

FINAL = "another process of this run has ended"
original = trainer.BenchTrainer._meet


def wait_for(ranks: Ranks, runs: Path, pattern: str) -> None:
    while not list(runs.rglob(pattern)):
        assert ranks.running, ranks.said("stderr", 0) + ranks.said("stderr", 1)
        time.sleep(0.005)


def said(ranks: Ranks) -> str:
    return "".join(ranks.said(stream, rank) for stream in ("stdout", "stderr") for rank in (0, 1))


def unreadable_on_rank_1() -> None:
    def fail(self):
        if os.environ["RANK"] == "1" and self.state.global_step == 2:
            raise DataError("an example cannot be read on this machine")
        original(self)

    trainer.BenchTrainer._meet = fail


def not_finite_on_rank_1() -> None:
    def spoil(self):
        self.unseen_errors += int(os.environ["RANK"] == "1" and self.state.global_step == 2)
        original(self)

    trainer.BenchTrainer._meet = spoil


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_with_one_sentence(tmp_path):
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=not_finite_on_rank_1) as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count("error: the loss is not a finite number at step 3") == 1
        assert "Traceback" not in said(ranks)
    assert (read(tmp_path).status, read(tmp_path).failure["step"]) == ("failed", 3)


def test_an_error_of_one_rank_is_told_once_and_is_in_the_record(tmp_path):
    with Ranks(*BANDED, f"runs_dir={tmp_path}", before=unreadable_on_rank_1) as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count("error: an example cannot be read on this machine") == 1
        assert "Traceback" not in said(ranks)
    assert read(tmp_path).failure["reason"] == "an example cannot be read on this machine"


def test_a_signal_to_one_rank_stops_both_and_the_run_ends_as_if_left_alone(tmp_path):
    """Rank 1 alone is asked, and both stop after the same step, with a checkpoint that both resume from."""
    stopped = (*BANDED, "train.max_steps=12")
    with Ranks(*stopped, f"runs_dir={tmp_path / 'stopped'}") as ranks:
        wait_for(ranks, tmp_path / "stopped", "checkpoint-2/complete")
        ranks.send(1, signal.SIGUSR2)
        assert ranks.wait() == 2 * [128 + signal.SIGUSR2], said(ranks)
    assert read(tmp_path / "stopped").status == "running"
    resumed, alone = two_ranks(tmp_path / "stopped", *stopped), one_process(tmp_path / "alone", *stopped)
    torch.testing.assert_close(losses(resumed), losses(alone), rtol=0, atol=1e-5)
    assert comparable(resumed) == comparable(alone)


def test_a_rank_that_is_killed_ends_the_other_and_the_same_command_goes_on(tmp_path):
    with Ranks(*BANDED, f"runs_dir={tmp_path}", "train.max_steps=1000") as ranks:
        wait_for(ranks, tmp_path, "checkpoint-2/complete")
        ranks.send(1, signal.SIGKILL)
        assert ranks.wait() == [1, -signal.SIGKILL]
        assert said(ranks).count(FINAL) == 1
        assert "Traceback" not in said(ranks)
    assert read(tmp_path).status == "running"


def test_what_all_ranks_find_wrong_is_told_once(tmp_path):
    with Ranks(*BANDED, f"runs_dir={tmp_path}", "train.batch_size=12", "train.micro_batch_size=4") as ranks:
        assert ranks.wait() == [1, 1]
        assert said(ranks).count("is not a multiple of 8 (train.micro_batch_size x devices)") == 1
    assert not list(tmp_path.iterdir())
