"""A method that looks at the data of the first steps beforehand sees those steps, and moves nothing of the training."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import TrainerCallback

from svft import GradientSupport, SvftConfig, SvftLinear
from tests import small_training as small

MODULES = {"decoder": ["c_attn", "c_fc"], "classification": ["query", "value", "intermediate.dense"]}
EPOCH = 3  # steps of 22 rows in batches of 8


def adapted(family: str, dropout: float = 0.0) -> nn.Module:
    config = SvftConfig(pattern="gradient", d=1, target_modules=MODULES[family])
    return get_peft_model(small.model_of(family, dropout), config)


def train(family: str, folder: Path, callback: TrainerCallback, dropout: float = 0.0, **more: Any):
    model, callbacks = adapted(family, dropout), [callback, *more.pop("callbacks", ())]
    return small.train(family, folder, model=model, callbacks=callbacks, **more)


def supports(model: nn.Module) -> dict[str, list[int]]:
    layers = [module for module in model.modules() if isinstance(module, SvftLinear)]
    return {layer.name: layer.index("default").tolist() for layer in layers}


class Looking(TrainerCallback):
    """Notes the loss of each optimiser step of the first epoch."""

    def calibrate(self, model: nn.Module, steps: Iterable[Iterable[torch.Tensor]]) -> None:
        model.eval()
        self.losses = [sum(loss.item() for loss in losses) for losses in steps]


class Forced(GradientSupport):
    """Selects, and puts the band back."""

    def calibrate(self, model: nn.Module, steps: Iterator[Iterable[torch.Tensor]]) -> None:
        before = supports(model)
        super().calibrate(model, steps)
        assert supports(model) != before
        for module in model.modules():
            if isinstance(module, SvftLinear):
                module.svft_selected["default"].copy_(torch.tensor(before[module.name]))


class Unselected(TrainerCallback):
    pass


@pytest.mark.parametrize("family", MODULES)
@pytest.mark.parametrize("train_settings", [{}, {"micro_batch_size": 4}, {"micro_batch_size": 2, "sort_in_step": True}])
def test_the_losses_it_sees_are_those_of_the_first_epoch(family, train_settings, tmp_path):
    looking = Looking()
    section, _ = train(family, tmp_path, looking, lr=0.0, head_lr=0.0, epochs=1, **train_settings)
    assert [step for step, _ in section["loss"]] == [1, 2, 3] and len(looking.losses) == EPOCH
    assert looking.losses == pytest.approx([loss for _, loss in section["loss"]], rel=1e-5)


@pytest.mark.parametrize("family", MODULES)
def test_micro_batches_change_neither_the_support_nor_what_it_holds(family, tmp_path):
    found = {}
    for size in (8, 2):
        section, model = train(
            family, tmp_path / str(size), GradientSupport(batches=2), micro_batch_size=size, max_steps=1
        )
        found[size] = supports(model), section["method"]["gradient_support"]
    assert found[2][0] == found[8][0] != supports(adapted(family))
    assert found[2][1]["batches"] == 2 and found[2][1]["held"].keys() == found[2][0].keys()
    assert found[2][1]["held"] == pytest.approx(found[8][1]["held"], rel=1e-5)


def test_selecting_leaves_the_random_numbers_of_the_training_as_they_were(tmp_path):
    options = {"dropout": 0.1, "micro_batch_size": 4}
    without, forced = (
        small.last_weights(
            "classification", tmp_path / name, model=adapted("classification", 0.1), callbacks=[callback], **options
        )
        for name, callback in (("without", Unselected()), ("forced", Forced(batches=2)))
    )
    assert small.same(without, forced)


def test_a_training_that_resumes_keeps_its_support_and_does_not_select_again(tmp_path, monkeypatch):
    options = {"dropout": 0.1, "checkpoint_every": 1}
    whole, expected = train("classification", tmp_path / "whole", GradientSupport(batches=2), **options)
    with pytest.raises(small.Interrupted):
        train("classification", tmp_path / "cut", GradientSupport(batches=2), callbacks=[small.Interrupt(2)], **options)
    monkeypatch.setattr(GradientSupport, "calibrate", lambda *_: pytest.fail("selected again"))
    section, model = train("classification", tmp_path / "cut", GradientSupport(batches=2), **options)
    assert supports(model) == supports(expected)
    assert small.same(dict(model.named_parameters()), dict(expected.named_parameters()))
    assert section["method"] == whole["method"]


def test_an_epoch_that_is_shorter_gives_what_it_has(tmp_path):
    looking = Looking()
    train("classification", tmp_path, looking, rows=small.rows_of("classification")[:5], max_steps=1)
    assert len(looking.losses) == 1


def test_what_draws_or_changes_modes_is_put_right(tmp_path):
    """A look at some steps alone, in the mode that it leaves."""

    class Some(Looking):
        def calibrate(self, model, steps):
            super().calibrate(model, islice(steps, 1))
            torch.rand(3)

    options = {"dropout": 0.1}
    weights = [
        small.last_weights(
            "classification", tmp_path / name, model=adapted("classification", 0.1), callbacks=[callback], **options
        )
        for name, callback in (("without", Unselected()), ("some", Some()))
    ]
    assert small.same(*weights)
