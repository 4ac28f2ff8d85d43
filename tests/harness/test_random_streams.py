"""With dropout: what is done beside the training leaves its random numbers, and so its weights, as they were."""

import random

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from harness.train import probes
from harness.train.train_settings import training_arguments
from tests import small_training as small

TRAINING = {"family": "classification", "dropout": 0.1, "micro_batch_size": 4}
CPU = torch.device("cpu")


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(()).item()


class Drawing(TrainerCallback):
    """As what a method reports at an evaluation may."""

    def on_evaluate(self, args, state, control, **kwargs):
        draw()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return small.last_weights(folder=tmp_path_factory.mktemp("undisturbed"), **TRAINING)


BESIDE = {
    "validation": {"select_best": {"by": "score", "every": 1}},
    "a callback that draws at a validation": {"select_best": {"by": "loss", "every": 2}, "callbacks": [Drawing()]},
    "validation by epoch": {"select_best": True},
    "checkpoints": {"checkpoint_every": 1},
}


@pytest.mark.parametrize("what", BESIDE)
def test_the_weights_after_the_last_step_are_those_of_a_training_without(what, undisturbed, tmp_path):
    assert small.same(small.last_weights(folder=tmp_path, **TRAINING, **BESIDE[what]), undisturbed)


def test_dropout_is_at_work(undisturbed, tmp_path):
    assert not small.same(small.last_weights(folder=tmp_path, **TRAINING | {"dropout": 0.0}), undisturbed)


@pytest.mark.parametrize("step", [2, 3], ids=["within an epoch", "at the end of an epoch"])
def test_a_training_that_was_interrupted_goes_on_with_the_same_random_numbers_and_losses(step, undisturbed, tmp_path):
    """Between two losses that are logged, each the mean of four steps."""
    saving = {"checkpoint_every": 1, "log_every": 4, **TRAINING}
    alone, _ = small.train(folder=tmp_path / "alone", **saving)
    with pytest.raises(small.Interrupted):
        small.train(folder=tmp_path / "stopped", callbacks=[small.Interrupt(step)], **saving)
    assert (tmp_path / "stopped" / f"checkpoint-{step}" / "complete").exists()
    resumed, model = small.train(folder=tmp_path / "stopped", **saving)
    assert small.same(dict(model.named_parameters()), undisturbed)
    assert resumed["loss"] == alone["loss"] and len(alone["loss"]) == 1


def test_probes_leave_random_numbers_and_model_as_they_were(tmp_path):
    model, modality = small.model_of("decoder", dropout=0.1), small.modality_of("decoder")
    row = small.rows_of("decoder")[1]
    arguments = training_arguments(small.settings(), tmp_path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    assert not probes.has_unused(model, modality.collate([row]), arguments)
    probes.require_mean(model, modality, row, arguments)
    assert torch.equal(torch.rand(5), expected)
    assert small.same(model.state_dict(), before) and all(p.grad is None for p in model.parameters())


def test_what_is_drawn_inside_leaves_every_generator_as_it_was():
    def seeded() -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(11)

    def drawing_and_failing() -> None:
        with probes.random_numbers_kept(CPU):
            draw()
            raise KeyError

    seeded()
    expected = draw()
    seeded()
    with pytest.raises(KeyError):
        drawing_and_failing()
    assert draw() == expected
