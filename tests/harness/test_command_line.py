"""run.py by its command line, in processes that share nothing but imports: exit codes, sentences, sweeps."""

import json
import re
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from harness.run import command_line, help
from harness.store import record
from harness.sweep import several
from tests import processes
from tests.conftest import FEW, ROOT, TINY


def call(tmp_path, *arguments: str) -> subprocess.CompletedProcess:
    return processes.call(*arguments, f"runs_dir={tmp_path}/runs", "wandb.mode=disabled", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["method=svft_randm"], ["error: there is no method 'svft_randm'; ", "did you mean 'svft_random'?"]),
        (["task=gsm9k"], ["error: there is no task 'gsm9k'; ", "did you mean 'gsm8k'?"]),
        (["model=gema2b"], ["error: there is no model 'gema2b'; ", "did you mean 'gemma2b'?"]),
        (["hydra/launcher=nope"], ["error: In 'hydra/config': Could not find 'hydra/launcher/nope'"]),
        (["train.lrr=1"], ["error: there is no 'train.lrr'; train has lr, head_lr", "did you mean 'lr'?"]),
        (
            ["model=decoder", "model.checkpoint=mine", "model.label=mine", "train.lrr=1"],
            ["error: there is no 'train.lrr'; train has lr, head_lr", "did you mean 'lr'?"],
        ),
        (["model.checkpoint=nowhere"], ["error: checkpoint 'nowhere' of model micro_gemma", "`hf download nowhere"]),
    ],
)
def test_a_wrong_choice_names_the_right_ones_and_fails(tmp_path, arguments, sentences):
    done = call(tmp_path, *arguments)
    assert done.returncode == 1
    for sentence in sentences:
        assert sentence in done.stderr
    assert [line for line in done.stderr.splitlines() if line] == [done.stderr.strip()]  # one, and nothing of Hydra's
    assert list(tmp_path.iterdir()) in ([], [tmp_path / ".cache"])


def test_a_sweep_runs_every_combination_and_fails_at_the_end_if_one_run_did(tmp_path):
    overrides = [*FEW[:-1], "train.max_steps=1", "task.source.test_size=4", "task.source.validation_size=2"]
    done = call(tmp_path, "method=head,lora", "-m", *overrides, "seed=0,1")  # flags may stand anywhere
    assert done.returncode == 1
    assert done.stderr.count("error: ") == 2  # head has nothing to train in a language model
    assert re.findall(r"^\[\d of 4\] .*", done.stdout, re.MULTILINE) == [
        f"[{number} of 4] {label}, micro-GSM, micro-Gemma, seed {seed}"
        for number, (label, seed) in enumerate(
            [("Head", 0), ("Head", 1), ("LoRA (r=8) on QKVUDOG", 0), ("LoRA (r=8) on QKVUDOG", 1)], 1
        )
    ]
    *_, table = done.stdout.rpartition("[4 of 4]")
    rows = re.findall(r"^ +(\d) .* (\d) .*(failed|done) *$", table, re.MULTILINE)
    assert rows == [("1", "0", "failed"), ("2", "1", "failed"), ("3", "0", "done"), ("4", "1", "done")]
    assert table.count("75,776") == 2 and "4 runs: 2 failed, 2 done" in table
    runs = tmp_path / "runs"
    assert f"\nas a page: python -m analysis report --runs {runs} --out {runs}/report.html\n" in table
    assert [line.partition(": head-only")[0] for line in done.stderr.splitlines()[-2:]] == [
        f"failed: Head, micro-GSM, micro-Gemma, seed {seed}" for seed in (0, 1)
    ]
    records, broken = record.find(tmp_path / "runs")
    assert not broken
    found = {(r.run["method"], r.run["seed"], r.status) for r in records}
    assert found == {("lora", seed, "done") for seed in (0, 1)}


# What takes seconds to import, and what needs none of it.
HEAVY = ("torch", "transformers", "peft", "datasets", "pandas", "scipy", "sklearn", "huggingface_hub", "rich", "wandb")
LIGHT = {
    ("--help",): "svft_random",
    ("--cfg", "job"): "max_grad_norm: 1.0",
    ("train.lrr=1",): "there is no 'train.lrr'",
    ("-m", "method=nope"): "there is no method 'nope'",
    ("experiment=table1", "plan=nope"): "plan=nope is neither true, false nor a device",
}
ANSWERED = """
import contextlib, io, json, runpy, sys
program, commands, said = sys.argv[1], json.loads(sys.argv[2]), []
for command in commands:
    sys.argv = [program, *command]
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as stop:
            print(stop.code)
    said.append(stream.getvalue())
print(json.dumps([said, [name for name in sys.modules if "." not in name]]))
"""


def test_help_a_configuration_and_wrong_words_are_told_without_what_takes_seconds_to_import():
    command = [sys.executable, "-c", ANSWERED, str(ROOT / "run.py"), json.dumps(list(LIGHT))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said, modules = json.loads(done.stdout)
    for answer, words in zip(said, LIGHT.values(), strict=True):
        assert words in answer
    assert not set(HEAVY) & set(modules)


def test_help_names_every_choice_and_each_choice_that_it_names_is_there():
    shown = help.text()
    for group in help.GROUPS:
        choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert choices and choices <= set(re.split(r"[,\s]+", shown)), group
    for file in re.findall(r"conf/[a-z_/]+\.yaml", shown):
        assert (ROOT / file).is_file(), file
    for own in ("decoder", "encoder", "vision", "classification", "generation", "image_folder"):
        assert list((ROOT / "conf").glob(f"*/{own}.yaml")), own
    assert max(map(len, shown.splitlines())) <= 100


def test_the_resolved_configuration_can_be_shown(tmp_path):
    shown = processes.fresh("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "svft_random" in shown.stdout
    job = call(tmp_path, "--cfg", "job", "--resolve", "method=lora")
    assert "model\\.layers" in job.stdout


def test_a_run_that_cannot_be_composed_ends_no_sweep(tmp_path):
    """LoRA has no `d`; Hydra's own launcher ends with the first run that it cannot compose."""
    overrides = [*TINY[:-1], "train.max_steps=1", "task.source.test_size=2", "task.source.validation_size=2"]
    done = call(tmp_path, "-m", *overrides, "method=lora,svft_banded", "method.adapter.d=1")
    assert done.returncode == 1
    sentence = (
        "there is no 'method.adapter.d'; method.adapter has _target_, r, lora_alpha, init_lora_weights, lora_dropout, "
        "use_rslora, bias, target_modules"
    )
    assert re.findall("^(?:error|failed): .*", done.stderr, re.MULTILINE) == [
        f"error: {sentence}", f"failed: method=lora: {sentence}",
    ]  # fmt: skip
    [finished], _ = record.find(tmp_path / "runs")
    assert (finished.run["method"], finished.status) == ("svft_banded", "done")


def test_what_is_wrong_with_every_run_of_a_sweep_is_told_once(tmp_path):
    done = call(tmp_path, "-m", "method=lora,svft_plain", "seed=0,1", "train.lrr=1")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("error: there is no 'train.lrr'; .*; did you mean 'lr'[?]\n", done.stderr), done.stderr


def test_a_bug_in_one_run_of_a_sweep_is_told_with_its_traceback_and_stops_no_other(capsys, monkeypatch):
    monkeypatch.setattr(command_line, "failures", failures := [])
    monkeypatch.setattr(several, "failures", failures)
    cfg = OmegaConf.create({"method": {"label": "M"}, "task": {"label": "T"}, "model": {"label": "B"}, "seed": 0})

    def start(_):
        raise KeyError("bug")

    with several.Several([["train.lr=1"], ["train.lr=2"]]) as runs:
        runs.do(0, lambda: cfg, start)
        runs.do(1, lambda: cfg, lambda _: None)
    said = capsys.readouterr()
    assert "Traceback" in said.err and said.err.endswith("failed: M, T, B, train.lr=1, seed 0: KeyError: 'bug'\n")
    assert [each.status for each in runs.outcomes] == ["failed", "done"]


def test_a_sweep_that_is_stopped_says_what_had_not_begun(capsys):
    cfg = OmegaConf.create({"method": {"label": "M"}, "task": {"label": "T"}, "model": {"label": "B"}, "seed": 0})

    def start(_):
        raise SystemExit(143)

    with pytest.raises(SystemExit), several.Several([["seed=0"], ["seed=1"]]) as runs:
        runs.do(0, lambda: cfg, start)
    assert "2 runs: 1 stopped, 1 not begun" in capsys.readouterr().out


def test_ctrl_c_before_a_run_has_begun_is_told_in_a_sentence(tmp_path):
    interrupted = """
import runpy, sys
from harness.run import done_before

def interrupt(cfg):
    raise KeyboardInterrupt

done_before.find = interrupt
sys.argv[:1] = []
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    command = [sys.executable, "-c", interrupted, str(ROOT / "run.py"), f"runs_dir={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "stopped by SIGINT; the same command goes on from here"
