"""Sweeps on a real SLURM: what was submitted is run once, as it was then, and survives what a cluster does to jobs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cluster import slurm, states, submission, sweep
from cluster.__main__ import LAUNCHER, main
from harness.store import record
from tests import processes
from tests.cluster import node
from tests.conftest import FEW, ROOT, without_clocks
from tests.harness.test_interruption import adapter, predictions, read
from tests.processes import there_is
from tests.test_cluster import killed_after_sbatch

pytestmark = pytest.mark.cluster

COMMON = (*FEW, "wandb.mode=disabled", "threads=1", "train.log_every=1", "evaluate.benchmarks=[micro_gsm]")
HELD = ("method=svft_banded", "method.adapter.d=2", "train.max_steps=12", "train.checkpoint_every=5",
        "+method.callbacks.hold._target_=tests.cluster.hold.Hold", "+method.callbacks.hold.step=6")  # fmt: skip
JOB = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1")
ROOMS = ("conf", "svft", "baselines", "tasks", "harness", "cluster", "hydra_plugins", "assets")


class Desk:
    """A folder of runs and one of sweeps, and the commands that a person gives."""

    def __init__(self, folder: Path, capsys) -> None:
        self.runs, self.sweeps, self.capsys = folder / "runs", folder / "sweeps", capsys
        self.hold = folder / "hold"

    def submit(self, *overrides: str, wait: bool = False, code: int = 0) -> subprocess.CompletedProcess:
        done = processes.call("-m", *COMMON, *JOB, f"runs_dir={self.runs}", f"hydra.launcher.folder={self.sweeps}",
                              f"hydra.launcher.wait={wait}", *overrides)  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    def submit_held(self, *overrides: str) -> list[str]:
        """Submit the run HELD, which stops in training until `let_go`; the ids of the jobs, by seed."""
        self.hold.touch()
        self.submit(*HELD, f'hydra.launcher.setup=["export HOLD={self.hold}"]', *overrides)
        return self.jobs()

    def let_go(self) -> None:
        self.hold.unlink()

    def say(self, command: str, name: str = "runs", *more: str) -> tuple[int, str]:
        """Exit code and output of `python -m cluster <command> <name>`."""
        self.capsys.readouterr()
        code = main([command, name, "--folder", str(self.sweeps), *more])
        said = self.capsys.readouterr()
        return code, said.out + said.err

    def states(self, name: str = "runs") -> list[str]:
        return [state.name for state in states.of(sweep.read(self.sweeps / name))]

    def jobs(self, name: str = "runs") -> list[str]:
        return [run.job for run in sweep.read(self.sweeps / name).runs.values()]

    def log(self, job: str, name: str = "runs") -> str:
        return (self.sweeps / name / "log" / f"{job}_0_log.out").read_text()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        wait_until(condition, self.sweeps)

    def wait_for_the_end(self, name: str = "runs") -> None:
        self.wait_until(lambda: not slurm.in_queue(self.jobs(name)))

    def wait_for_a_checkpoint(self) -> None:
        self.wait_until(lambda: there_is(self.runs, "checkpoint/checkpoint-5/complete"))


def wait_until(condition: Callable[[], bool], sweeps: Path) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, [log.read_text()[-2000:] for log in sweeps.glob("*/log/*_log.out")]
        time.sleep(0.2)


@pytest.fixture
def desk(tmp_path, capsys) -> Desk:
    return Desk(tmp_path, capsys)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The runs folder of the run HELD, which nothing holds."""
    runs = tmp_path_factory.mktemp("alone")
    done = processes.call(*COMMON, *HELD, f"runs_dir={runs}")
    assert done.returncode == 0, done.stderr
    return runs


def assert_as_if_left_alone(runs: Path, alone: Path) -> None:
    assert read(runs).status == "done"
    assert without_clocks(read(runs)) == without_clocks(read(alone))
    assert predictions(runs) == predictions(alone)
    assert adapter(runs) == adapter(alone)


def test_the_launcher_waits_for_its_runs_and_tells_a_failure(desk):
    done = desk.submit("method=svft_plain", "train.lr=0.001,1e30", "seed=3", wait=True, code=1)
    assert "sweep runs: 2 submitted" in done.stdout
    assert done.stderr.count("error:") == 1
    assert "seed 3: failed, the loss is not a finite number at step" in done.stderr
    assert sorted(record.read(path).status for path in desk.runs.rglob("record.json")) == ["done", "failed"]


def test_submitting_returns_at_once_and_runs_nothing_twice(desk):
    asked = ("method=none,lora",)
    desk.submit(*asked, "hydra.launcher.additional_parameters={hold:true}")
    assert desk.states() == ["queued", "queued"]
    assert "sweep runs: 2 in the queue already" in desk.submit(*asked).stdout
    assert "sweep other: 2 in the queue already" in desk.submit(*asked, "hydra.launcher.name=other").stdout
    subprocess.run(["scontrol", "release", *desk.jobs()], check=True)
    desk.wait_for_the_end()
    assert desk.states() == ["done", "done"]
    assert "sweep runs: 2 done before" in desk.submit(*asked).stdout
    kept = desk.runs.parent / "kept"
    code, said = desk.say("collect", "runs", "--into", str(kept))
    assert code == 0
    assert "2 of 2 runs are done" in said
    assert records(kept) == records(desk.runs)
    assert len(records(kept)) == 2


def test_jobs_of_a_submission_that_was_killed_before_it_had_noted_them_are_found(desk, composed):
    settings = OmegaConf.to_container(OmegaConf.load(LAUNCHER)) | {
        "name": "runs", "folder": str(desk.sweeps), "cpus_per_task": 1,
        "additional_parameters": {"hold": True, "comment": "a word of mine"},
    }  # fmt: skip
    del settings["_target_"]
    cfgs = [composed("method=none", f"seed={seed}", f"runs_dir={desk.runs}") for seed in (0, 1)]
    with killed_after_sbatch():
        submission.submit(cfgs, 2, settings)
    assert desk.states() == ["queued", "queued"]
    assert str(submission.submit(cfgs, 2, settings)) == "sweep runs: 2 in the queue already"
    assert len(set(desk.jobs())) == 2
    assert "2 cancelled" in desk.say("cancel")[1]
    assert desk.states() == ["cancelled", "cancelled"]
    assert not slurm.in_queue(desk.jobs())


def records(runs: Path) -> dict[Path, bytes]:
    return {path.relative_to(runs): path.read_bytes() for path in runs.rglob("record.json")}


def test_an_edit_while_a_job_waits_changes_nothing_of_it(tmp_path):
    checkout, runs = tmp_path / "checkout", tmp_path / "runs"
    for room in ROOMS:
        shutil.copytree(ROOT / room, checkout / room)
    for script in ("run.py", "errors.py"):
        shutil.copy(ROOT / script, checkout)
    command = [sys.executable, "run.py", "-m", *COMMON, *JOB, f"runs_dir={runs}", "hydra.launcher.wait=false",
               "method=lora", "hydra.launcher.additional_parameters={hold:true}"]  # fmt: skip
    subprocess.run([*command, "seed=0,1"], cwd=checkout, check=True)
    lora = checkout / "conf" / "method" / "lora.yaml"
    lora.write_text(lora.read_text().replace("r: 8", "r: 2"))
    there = sweep.read(checkout / "sweeps" / "runs")
    first, second = there.runs.values()
    Path(second.frozen.path).write_text(Path(second.frozen.path).read_text().replace("r: 8", "r: 3"))
    subprocess.run(["scontrol", "release", first.job, second.job], check=True)
    wait_until(lambda: not slurm.in_queue([first.job, second.job]), checkout / "sweeps")
    assert read(runs).config["method"]["adapter"]["r"] == 8
    assert slurm.ended(first.job) == "COMPLETED"
    assert slurm.ended(second.job) == "FAILED, exit code 1"
    done, failed = states.of(there)
    assert (done.name, failed.name) == ("done", "failed")
    assert "is not what was submitted; submit the run again" in failed.detail


def test_a_failed_run_is_failed_for_slurm_and_is_told_and_retried(desk):
    desk.submit("method=lora", "train.lr=1e30")
    desk.wait_for_the_end()
    [job] = desk.jobs()
    assert slurm.ended(job) == "FAILED, exit code 1"
    code, said = desk.say("status")
    assert code == 1
    assert "the loss is not a finite number at step" in " ".join(said.split())
    assert desk.say("collect")[0] == 1
    assert "1 submitted again" in desk.say("retry")[1]
    desk.wait_for_the_end()
    assert desk.jobs() != [job]
    assert desk.states() == ["failed"]


def test_a_run_that_is_asked_to_stop_goes_back_into_the_queue_and_ends_as_if_left_alone(desk, alone):
    [job] = desk.submit_held()
    desk.wait_for_a_checkpoint()
    subprocess.run(["scancel", "--signal=TERM", job], check=True)
    desk.wait_until(lambda: "stopped by SIGTERM" in desk.log(job))
    desk.let_go()
    desk.wait_for_the_end()
    assert desk.states() == ["done"]
    assert_as_if_left_alone(desk.runs, alone)


def test_a_run_that_slurm_puts_back_into_the_queue_ends_as_if_left_alone(desk, alone):
    [job] = desk.submit_held()
    desk.wait_for_a_checkpoint()
    subprocess.run(["scontrol", "requeue", job], check=True)
    desk.wait_until(lambda: "stopped by SIGTERM" in desk.log(job))
    desk.let_go()
    desk.wait_for_the_end()
    assert desk.log(job).count(states.ATTEMPT) == 2
    assert_as_if_left_alone(desk.runs, alone)


def test_a_time_limit_that_is_too_short_is_survived(desk):
    """SLURM looks at limits twice a minute, so its warning comes after 45 s to 75 s, and its end 45 s later or more."""
    [job] = desk.submit_held("train.checkpoint_every=100", "hydra.launcher.timeout_min=2",
                             "hydra.launcher.signal_delay_s=45", "hydra.launcher.requeue_limit=1")  # fmt: skip
    desk.wait_for_the_end()
    assert "stopped by SIGUSR2\nthe run goes on from here" in desk.log(job)
    assert desk.log(job).count(states.ATTEMPT) == 2
    checkpoints = {path.parent.name for path in desk.runs.rglob("complete")}
    assert checkpoints == {"checkpoint-7", "checkpoint-8"}, "one for each warning"
    [state] = states.of(sweep.read(desk.sweeps / "runs"))
    assert (state.name, state.detail) == ("failed", "SIGUSR2 after going back into the queue 1 times")


def test_a_run_whose_process_was_killed_is_retried_and_ends_as_if_left_alone(desk, alone):
    [job] = desk.submit_held()
    desk.wait_for_a_checkpoint()
    os.kill(process_of(job), signal.SIGKILL)
    desk.wait_for_the_end()
    assert slurm.ended(job) == "FAILED, SIGKILL"
    [state] = states.of(sweep.read(desk.sweeps / "runs"))
    assert (state.name, state.detail) == ("failed", "its job ended as FAILED, SIGKILL")
    desk.let_go()
    desk.say("retry")
    desk.wait_for_the_end()
    assert_as_if_left_alone(desk.runs, alone)


def test_a_cancelled_run_stays_cancelled_until_it_is_retried(desk, alone):
    [job] = desk.submit_held()
    desk.wait_for_a_checkpoint()
    assert states.of(sweep.read(desk.sweeps / "runs"))[0].detail.startswith("training ")
    assert "1 cancelled" in desk.say("cancel")[1]
    desk.wait_for_the_end()
    assert desk.states() == ["cancelled"]
    assert desk.log(job).count(states.ATTEMPT) == 1
    desk.let_go()
    desk.say("retry")
    desk.wait_for_the_end()
    assert_as_if_left_alone(desk.runs, alone)


def test_the_last_task_of_an_array_goes_back_into_the_queue_without_the_others(desk):
    """Its SLURM_JOB_ID is the id of the whole array."""
    first, second, last = desk.submit_held("seed=0,1,2")
    subprocess.run(["scancel", first], check=True)
    desk.wait_until(lambda: there_is(desk.runs, "seed=2/checkpoint/checkpoint-5/complete"))
    subprocess.run(["scancel", "--signal=USR2", last], check=True)
    desk.wait_until(lambda: desk.log(last).count(states.ATTEMPT) == 2)
    assert "stopped by SIGUSR2\nthe run goes on from here" in desk.log(last)
    assert desk.states() == ["failed", "running", "running"]
    assert [restarts(job) for job in (second, last)] == [0, 1]
    desk.say("cancel")
    desk.wait_for_the_end()


def restarts(job: str) -> int:
    return int(facts(job)["Restarts"])


def facts(job: str) -> dict[str, str]:
    said = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True, check=True).stdout
    return dict(word.partition("=")[::2] for word in said.split())


def test_a_node_is_had_although_another_program_takes_its_ports(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        free, asked = node._free_port, iter((True, False, False, True))  # of the controller, then of the node
        monkeypatch.setattr(node, "_free_port", lambda: taken.getsockname()[1] if next(asked, False) else free())
        environment = node.start(tmp_path / "slurm", cpus=1)
    try:
        assert node._state(environment) == "idle"
        assert next(asked, None) is None
    finally:
        node.stop(tmp_path / "slurm")


def test_two_processes_of_a_job_are_one_run(desk):
    desk.submit("method=svft_plain", "hydra.launcher.tasks_per_node=2", "train.micro_batch_size=8")
    desk.wait_for_the_end()
    assert desk.states() == ["done"]
    assert read(desk.runs).provenance["device"]["count"] == 2


def process_of(job: str) -> int:
    """The Python process of a running job on this machine."""
    raw = facts(job)["JobId"]
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((path / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        ours = b"submitit.core._submit" in command and not command.startswith(b"srun")
        if ours and f"SLURM_JOB_ID={raw}\0".encode() in environment:
            return int(path.name)
    raise AssertionError(f"no process of job {job}")
