"""AdaLoRA with its schedule running: the budget, the regularisation, and a run that is interrupted."""

import copy

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

from baselines import AdaLoraBudget

GEMMA = {"model_type": "gemma", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}  # fmt: skip
STEPS, TARGET, INIT, LAYERS = 20, 2, 4, 4


def adapted() -> nn.Module:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(**GEMMA))
    config = AdaLoraConfig(target_r=TARGET, init_r=INIT, total_step=1, target_modules=["q_proj", "v_proj"])
    return get_peft_model(base, config)


def rows() -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(0, 40, (32, 6), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row} for row in ids]


def train(folder, callback: AdaLoraBudget, *, save_steps: int = STEPS, resume: str | None = None) -> nn.Module:
    model = adapted()
    arguments = TrainingArguments(
        str(folder), max_steps=STEPS, per_device_train_batch_size=4, learning_rate=0.02, save_steps=save_steps,
        use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=1, dataloader_pin_memory=False,
        restore_callback_states_from_checkpoint=True,
    )  # fmt: skip
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    trainer = Trainer(model, arguments, train_dataset=rows(), callbacks=[callback], optimizers=(optimizer, None))
    trainer.train(resume_from_checkpoint=resume)
    return model


def ranks(model: nn.Module) -> int:
    return sum(int((p != 0).sum()) for name, p in model.named_parameters() if "lora_E" in name)


def test_the_budget_falls_from_init_r_to_target_r(tmp_path):
    seen = []

    class Watched(AdaLoraBudget):
        def on_step_end(self, args, state, control, model, **kwargs):
            seen.append(ranks(model))

    callback = Watched(start=0.2, end=0.2, every=0.05)
    model = train(tmp_path, callback)
    assert seen[:4] == [INIT * LAYERS] * 4
    assert seen[4:] == sorted(seen[4:], reverse=True)
    assert INIT * LAYERS > seen[8] > TARGET * LAYERS
    assert seen[15:] == [TARGET * LAYERS] * 5
    report = callback.report()["ranks"]
    assert len(report) == LAYERS
    assert sum(report.values()) == ranks(model) == TARGET * LAYERS


def test_the_training_loss_has_the_orthogonality_term_of_peft_and_evaluation_has_not():
    model = adapted()
    callback = AdaLoraBudget(start=0.2, end=0.2, every=0.05)
    optimizer = torch.optim.AdamW(model.parameters())
    batch = {key: value[None] for key, value in rows()[0].items()}
    plain = copy.deepcopy(model).train()(**batch).loss
    expected = model.base_model.train()(**batch).loss  # AdaLoraModel.forward, which adds the term
    callback.on_train_begin(None, _State(), None, model=model, optimizer=optimizer)
    torch.testing.assert_close(model.train()(**batch).loss - plain, expected - plain)
    assert expected - plain > 0.01
    torch.testing.assert_close(model.eval()(**batch).loss, plain)
    callback.on_train_end(None, None, None)
    torch.testing.assert_close(model.train()(**batch).loss, plain)


class _State:
    max_steps = STEPS


@pytest.mark.parametrize("at", [6, 18])  # while the budget falls, and after it has fallen
def test_a_run_that_resumes_ends_as_one_that_was_not_interrupted(tmp_path, at):
    options = {"start": 0.2, "end": 0.2, "every": 0.1}
    whole = train(tmp_path / "whole", AdaLoraBudget(**options))
    train(tmp_path / "cut", AdaLoraBudget(**options), save_steps=at)
    again = train(tmp_path / "cut", AdaLoraBudget(**options), save_steps=at, resume=f"{tmp_path}/cut/checkpoint-{at}")
    expected, found = (dict(model.named_parameters()) for model in (whole, again))
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_shares_that_leave_no_time_for_the_budget_are_refused():
    with pytest.raises(ValueError, match="start \\+ end below 1"):
        AdaLoraBudget(start=0.7, end=0.3, every=0.1)


def test_a_model_without_adalora_is_refused():
    with pytest.raises(ValueError, match="no AdaLoRA adapter"):
        AdaLoraBudget(start=0.1, end=0.1, every=0.1).on_train_begin(
            None, _State(), None, model=nn.Linear(2, 2), optimizer=None
        )
