"""A run in which an adapter does not act stops after its first step, and says which."""

import pytest
import torch
from peft import LoraConfig
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaMLP

import run
from baselines import HeadOnly
from errors import DoesNotAct
from harness.adapters.adapt import adapt
from harness.run import command_line
from harness.store import record
from harness.train.acting import Acting
from tests.conftest import FEW, TINY
from tests.test_method_contract import fresh, vision_batch

BATCH = {name: tensor[:1] for name, tensor in vision_batch().items()}


def reading_gate(self, x):
    return self.down_proj(self.act_fn(nn.functional.linear(x, self.gate_proj.weight)) * self.up_proj(x))


def reading_gate_in_evaluation(self, x):
    gate = self.gate_proj(x) if self.training else nn.functional.linear(x, self.gate_proj.weight)
    return self.down_proj(self.act_fn(gate) * self.up_proj(x))


@pytest.mark.parametrize(
    ("forward", "method", "reason"),
    [
        (reading_gate, "lora", "the model never calls these modules in training"),
        (reading_gate_in_evaluation, "svft_plain", "the model calls these modules in training, and in evaluation"),
    ],
)
def test_a_run_stops_where_the_model_reads_the_weight_itself(
    forward, method, reason, composed, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(GemmaMLP, "forward", forward)
    command_line.failures.clear()
    run.main(composed(*FEW, f"method={method}", "train.max_steps=3", f"runs_dir={tmp_path}", "wandb.mode=disabled"))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    gates = ", ".join(f"model.layers.{block}.mlp.gate_proj" for block in range(3))
    assert said.startswith(f"error: the adapters of {gates} and 1 more do not act: {reason}")
    assert "leave their role letters out of method.targets" in said
    (found,), _ = record.find(tmp_path)
    assert (found.status, found.scores) == ("failed", {})
    assert not list(tmp_path.rglob("adapter"))


@pytest.mark.parametrize("method", ["lora", "svft_plain"])
def test_a_run_stops_where_no_adapter_at_all_acts(method, composed, tmp_path, monkeypatch, capsys):
    """There is no backward pass after which it could be told which do not."""
    monkeypatch.setattr(GemmaMLP, "forward", reading_gate)
    command_line.failures.clear()
    only = (f"method={method}", "method.targets=G", "train.max_steps=3")
    run.main(composed(*TINY, *only, f"runs_dir={tmp_path}", "wandb.mode=disabled"))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: the loss does not depend on anything that is trained")
    (found,), _ = record.find(tmp_path)
    assert (found.status, found.scores) == ("failed", {})


def looked_at(model: nn.Module, head: str | None, batches) -> Acting:
    """After a step over some batches."""
    acting = Acting(BATCH, [head] if head else [])
    acting.on_train_begin(None, None, None, model)
    for batch in batches:
        model.train()(**batch).loss.backward()
    acting.on_step_end(None, None, None, model)
    return acting


def test_a_head_without_a_gradient_is_named():
    model = adapt(fresh("vision"), HeadOnly(), "classifier").model
    model.extra = nn.Linear(2, 2)
    with pytest.raises(DoesNotAct, match=r"extra.weight of the head got no gradient in training"):
        looked_at(model, "extra", [vision_batch()])


def test_a_head_that_the_model_does_not_call_is_named_with_an_adapter():
    base = fresh("vision")
    base.extra = nn.Linear(2, 2)
    model = adapt(base, LoraConfig(r=2, target_modules=["q_proj"]), ["classifier", "extra"]).model
    with pytest.raises(DoesNotAct, match=r"of extra do not act: .*; name in model.head what the model calls"):
        looked_at(model, "extra", [vision_batch()])


def test_weights_that_full_fine_tuning_leaves_alone_are_told_and_recorded(capsys):
    model = fresh("vision").requires_grad_(True)
    model.pooler = nn.Linear(2, 2)
    acting = looked_at(model, "classifier", [vision_batch()])
    assert acting.report() == {"without_gradient": ["pooler.weight", "pooler.bias"]}
    assert "2 of" in (said := capsys.readouterr().err) and "pooler.weight, pooler.bias" in said
    assert looked_at(fresh("vision").requires_grad_(True), "classifier", [vision_batch()]).report() == {}


def test_a_gradient_that_a_hook_drops_is_one():
    """As of the vectors that VectorFit freezes."""
    model = fresh("vision").requires_grad_(True)

    def drop(parameter: torch.Tensor) -> None:
        parameter.grad = None

    model.classifier.weight.register_post_accumulate_grad_hook(drop)
    assert looked_at(model, "classifier", [vision_batch()]).report() == {}
    assert model.classifier.weight.grad is None


def test_later_steps_are_not_looked_at():
    model = fresh("vision").requires_grad_(True)
    acting = looked_at(model, "classifier", [vision_batch()])
    model.add_module("late", nn.Linear(2, 2))
    acting.on_step_end(None, None, None, model)
    assert not any("forward" in vars(module) for module in model.modules())
    assert acting.report() == {}
