"""Runs of a sweep beside each other: each as it is alone, whatever becomes of the others or of who started them."""

import io
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from errors import SettingError
from harness.console import at_work, logs, terminal
from harness.run import command_line
from harness.store import record
from harness.sweep import at_once, several
from run import run
from tests import processes
from tests.conftest import TINY, without_clocks
from tests.processes import there_is

SHORT = (*TINY[:-1], "train.max_steps=2", "task.source.test_size=4", "task.source.validation_size=2",
         "wandb.mode=disabled")  # fmt: skip


def side_by_side(folder: Path, *overrides: str) -> tuple[str, ...]:
    launcher = ("hydra.launcher.workers=2", f"hydra.launcher.logs={folder}/logs")
    return ("-m", *SHORT, f"runs_dir={folder}/runs", *launcher, *overrides)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Four runs, two at a time, two of which fail: a language model has no head to train."""
    folder = tmp_path_factory.mktemp("swept")
    return folder, processes.call(*side_by_side(folder, "method=head,lora", "seed=0,1"), cwd=folder)


def test_each_run_is_told_in_a_line_and_a_run_that_fails_stops_no_other(swept):
    folder, done = swept
    assert done.returncode == 1
    first, *lines = done.stdout.partition("\n\n")[0].splitlines()
    assert re.fullmatch(rf"4 runs, 2 at a time; their logs are in ({folder}/logs/\S+)/", first), first
    told = {line[1]: re.sub(r"\d+:\d\d", "0:00", line) for line in lines}
    [within] = (folder / "logs").iterdir()
    for number, seed in ((1, 0), (2, 1)):
        failed = f"[{number} of 4] Head, micro-GSM, micro-Gemma, seed {seed}: failed, 0:00, see {within}/{number}.log"
        assert told[str(number)] == failed
        assert "error: head-only" in (within / f"{number}.log").read_text()
        lora = rf"\[{number + 2} of 4\] LoRA .*, micro-GSM, micro-Gemma, seed {seed}: done, .* ±? ?.*%.*, 0:00"
        assert re.fullmatch(lora, told[str(number + 2)]), told
        assert "training: 100%" in (within / f"{number + 2}.log").read_text()
    assert "4 runs: 2 failed, 2 done" in done.stdout
    assert [line.partition(": head-only")[0] for line in done.stderr.splitlines()] == [
        f"failed: Head, micro-GSM, micro-Gemma, seed {seed}" for seed in (0, 1)
    ]


def test_runs_side_by_side_leave_what_they_leave_alone(swept, composed, tmp_path):
    there, broken = record.find(swept[0] / "runs")
    assert not broken and len(there) == 2
    for found in there:
        seed, alone = found.run["seed"], tmp_path / str(found.run["seed"])
        run(composed(*SHORT, "method=lora", f"seed={seed}", f"runs_dir={alone}"))
        [expected], _ = record.find(alone)
        assert without_clocks(found) == without_clocks(expected)
        assert found.files == expected.files  # digests of the adapter and of the predictions


def test_a_signal_is_handed_on_to_the_runs_which_end_in_their_own_way(tmp_path):
    long = ("train.max_steps=5000", "train.checkpoint_every=5", "method=lora", "seed=0,1,2")
    with processes.Program(*side_by_side(tmp_path, *long), cwd=tmp_path) as process:
        for seed in (0, 1):
            process.wait_until(lambda seed=seed: there_is(tmp_path, f"seed={seed}/checkpoint/checkpoint-5/complete"))
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
        assert process.said("stderr").strip() == "stopped by SIGINT; the same command goes on from here"
        assert "3 runs: 2 stopped, 1 not begun" in process.said("stdout")
    found, _ = record.find(tmp_path / "runs")
    assert [each.status for each in found] == ["running"] * 2
    for log in (tmp_path / "logs").rglob("*.log"):
        assert "stopped by SIGINT" in log.read_text()


# --- with runs that compute nothing ---


def configuration(seed: int, threads: int | None = None) -> DictConfig:
    label = {"label": "any"}
    return OmegaConf.create({"method": label, "task": label, "model": label, "seed": seed, "threads": threads})


def do(folder: Path, start, count: int) -> several.Several:
    with several.Several([[f"seed={seed}"] for seed in range(count)]) as runs:
        at_once.AtOnce(runs, 2, folder, start).do([partial(configuration, seed) for seed in range(count)])
    return runs


def test_a_process_that_is_killed_and_a_bug_are_failures_of_their_runs_alone(tmp_path, monkeypatch, capfd):
    failures = []
    for module in (command_line, several, at_once):
        monkeypatch.setattr(module, "failures", failures)

    def start(cfg):
        if cfg.seed == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if cfg.seed == 1:
            raise KeyError("bug")

    outcomes = do(tmp_path, start, 3).outcomes
    assert [each.status for each in outcomes] == ["failed", "failed", "done"]
    assert sorted(failures) == ["KeyError: 'bug'", "its process was ended by SIGKILL"]
    assert "Traceback" in (tmp_path / "2.log").read_text() and "Traceback" not in capfd.readouterr().err


def sleeping(folder: Path) -> None:
    """Writes the process of each of two runs, which sleep."""

    def start(cfg):
        (folder / f"{cfg.seed}.pid").write_text(str(os.getpid()))
        time.sleep(10 * processes.PATIENCE)

    do(folder, start, 2)


def test_runs_do_not_outlive_the_process_that_started_them(tmp_path):
    with processes.Forked(partial(sleeping, tmp_path)) as parent:
        pids = [tmp_path / f"{seed}.pid" for seed in (0, 1)]
        parent.wait_until(lambda: all(path.exists() and path.read_text() for path in pids))
        parent.kill()
        deadline = time.monotonic() + processes.PATIENCE
        while any(is_alive(int(path.read_text())) for path in pids):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def listening(folder: Path) -> None:
    """Two runs that write how often they are told to stop; their parent leads a group, as it does at a terminal."""
    os.setsid()

    def start(cfg):
        heard = []
        signal.signal(signal.SIGINT, lambda *_: heard.append(cfg.seed))
        (folder / f"{cfg.seed}.pid").write_text(str(os.getpid()))
        while not heard:
            time.sleep(0.01)
        time.sleep(0.3)  # a second one would come at once
        (folder / f"{cfg.seed}.heard").write_text(str(len(heard)))

    do(folder, start, 2)


def test_ctrl_c_reaches_each_run_once_as_a_second_one_would_end_it_without_a_checkpoint(tmp_path):
    with processes.Forked(partial(listening, tmp_path)) as parent:
        parent.wait_until(lambda: all(there_is(tmp_path, f"{seed}.pid") for seed in (0, 1)))
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.wait() == 128 + signal.SIGINT
    assert [(tmp_path / f"{seed}.heard").read_text() for seed in (0, 1)] == ["1", "1"]


def is_alive(pid: int) -> bool:
    """Not one that has ended and that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_cores_are_shared_out_unless_somebody_has_said_how_many_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    assert at_once.threads(2) is None  # tests run with OMP_NUM_THREADS
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [at_once.threads(workers) for workers in (2, 7, 9)] == [3, 1, 1]
    at = at_once.AtOnce(several.Several([]), 2, tmp_path, None)
    assert [at._with_threads(configuration(0, given)).threads for given in (None, 5)] == [3, 5]


@pytest.mark.parametrize("workers", [0, 1.5, "two"])
def test_a_number_of_processes_that_cannot_be_is_refused(workers):
    with pytest.raises(SettingError, match=f"hydra.launcher.workers={workers} is not a whole number from 1 to 1024"):
        at_once.check(workers, "logs")


def test_torchrun_and_runs_side_by_side_exclude_each_other(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    at_once.check(1, "logs")
    with pytest.raises(SettingError, match="only one of them"):
        at_once.check(2, "logs")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_a_bar_and_a_line_for_each_run_stay_below_what_is_said(monkeypatch):
    monkeypatch.setattr("sys.stdout", written := Terminal())
    with at_work.AtWork(4) as shown:
        shown.show(1, ["[2 of 4] LoRA: training 3/6"])
        shown.say("[1 of 4] Head: failed")
    said = written.getvalue()
    assert re.search(r"\[2 of 4\] LoRA: training 3/6\s+━{8}╺{22} 1 of 4 runs, 0:00", said), said
    assert "[1 of 4] Head: failed" in said


def test_what_a_run_is_doing_is_the_last_line_of_its_log_short_where_that_is_a_bar(tmp_path, monkeypatch, capsys):
    log = tmp_path / "1.log"
    assert logs.doing(log) == "starting"
    monkeypatch.setattr(terminal, "_followed", False)
    terminal.stage("unheard")
    terminal.follow()
    terminal.stage("loading micro-Gemma")
    log.write_text(capsys.readouterr().err)
    assert logs.doing(log) == "loading micro-Gemma ..."
    log.write_text(log.read_text() + "training:  40%|####   | 12/30 [00:01<00:02, loss=1.2]\r")
    assert logs.doing(log) == "training 12/30"
