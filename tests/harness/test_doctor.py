"""The page of a machine: each verdict in a planted situation, and the program as a person calls it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from huggingface_hub import constants
from packaging.requirements import Requirement

from harness.doctor import checks, machine, needs, services, software
from harness.doctor.checks import Finding, Section
from harness.models import pretrained
from tasks.reading import sources
from tests.conftest import ROOT
from tests.processes import PATIENCE

Usage = namedtuple("Usage", "f_bavail f_frsize f_blocks")


def verdicts(check, *arguments) -> list[str]:
    return [finding.verdict for finding in check(*arguments)]


def program(folder, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")
    return folder


@pytest.fixture
def patient(monkeypatch):
    """Programs get as long as they need, where a person would not wait for more than seconds."""
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: run(*args, **kwargs | {"timeout": PATIENCE}))


def test_a_check_that_fails_or_hangs_is_a_line_and_the_others_are_still_there():
    def broken():
        yield Finding("ok", "before")
        raise RuntimeError("out of order")

    def slow():
        time.sleep(PATIENCE)
        yield Finding("ok", "never")

    found = checks.examine(Section("", (broken, slow, lambda: [Finding("ok", "after")])), seconds=2)
    assert [f.what for f in found] == [
        "before",
        "the check 'broken' failed (RuntimeError: out of order)",
        "the check 'slow' has not ended in 2 seconds",
        "after",
    ]


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY"])
def test_no_secret_reaches_a_finding(monkeypatch, name):
    monkeypatch.setenv(name, "hf_planted")

    def careless():
        yield Finding("note", "token hf_planted", "use hf_planted")
        raise RuntimeError("hf_planted is wrong")

    found = checks.examine(Section("", (careless,)))
    assert len(found) == 2 and "planted" not in repr(found) and checks.HIDDEN in found[0].what


@pytest.fixture
def locked(monkeypatch) -> dict[str, str]:
    """requirements.lock, with the direct dependencies that are in it."""
    found, direct = software._locked(), software._dependencies()
    kept = [each for each in direct if Requirement(each).name in found]
    monkeypatch.setattr(software, "_dependencies", lambda: kept)
    return found


def test_a_python_that_is_too_old_is_a_problem(monkeypatch):
    assert verdicts(software.python) == ["ok"]
    monkeypatch.setattr(software.platform, "python_version", lambda: "3.9.1")
    [finding] = software.python()
    assert finding.verdict == "problem" and ">=3.11" in finding.what


@pytest.mark.parametrize(
    ("name", "found", "verdict", "said"),
    [
        ("peft", "0.99.0", "problem", "peft 0.99.0 is installed; <0.22,>=0.21.2 is needed"),
        ("peft", None, "problem", "peft is not installed"),
        ("scipy", "99.0", "note", "scipy 99.0 is installed; the results are of "),
        ("certifi", "1.0", "note", "1 differ, 0 are absent: certifi"),
        ("certifi", None, "note", "0 differ, 1 are absent: certifi"),
    ],
)
def test_a_package_of_another_version(monkeypatch, locked, name, found, verdict, said):
    as_locked = lambda other: found if other == name else locked[other]  # noqa: E731
    monkeypatch.setattr(software, "_installed", as_locked)
    [finding] = [f for f in software.packages() if f.verdict != "ok"]
    assert finding.verdict == verdict and said in finding.what and finding.remedy


def test_a_build_for_a_gpu_is_the_version_that_is_locked(monkeypatch, locked):
    local = lambda name: locked[name] + ("+cu128" if name == "torch" else "")  # noqa: E731
    monkeypatch.setattr(software, "_installed", local)
    assert verdicts(software.packages) == ["ok", "ok"]


def test_a_dependency_that_is_not_locked_is_a_note(monkeypatch):
    monkeypatch.setattr(software, "_locked", dict)
    monkeypatch.setattr(software, "_dependencies", lambda: ["torch>=2"])
    assert [f.verdict for f in software.packages()] == ["note", "ok", "ok"]


@pytest.mark.usefixtures("patient")
def test_gpus_that_torch_does_not_see_are_a_problem_and_no_gpu_is_none(path, monkeypatch):
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    assert verdicts(machine.gpus) == ["note"]
    program(path, "nvidia-smi", "echo 570.1")
    [finding] = machine.gpus()
    assert finding.verdict == "problem" and "1 GPUs (driver 570.1)" in finding.what


def test_boft_without_compiler_or_gpu_names_what_is_missing(path, monkeypatch):
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine, "_headers", lambda: True)
    for name in ("nvcc", "ninja"):
        program(path, name, "")
    [finding] = machine.compiler()
    assert finding.verdict == "note" and "(a C++ compiler not found)" in finding.what
    program(path, "g++", "")
    assert verdicts(machine.compiler) == ["ok"]


@pytest.mark.parametrize(("free", "needed", "verdict"), [(0.5, 0, "problem"), (5, 0, "note"), (50, 0, "ok"),
                                                         (50, 60, "problem")])  # fmt: skip
def test_a_disk_is_judged_by_what_is_free_and_what_is_still_to_come(tmp_path, monkeypatch, free, needed, verdict):
    monkeypatch.setattr(machine.os, "statvfs", lambda _: Usage(int(free * 2**18), 4096, 2**30))
    [finding] = machine.disk("records", tmp_path / "not" / "made", needed * 2**30)
    assert finding.verdict == verdict
    assert not (tmp_path / "not").exists()


def test_a_disk_that_cannot_be_written_or_locked_is_a_problem(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(machine.fcntl, "flock", refuse)
    [finding] = machine.disk("SVD cache", tmp_path)
    assert finding.verdict == "problem" and "No locks available" in finding.what
    assert finding.remedy == "export SVFT_CACHE_DIR=PATH"


def test_small_shared_memory_and_few_files_are_notes(monkeypatch):
    monkeypatch.setattr(machine.os, "statvfs", lambda _: Usage(1, 4096, 2**14))
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (256, 256))
    assert verdicts(machine.shared_memory) == verdicts(machine.limits) == ["note"]


def test_the_hub_offline_unreachable_and_answering(monkeypatch):
    assert verdicts(services.hub) == ["note"]  # HF_HUB_OFFLINE of the tests
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for trouble, verdict in (("timed out", "note"), ("", "ok")):
        monkeypatch.setattr(services, "unreachable", lambda _, trouble=trouble: trouble)
        assert verdicts(services.hub) == [verdict]


def test_an_address_that_refuses_answers_and_a_closed_port_does_not(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(services, "SECONDS", PATIENCE)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert "refused" in services.unreachable(f"http://127.0.0.1:{closed.getsockname()[1]}")


def test_the_token_and_the_key_are_told_of_without_their_value(monkeypatch):
    monkeypatch.setattr(services, "get_token", lambda: "hf_planted")
    monkeypatch.setenv("WANDB_API_KEY", "planted")
    monkeypatch.delenv("WANDB_MODE")
    found = [*services.token(), *services.wandb()]
    assert [f.verdict for f in found] == ["ok", "ok"] and "planted" not in repr(found)
    monkeypatch.setattr(services, "get_token", lambda: None)
    assert verdicts(services.token) == ["note"]


@pytest.mark.usefixtures("patient")
def test_slurm_that_is_absent_incomplete_broken_and_sound(path, monkeypatch):
    monkeypatch.setattr(services, "installed", lambda _: True)
    assert verdicts(services.slurm) == ["ok"]
    program(path, "sbatch", "")
    [finding] = services.slurm()
    assert finding.verdict == "problem" and "squeue, sinfo not found" in finding.what
    program(path, "squeue", "")
    program(path, "sinfo", "echo no controller >&2; exit 1")
    [finding] = services.slurm()
    assert finding.verdict == "problem" and "no controller" in finding.what
    program(path, "sinfo", "echo 'gpu* up 4 gpu:h100:8'")
    assert [f.what for f in services.slurm()] == ["SLURM: partitions gpu* (4 nodes, up)"]
    monkeypatch.setattr(services, "installed", lambda _: False)
    assert verdicts(services.slurm) == ["ok", "problem"]


def test_a_controller_that_does_not_answer_is_a_problem_and_is_not_waited_for(path, monkeypatch):
    monkeypatch.setattr(services, "SECONDS", 0.2)
    for name in ("sbatch", "squeue"):
        program(path, name, "")
    program(path, "sinfo", f"exec /bin/sleep {PATIENCE}")
    [finding] = services.slurm()
    assert finding.verdict == "problem" and "does not answer" in finding.what


def test_the_runs_of_a_table_load_three_models_and_one_training_set(monkeypatch):
    for room in (pretrained, sources):
        monkeypatch.setattr(room, "try_to_load_from_cache", lambda *_, **__: None)
    cfgs = needs.configurations(["experiment=table1", "seed=0,1"])
    assert [cfg.model.name for cfg in cfgs] == ["gemma2b", "gemma7b", "llama3_8b"]
    found = [*needs.checkpoints(cfgs), *needs.data(cfgs)]
    assert [f.verdict for f in found] == ["problem"] * 6  # the tests are offline
    assert found[0].remedy.startswith("hf download google/gemma-2b --revision ")
    assert needs.missing_bytes(cfgs[:1]) == 2 * 2_506_172_416


def test_a_checkpoint_in_the_hubs_cache_is_whole_or_missing(tmp_path, monkeypatch, composed):
    cfg, there = (
        composed("model=gemma2b", "task=gsm8k"),
        {"config.json", "model.safetensors.index.json", "1.safetensors", "tokenizer.json"},
    )
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    look_up = lambda _, name, revision: str(index) if name in there else None  # noqa: E731
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", look_up)
    assert verdicts(needs.checkpoint, cfg) == ["problem"]
    there.add("2.safetensors")
    assert verdicts(needs.checkpoint, cfg) == ["ok"]


def test_a_shipped_checkpoint_is_compared_with_its_hashes(tmp_path, composed):
    cfg = composed()
    assert "SHA-256 as stated" in next(iter(needs.checkpoint(cfg))).what
    shipped = pretrained.local_folder(cfg.model.checkpoint)
    for file in shipped.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_bytes(b"{}")
    cfg.model.checkpoint = str(tmp_path)
    [finding] = needs.checkpoint(cfg)
    assert finding.verdict == "problem" and "config.json in" in finding.what


def test_local_files_that_are_absent_come_with_the_command_that_fetches_them(composed):
    found = list(needs.data([composed("task=commonsense", "model=gemma7b", "task.source.root=/nowhere")]))
    assert {f.verdict for f in found} == {"problem"} and len(found) == 9
    assert "curl -fL --create-dirs -o /nowhere/commonsense_15k.json" in found[0].remedy


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness.doctor", *arguments]
    variables = os.environ | environment
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False, env=variables
    )


def test_the_program_gives_findings_an_exit_code_and_no_secret(path, tmp_path):
    secrets = {"HF_TOKEN": "hf_planted", "WANDB_API_KEY": "key_planted"}
    done = call("--json", "model=gemma2b", "task=gsm8k", HF_HOME=str(tmp_path / "nothing cached"), **secrets)
    said = json.loads(done.stdout)
    assert done.returncode == 1 and said["problems"] == sum(f["verdict"] == "problem" for f in said["findings"]) > 0
    assert {"Software", "Devices", "Disks", "Services"} < {f["section"] for f in said["findings"]}
    assert all(bool(f["remedy"]) == (f["verdict"] != "ok") for f in said["findings"])
    assert "planted" not in done.stdout + done.stderr
