"""Rows that have nothing to learn add nothing and break nothing; what is not finite ends a training with a sentence."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import Trainer

from errors import Diverged, SettingError
from harness.modality.classification import classes_of
from harness.train import trainer
from tests import small_training as small

ROWS = small.rows_of("decoder")
EMPTY = [ROWS[i] for i in small.WITHOUT_TARGET]


def loss_of(model: torch.nn.Module, row: dict) -> float:
    ids, labels = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids[None]).logits[0]
    return cross_entropy(logits[:-1], labels[1:]).item()


def test_steps_without_any_target_leave_the_weights_as_they_are_and_have_no_loss(tmp_path):
    section, model = small.train("decoder", tmp_path, rows=EMPTY, batch_size=1, micro_batch_size=1)
    assert section["steps"] == 4 and section["loss"] == []
    assert small.same(model.state_dict(), small.model_of("decoder").state_dict())


@pytest.mark.parametrize("log_every", [1, 2, 3])
def test_a_loss_that_is_logged_is_the_mean_over_the_steps_with_a_target(log_every, tmp_path):
    """Rows one by one, half of them without; the rate is 0, so each loss is that of the first model."""
    rows = [*EMPTY, *ROWS[1:3]]
    more = {"batch_size": 1, "micro_batch_size": 1, "epochs": 3, "lr": 0.0, "log_every": log_every}
    section, model = small.train("decoder", tmp_path, rows=rows, **more)
    seen = [rows[i] for epoch in range(3) for i in order(len(rows), epoch)]
    expected = []
    for start in range(0, 12, log_every):
        losses = [loss_of(model, row) for row in seen[start : start + log_every] if row not in EMPTY]
        expected += [[start + log_every, pytest.approx(np.mean(losses), rel=1e-5)]] if losses else []
    assert section["loss"] == expected


def order(rows: int, epoch: int) -> list[int]:
    """HF Trainer's, of this seed."""
    generator = torch.Generator().manual_seed(epoch)
    return torch.randperm(rows, generator=generator).tolist()


def test_a_validation_loss_is_the_mean_over_the_rows_with_a_target(tmp_path):
    """One row a batch; the rate is 0."""
    rows = ROWS[:10]
    more = {"lr": 0.0, "select_best": {"by": "loss", "every": 1}, "batch_size": 1, "micro_batch_size": 1}
    section, model = small.train("decoder", tmp_path, rows=ROWS[1:3], validation=rows, max_steps=1, **more)
    losses = [loss_of(model, row) for row in rows if row not in EMPTY]
    assert len(losses) == 8
    assert section["validation"] == [{"step": 1, "loss": pytest.approx(np.mean(losses), rel=1e-6)}]
    json.dumps(section, allow_nan=False)


@pytest.mark.parametrize("validation", [EMPTY, []], ids=["without a target", "empty"])
def test_a_validation_with_nothing_to_learn_is_refused_before_training(validation, tmp_path):
    with pytest.raises(SettingError, match="train.select_best goes by the validation examples, none of which"):
        small.train("decoder", tmp_path, validation=validation, select_best=True)
    assert not list(tmp_path.iterdir())


def unfit_to_evaluate() -> torch.nn.Module:
    model = small.model_of("classification")

    def spoil(module, inputs, outputs):
        if not module.training:
            outputs.loss = outputs.loss * math.nan

    model.register_forward_hook(spoil)
    return model


def test_a_validation_loss_that_is_not_finite_ends_the_training_at_once(tmp_path):
    with pytest.raises(Diverged, match="^the validation loss is not a finite number at step 2$"):
        small.train("classification", tmp_path, model=unfit_to_evaluate(), select_best={"by": "loss", "every": 2})


def test_one_that_an_earlier_version_let_pass_is_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer.BenchTrainer, "evaluate", Trainer.evaluate)
    with pytest.raises(Diverged, match="^the validation loss is not a finite number at step 2$"):
        small.train("classification", tmp_path, model=unfit_to_evaluate(), select_best={"by": "loss", "every": 2})


def test_weights_that_the_last_step_left_not_finite_are_told(tmp_path):
    """No loss tells of them, and the class that such a model predicts is the first."""
    model = small.model_of("classification")
    model.classifier.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(Diverged, match="^a trained weight is not a finite number at step 1$"):
        small.train("classification", tmp_path, model=model, max_steps=1)


def test_no_class_is_predicted_from_logits_that_are_not_finite():
    classes = classes_of(np.array([[0.0, 2.0], [math.nan, 1.0], [math.inf, 0.0], [3.0, -1.0]]))
    assert (classes[0], classes[3]) == (1, 0)
    assert all(isinstance(c, float) and math.isnan(c) for c in classes[1:3])
