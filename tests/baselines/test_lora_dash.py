"""LoRA-Dash's directions: which are chosen, what they add, and that the choice stays with the adapter."""

import peft
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

from baselines import DashDirections, UpdateConfig
from baselines.updates import choose_directions

from .spectral_cases import SHAPES, one_linear

GEMMA = {"model_type": "gemma", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}  # fmt: skip
STEPS, K = 10, 2
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(autouse=True)
def no_svd_cache(monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")
    torch.manual_seed(0)


def layer_of(model) -> nn.Module:
    return model.base_model.model.lin


def adapted(shape=(9, 14), dtype=torch.float64, **options):
    """A model whose LoRA has learnt something."""
    config = UpdateConfig(kind="lora_dash", r=3, alpha=6, directions=K, target_modules=["lin"], **options)
    model = peft.get_peft_model(one_linear(*shape, dtype), config)
    layer_of(model).trained("default")["B"].data.normal_()
    return model


def best(layer) -> list[int]:
    """As the released code has it, in its words of dense matrices."""
    lora = {name: tensor.detach() for name, tensor in layer.trained("default").items()}
    U, s, Vh = torch.linalg.svd(layer.base_layer.weight.detach(), full_matrices=False)
    change = torch.diag(U.T @ (2 * lora["B"] @ lora["A"]) @ Vh.T)
    return torch.topk(change.abs() / s.abs(), K).indices.tolist()


@each_shape
def test_the_directions_that_lora_has_changed_most_for_their_size_are_chosen_and_added(shape):
    model = adapted(shape)
    layer, x = layer_of(model), torch.randn(6, shape[1], dtype=torch.float64)
    before, expected = model(x), best(layer)
    assert layer.chosen("default") is None
    choose_directions(model)
    assert layer.chosen("default") == expected
    assert torch.equal(model(x), before)  # their coefficients are 0

    layer.coefficients("default").data += torch.tensor([0.5, -1.5])
    t = {name: tensor.detach().clone().requires_grad_() for name, tensor in layer.trained("default").items()}
    W0 = layer.base_layer.weight.detach()
    U, _, Vh = torch.linalg.svd(W0, full_matrices=False)
    W = W0 + 2 * t["B"] @ t["A"] + U[:, expected] @ torch.diag(t["d_sigma"]) @ Vh[expected]
    torch.testing.assert_close(model(x), x @ W.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(W0 + layer.get_delta_weight("default"), W, atol=1e-10, rtol=0)
    g = torch.randn(6, shape[0], dtype=torch.float64)
    (model(x) * g).sum().backward()
    ((x @ W.T) * g).sum().backward()
    for name, tensor in layer.trained("default").items():
        assert tensor.grad.norm() > 1e-3
        torch.testing.assert_close(tensor.grad, t[name].grad, atol=1e-10, rtol=0)


def test_nothing_is_chosen_before_anything_is_learnt():
    model = adapted()
    layer_of(model).trained("default")["B"].data.zero_()
    choose_directions(model)
    assert layer_of(model).chosen("default") is None


def test_a_choice_is_made_once():
    model = adapted()
    choose_directions(model)
    first = layer_of(model).chosen("default")
    layer_of(model).trained("default")["B"].data.normal_()
    assert best(layer_of(model)) != first
    choose_directions(model)
    assert layer_of(model).chosen("default") == first


@pytest.mark.parametrize("save_basis", [False, True])
def test_the_choice_is_saved_loaded_and_taken_back_by_a_file_from_before_it(tmp_path, save_basis):
    model = adapted(dtype=torch.float32, save_basis=save_basis)
    x = torch.randn(6, 14)
    model.save_pretrained(tmp_path / "before")
    undecided = model(x)
    choose_directions(model)
    layer_of(model).coefficients("default").data += 1
    model.save_pretrained(tmp_path / "after")
    loaded = peft.PeftModel.from_pretrained(one_linear(9, 14, torch.float32), tmp_path / "after")
    assert layer_of(loaded).chosen("default") == layer_of(model).chosen("default")
    torch.testing.assert_close(loaded(x), model(x))
    torch.testing.assert_close(loaded.merge_and_unload()(x), model(x))
    model.load_adapter(tmp_path / "before", "default")
    assert layer_of(model).chosen("default") is None
    torch.testing.assert_close(model(x), undecided)


def test_directions_that_the_weight_does_not_have_are_refused(tmp_path):
    model = adapted()
    choose_directions(model)
    layer_of(model).updates_chosen["default"][0] = 9
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"\[9, \d\] are no directions of its 9; the file is damaged"):
        peft.PeftModel.from_pretrained(one_linear(9, 14), tmp_path)
    with pytest.raises(ValueError, match=r"layer 'lin' \(9 x 14\): directions=10 is more than the 9 that it has"):
        peft.get_peft_model(
            one_linear(9, 14), UpdateConfig(kind="lora_dash", r=1, directions=10, target_modules=["lin"])
        )


# -- in training


def gemma(config=None) -> nn.Module:
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(**GEMMA))
    targets = {"target_modules": ["q_proj", "v_proj"]}
    return peft.get_peft_model(base, config or UpdateConfig(kind="lora_dash", r=2, directions=K, **targets))


def rows() -> list[dict[str, torch.Tensor]]:
    ids = torch.randint(0, 40, (32, 6), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row} for row in ids]


def train(folder, callback, *, save_steps: int = STEPS, resume: str | None = None, model=None) -> nn.Module:
    model = model or gemma()
    arguments = TrainingArguments(
        str(folder), max_steps=STEPS, per_device_train_batch_size=4, learning_rate=0.02, save_steps=save_steps,
        use_cpu=True, report_to=[], disable_tqdm=True, logging_steps=1, dataloader_pin_memory=False,
    )  # fmt: skip
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    Trainer(model, arguments, train_dataset=rows(), callbacks=[callback], optimizers=(optimizer, None)).train(
        resume_from_checkpoint=resume
    )
    return model


def coefficients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for name, parameter in model.named_parameters() if "d_sigma" in name]


def test_coefficients_are_trained_from_the_step_of_the_choice_on_as_by_an_optimiser_that_starts_there(tmp_path):
    seen = []

    class Watched(DashDirections):
        def on_step_end(self, args, state, control, model, **kwargs):
            super().on_step_end(args, state, control, model=model, **kwargs)
            seen.append(coefficients(model))

    callback = Watched(after=4)
    model = train(tmp_path, callback)
    assert not any(each.any() for step in seen[:4] for each in step)
    for each in seen[4]:  # Adam's first step is of one size for all, whatever the gradient
        torch.testing.assert_close(each.abs(), torch.full_like(each, 0.02 * 0.6), rtol=0.01, atol=0)
    report = callback.report()["directions"]
    assert len(report) == 2
    assert report == {
        name.removeprefix("base_model.model."): module.chosen("default")
        for name, module in model.named_modules()
        if hasattr(module, "updates_chosen")
    }


@pytest.mark.parametrize("at", [2, 7])  # before the choice, and after it
def test_a_run_that_resumes_ends_as_one_that_was_not_interrupted(tmp_path, at):
    whole = train(tmp_path / "whole", DashDirections(after=0.5))
    train(tmp_path / "cut", DashDirections(after=0.5), save_steps=at)
    again = train(tmp_path / "cut", DashDirections(after=0.5), resume=f"{tmp_path}/cut/checkpoint-{at}")
    for name, expected in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], expected), name


@pytest.mark.parametrize("after", [0, -1, 1.5, True, "10"])
def test_a_step_that_there_is_not_is_refused(after):
    with pytest.raises(ValueError, match="is neither a share, above 0 and below 1, nor a whole number from 1 on"):
        DashDirections(after=after)


@pytest.mark.parametrize("after", [10, 0.96])
def test_a_choice_after_the_last_step_is_refused(tmp_path, after):
    with pytest.raises(ValueError, match=f"after={after} is not before the last of 10 steps"):
        train(tmp_path, DashDirections(after=after))


def test_another_kind_is_refused(tmp_path):
    other = UpdateConfig(kind="ssl", target_modules=["q_proj"])
    with pytest.raises(ValueError, match="the model has no such adapter"):
        train(tmp_path, DashDirections(after=2), model=gemma(other))
