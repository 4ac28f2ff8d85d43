"""run.py by its command line, in processes that share nothing but imports: exit codes, sentences, sweeps."""

import subprocess

import pytest

from harness import record
from tests import processes
from tests.conftest import TINY


def call(tmp_path, *arguments: str) -> subprocess.CompletedProcess:
    return processes.call(*arguments, f"runs_dir={tmp_path}/runs", "wandb.mode=disabled", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["method=svft_randm"], ["Could not find 'method/svft_randm'", "svft_random"]),
        (["task=gsm9k"], ["Could not find 'task/gsm9k'", "gsm8k"]),
        (["model=gema2b"], ["Could not find 'model/gema2b'", "gemma2b"]),
        (["train.lrr=1"], ["there is no 'train.lrr'; train has lr, head_lr", "did you mean 'lr'?"]),
        (["model.checkpoint=nowhere"], ["error: checkpoint 'nowhere' of model micro_gemma", "`hf download nowhere"]),
    ],
)
def test_a_wrong_choice_names_the_right_ones_and_fails(tmp_path, arguments, sentences):
    done = call(tmp_path, *arguments)
    assert done.returncode == 1
    for sentence in sentences:
        assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) in ([], [tmp_path / ".cache"])


def test_a_sweep_runs_every_combination_and_fails_at_the_end_if_one_run_did(tmp_path):
    overrides = [*TINY[:-1], "train.max_steps=1", "task.source.test_size=4", "task.source.validation_size=2"]
    done = call(tmp_path, "-m", *overrides, "method=head,lora", "seed=0,1")
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 2  # head has nothing to train in a language model
    records, broken = record.find(tmp_path / "runs")
    assert not broken
    found = {(r.run["method"], r.run["seed"], r.status) for r in records}
    assert found == {("lora", seed, "done") for seed in (0, 1)}


def test_help_and_the_resolved_configuration_can_be_shown(tmp_path):
    shown = processes.fresh("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "svft_random" in shown.stdout
    job = call(tmp_path, "--cfg", "job", "--resolve", "method=lora")
    assert "model\\.layers" in job.stdout
