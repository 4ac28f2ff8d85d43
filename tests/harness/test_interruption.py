"""A run that is killed and started again ends with the record of one that was left alone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from harness import record
from tests.conftest import ROOT, TINY

COMMAND = (*TINY, "method=svft_banded", "method.adapter.d=2", "train.max_steps=12", "train.checkpoint_every=4",
           "train.log_every=1", "wandb.mode=disabled", "threads=1")  # fmt: skip


def start(runs: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "run.py", *COMMAND, f"runs_dir={runs}", *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def there_is(runs: Path, ending: str) -> bool:
    """Whether a path below `runs` ends so; os.walk, unlike rglob, bears folders that vanish meanwhile."""
    return any(f"{folder}/{file}".endswith(f"/{ending}") for folder, _, files in os.walk(runs) for file in files)


def kill_when_there_is(runs: Path, ending: str, status: str | None = "running") -> None:
    """Start the run and kill -9 it as soon as a file is there; the run must not have ended before."""
    process = start(runs)
    try:
        while not there_is(runs, ending):
            assert process.poll() is None, process.stdout.read().decode()
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert (read(runs).status if list(runs.rglob("record.json")) else None) == status


def finish(runs: Path) -> None:
    process = start(runs)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()


def read(runs: Path) -> record.Record:
    (path,) = runs.rglob("record.json")
    return record.read(path)


def without_clocks(value: record.Record) -> dict:
    values = asdict(value)
    values["config"].pop("runs_dir")
    values["adapter"].pop("decomposition_seconds")
    for name in ("step_seconds", "peak_bytes"):
        values["train"].pop(name)
    for splits in values["scores"].values():
        for entry in splits.values():
            entry.pop("seconds")
    return values


def predictions(runs: Path) -> dict[str, list]:
    import json

    return {path.name: json.loads(path.read_text())["rows"] for path in runs.rglob("predictions/*.json")}


def adapter(runs: Path) -> bytes:
    (path,) = runs.rglob("adapter/adapter_model.safetensors")
    return path.read_bytes()


def test_a_run_killed_in_training_after_training_and_in_evaluation_ends_as_if_left_alone(tmp_path):
    killed, alone = tmp_path / "killed", tmp_path / "alone"
    finish(alone)
    kill_when_there_is(killed, "checkpoint/checkpoint-4/complete")
    kill_when_there_is(killed, "adapter/train.json")
    kill_when_there_is(killed, "predictions/micro_gsm-validation.json")
    finish(killed)
    assert read(alone).status == "done"
    assert without_clocks(read(killed)) == without_clocks(read(alone))
    assert [step for step, _ in read(killed).train["loss"]] == list(range(1, 13))
    assert predictions(killed) == predictions(alone)
    assert adapter(killed) == adapter(alone)
    assert not list(killed.rglob(".*.partial"))


def test_two_processes_do_not_run_the_same_run(tmp_path):
    first = start(tmp_path, "train.max_steps=100000")
    try:
        while not there_is(tmp_path, "config.yaml"):
            assert first.poll() is None
            time.sleep(0.01)
        second = start(tmp_path, "train.max_steps=100000")
        output = second.communicate(timeout=300)[0].decode()
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 1
    assert "error: another process is running" in output


def test_a_run_whose_process_was_killed_can_be_taken_over(tmp_path):
    kill_when_there_is(tmp_path, "config.yaml", status=None)
    finish(tmp_path)
    assert read(tmp_path).status == "done"
