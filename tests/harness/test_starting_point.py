"""Where an adapter starts: what another process would not make again is refused, and so is what depends on order."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn

from errors import SettingError
from harness.adapters import starting_point
from harness.adapters.adapt import adapt


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({name: nn.Linear(12, 12) for name in ("q_proj", "v_proj")})


def lora(**settings) -> LoraConfig:
    return LoraConfig(**{"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 4} | settings)


def reloaded_difference(start: str) -> float:
    """Of a layer's output, where its adapter is loaded under another seed."""
    base, states, outputs, inputs = model(), [], [], torch.randn(3, 12)
    for seed in (1, 2):
        torch.manual_seed(seed)
        adapted = get_peft_model(copy.deepcopy(base), lora(init_lora_weights=start))
        if states:
            set_peft_model_state_dict(adapted, states[0])
        states.append(get_peft_model_state_dict(adapted, save_embedding_layers=False))
        outputs.append(adapted.base_model.model.q_proj(inputs))
    return (outputs[0] - outputs[1]).abs().max().item()


@pytest.mark.parametrize("start", ["pissa", "olora", "gaussian", "orthogonal", "pissa_niter_2"])
def test_a_start_is_refused_where_its_adapter_is_another_function_elsewhere(start):
    if reloaded_difference(start) < 1e-5:
        adapt(model(), lora(init_lora_weights=start), None)
    else:
        with pytest.raises(SettingError, match=f"^init_lora_weights={start} takes out of the base weights what it dr"):
            adapt(model(), lora(init_lora_weights=start), None)


def test_the_random_start_of_pissa_is_the_one_that_is_refused():
    assert [start for start in ("pissa", "olora", "pissa_niter_2") if reloaded_difference(start) > 0.01] == [
        "pissa_niter_2"
    ]


@pytest.mark.parametrize("start", ["eva", "lora_ga"])
def test_a_start_that_data_were_to_give_is_not_replaced_by_loras_own(start):
    """PEFT: the adapter is that of init_lora_weights=true, bit by bit."""
    with pytest.raises(SettingError, match=f"^init_lora_weights={start} is worked out from data beforehand"):
        adapt(model(), lora(init_lora_weights=start), None)


@pytest.mark.parametrize(("start", "changes"), [("pissa", True), ("olora", True), ("gaussian", False), (True, False)])
def test_it_is_known_which_starts_change_the_base_weights(start, changes):
    assert starting_point.changes_base(lora(init_lora_weights=start)) is changes


def test_looking_at_the_start_leaves_the_random_numbers_as_they_were():
    before = torch.get_rng_state()
    starting_point.check(lora(init_lora_weights="pissa"))
    assert torch.equal(torch.get_rng_state(), before)


OVERLAPPING = {"q_proj": 8, ".*_proj": 2}


@pytest.mark.parametrize("option", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize("order", [list(OVERLAPPING), list(OVERLAPPING)[::-1]])
def test_patterns_whose_order_would_decide_are_refused(option, order):
    """The two orders have one run key, since JSON's names are sorted for it, and PEFT trains them differently."""
    patterns = {name: OVERLAPPING[name] for name in order}
    with pytest.raises(SettingError, match=rf"^{option}: .* all name q_proj, and their order would decide; let one"):
        adapt(model(), lora(**{option: patterns}), None)


def test_patterns_that_agree_or_do_not_meet_are_taken():
    adapted = adapt(model(), lora(rank_pattern={"q_proj": 8, "v_.*": 2, ".*v_proj": 2}), None).model
    assert {name: adapted.get_submodule(f"base_model.model.{name}").r["default"] for name in ("q_proj", "v_proj")} == {
        "q_proj": 8, "v_proj": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        ({"k_proj": 8}, "rank_pattern: 'k_proj' names none of the adapted layers, q_proj, v_proj"),
        ({"q_proj(": 8}, r"rank_pattern: 'q_proj\(' is no regular expression"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused(patterns, sentence):
    with pytest.raises(SettingError, match=f"^{sentence}"):
        adapt(model(), lora(rank_pattern=patterns), None)
