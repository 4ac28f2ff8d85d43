"""run.py from configuration to record, in process, on a few examples of the micro tasks."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

import run
from harness.plan import config
from harness.run import command_line
from harness.store import record
from tests.conftest import TINY

TINY_DIGITS = ("task=digits", "model=micro_vit", "train.epochs=1", "task.source.train_per_class=2")


def start(composed, folder: Path, *overrides: str) -> record.Record | None:
    """Run in process; returns the record, or None where the run refused."""
    command_line.failures.clear()
    cfg = composed(f"runs_dir={folder}/runs", "wandb.mode=disabled", *overrides)
    run.main(cfg)
    found, broken = record.find(folder / "runs")
    assert not broken
    return found[0] if len(found) == 1 else None


@pytest.fixture
def go(composed, tmp_path):
    return partial(start, composed, tmp_path)


ONE_STEP = (*TINY, "method=lora", "train.max_steps=1")


@pytest.fixture(scope="module")
def finished(composed, tmp_path_factory) -> Path:
    """The folder of a run of one step."""
    folder = tmp_path_factory.mktemp("finished")
    assert start(composed, folder, *ONE_STEP).status == "done"
    return folder


@pytest.fixture
def first(finished, tmp_path) -> record.Record:
    """That run, as if it had been made in tmp_path."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    [found], _ = record.find(tmp_path / "runs")
    return found


def test_a_run_of_language_ends_with_a_whole_record(go, tmp_path):
    done = go(*TINY, "method=lora")
    assert done.status == "done"
    assert done.train["steps"] == 6
    assert done.parameters["head"] == 0
    assert len(done.scores["micro_gsm"]["test"]["scorers"]["strict"]["items"]) == 12
    assert {"strict", "legacy"} == set(done.scores["micro_gsm"]["validation"]["scorers"])
    folder = next((tmp_path / "runs").rglob("record.json")).parent
    assert OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")) == done.config
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert not (folder / "checkpoint").exists()
    rows = json.loads((folder / "predictions" / "micro_gsm-test.json").read_text())["rows"]
    assert len(rows) == 12


def test_a_run_that_starts_elsewhere_says_how_far(go, capsys):
    done = go(*TINY_DIGITS, "method=c3a", "train.max_steps=1")
    assert done.status == "done" and 0.001 < done.adapter["start_distance"] < 0.1
    assert f"C3A (b=32) starts elsewhere: {done.adapter['start_distance']:.2%} of the weights' norm away" in (
        "".join(capsys.readouterr())
    )


def test_a_run_that_starts_elsewhere_and_does_not_say_so_ends_before_training(go, capsys):
    assert go(*TINY_DIGITS, "method=hra", "method.adapter.r=7") is None
    assert "of the weights' norm away from the base model" in capsys.readouterr().err


def test_no_path_of_this_machine_is_in_what_a_run_leaves(finished):
    folder = next((finished / "runs").rglob("record.json")).parent
    for path in [*folder.rglob("*.json"), *folder.rglob("*.yaml")]:
        text = path.read_text().replace(str(finished), "")
        assert str(config.Path(run.__file__).parent) not in text, path


def test_a_finished_run_is_skipped(go, first, capsys):
    second = go(*ONE_STEP)
    assert "done before" in capsys.readouterr().out
    assert first == second


def test_the_pre_trained_model_is_scored_as_it_is(go, tmp_path, capsys):
    done = go(*TINY, "method=none")
    assert (done.status, done.num_trainable_params, done.train["steps"]) == ("done", 0, 0)
    assert len(done.scores["micro_gsm"]["test"]["scorers"]["strict"]["items"]) == 12
    go(*TINY_DIGITS, "method=none")
    assert "the head (classifier) is not pre-trained, so there is nothing to evaluate" in capsys.readouterr().err


def test_another_split_reuses_the_trained_adapter(go):
    first = go(*ONE_STEP, "evaluate.splits=[validation]")
    assert "test" not in first.scores["micro_gsm"]
    second = go(*ONE_STEP)
    assert "test" in second.scores["micro_gsm"]
    assert second.train == first.train


def test_a_finished_run_without_its_adapter_is_not_trained_again_into_its_old_scores(go, tmp_path, capsys):
    first = go(*ONE_STEP, "evaluate.splits=[validation]")
    shutil.rmtree(next((tmp_path / "runs").rglob("adapter")))
    assert go(*ONE_STEP) == first
    assert "its adapter is not there" in capsys.readouterr().err
    again = go(*ONE_STEP, "force=true")
    assert set(again.scores["micro_gsm"]) == {"validation", "test"}


def test_a_run_of_vision_trains_its_head_at_a_rate_of_its_own(go, composed):
    from torch import nn

    from harness.train.train_settings import optimizer

    done = go(*TINY_DIGITS, "method=lora", "train.head_lr=0.125", "train.lr=0.25")
    assert done.parameters["head"] == 96 * 10 + 10
    assert len(done.scores["digits"]["test"]["scorers"]["accuracy"]["items"]) > 1000
    model = nn.ModuleDict({"body": nn.Linear(2, 2), "classifier": nn.Linear(2, 2)})
    groups = optimizer(model, ["classifier"], composed("train.head_lr=0.125", "train.lr=0.25").train).param_groups
    assert {g["lr"]: sum(p.numel() for p in g["params"]) for g in groups} == {0.25: 6, 0.125: 6}


def test_the_best_epoch_on_validation_data_is_kept_when_asked_for(go):
    done = go(*TINY_DIGITS, "method=head", "train.select_best=true", "train.epochs=3")
    scores = [entry["score"] for entry in done.train["validation"]]
    best = next(e["step"] for e in done.train["validation"] if e["score"] == max(scores))
    assert done.train["best_step"] == best
    assert done.scores["digits"]["validation"]["scorers"]["accuracy"]["mean"] == pytest.approx(max(scores))


def test_the_step_of_the_lowest_validation_loss_is_kept_when_asked_for(go):
    done = go(*TINY, "method=lora", "train.max_steps=6", "train.lr=3e-1", "train.select_best={by: loss, every: 2}")
    losses = {check["step"]: check["loss"] for check in done.train["validation"]}
    assert list(losses) == [2, 4, 6]
    assert done.train["best_step"] == min(losses, key=losses.get)


def test_what_a_method_warns_of_is_said_and_recorded(go, capsys):
    done = go(*TINY_DIGITS, "method=svft_banded", "method.adapter.d=1000", "train.max_steps=1")
    [said] = done.adapter["warnings"]
    assert said == "d=1000 is more than any adapted layer has, and trains what d=95 does"
    assert f"warning: {said}\n" in capsys.readouterr().err


def test_a_choice_of_the_best_that_cannot_be_made_is_refused(go, capsys):
    go(*TINY, "method=lora", "train.select_best={by: score, every: 2}")
    assert "takes by (loss, or score of a classifier)" in capsys.readouterr().err


def test_the_schedule_ends_at_the_last_step_and_not_before(go, monkeypatch):
    """Linear decay over n steps leaves lr/n' for the last one; a schedule that is too short leaves 0."""
    from harness.train import trainer

    rates = []
    original = trainer.BenchTrainer.training_step

    def spy(self, *args, **kwargs):
        rates.append(self.optimizer.param_groups[0]["lr"])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(trainer.BenchTrainer, "training_step", spy)
    batches = ("train.batch_size=8", "train.micro_batch_size=8", "train.epochs=2")
    go(*TINY_DIGITS, *batches, "method=head", "train.schedule=linear", "train.lr=1.0", "train.warmup_ratio=0.0")
    assert rates == pytest.approx([1 - i / 6 for i in range(6)])  # 20 examples in batches of 8: 3 steps an epoch


def test_a_loss_that_is_not_finite_is_recorded_as_failed_with_the_step(go, monkeypatch):
    from harness.train import trainer

    original = trainer.SharedTraining.training_step

    def broken(self, *args, **kwargs):
        loss = original(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 2 else loss

    monkeypatch.setattr(trainer.SharedTraining, "training_step", broken)
    failed = go(*TINY, "method=lora")
    assert failed.status == "failed"
    assert failed.failure == {"reason": "the loss is not a finite number at step 3", "step": 3}
    assert command_line.failures == ["the loss is not a finite number at step 3"]


def test_a_failed_run_begins_anew(go, monkeypatch):
    from harness.train import trainer

    with monkeypatch.context() as patch:
        patch.setattr(trainer.SharedTraining, "training_step", lambda self, *a, **k: torch.tensor(float("inf")))
        assert go(*ONE_STEP).status == "failed"
    assert go(*ONE_STEP).status == "done"


BAD_INPUT = {
    "model.checkpoint=nobody/nothing": "checkpoint 'nobody/nothing' .* could not be loaded .* `hf download",
    "method=lora method.targets=QX": "role letter 'X' matches no layer of micro_gemma; its letters are Q, K",
    "device=tpu": "device=tpu is not one of auto, cpu, cuda",
    "train.batch_size=33": "train.batch_size=33 is not a multiple of 32",
    "model=micro_vit method=lora": "model micro_vit is of family vision; a task of kind 'generation' needs",
    "method=head": "needs a classification head",
    "model=decoder": "model.checkpoint has to be given: model.checkpoint=...",
    "task=image_folder model=micro_vit": "task.source.root has to be given: task.source.root=...",
    "task=gsm8k evaluate.benchmarks=[mth]": "task metamath has gsm8k, math, not 'mth'",
    "+method.adapter.init=ones": "init='ones' is not one of zeros, kaiming",
    "task=digits model=micro_vit task.source.train_per_class=500": "class",
}


@pytest.mark.parametrize(("overrides", "sentence"), BAD_INPUT.items())
def test_bad_input_gives_one_sentence_and_leaves_nothing(go, tmp_path, capsys, overrides, sentence):
    assert go(*overrides.split()) is None
    assert len(command_line.failures) == 1
    assert re.search(sentence, command_line.failures[0]), command_line.failures[0]
    assert capsys.readouterr().err.count("error: ") == 1
    assert not list(tmp_path.rglob("*.*"))


def test_a_truncated_record_is_named_and_kept(go, first, tmp_path, capsys):
    path = next((tmp_path / "runs").rglob("record.json"))
    path.write_text(path.read_text()[:100])
    with pytest.raises(AssertionError):
        go(*ONE_STEP)
    assert "record.json is not a readable record" in command_line.failures[0]
    assert len(path.read_text()) == 100


def test_one_training_on_metamathqa_serves_gsm8k_and_math(go):
    """The yaml of Gemma-2B and of MetaMathQA, over a small Gemma and small files with the real columns."""
    data = "tests/tasks/data"
    overrides = (
        "model=gemma2b", "method=svft_random", "method.adapter.d=2", "train.max_steps=2", "train.batch_size=4",
        "train.micro_batch_size=2", "task.source.max_new_tokens={gsm8k:8,math:8}", "task.source.validation_size=2",
        f"task.source.train_source={data}/metamathqa.json", f"task.source.gsm8k_source={data}/gsm8k_test.jsonl",
        "model.checkpoint=assets/micro_gemma", "model.blocks=4",
    )  # fmt: skip
    first = go("task=gsm8k", *overrides)
    assert first.config["train"]["precision"] == "bf16"
    assert set(first.scores) == {"gsm8k"}
    assert set(first.scores["gsm8k"]["test"]["scorers"]) == {"legacy", "strict"}
    assert len(first.adapter["layers"]) == 28
    second = go("task=math", *overrides, f"task.source.math_source={data}/math_test.jsonl")
    assert set(second.scores) == {"gsm8k", "math"}
    assert second.train == first.train


def test_vit_b16_runs_on_a_local_stand_in(go, tmp_path):
    from transformers import ViTConfig, ViTModel

    small = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32)
    ViTModel(small, add_pooling_layer=True).save_pretrained(tmp_path / "vit")
    overrides = ("model=vit_b16", f"model.checkpoint={tmp_path}/vit", "model.blocks=2", "model.image.size=32")
    done = go(*TINY_DIGITS, *overrides, "method=svft_plain")
    assert done.status == "done"
    assert done.parameters["adapter"] == 2 * 6 * 16
