"""The contract of methods catches what some methods of PEFT do."""

import torch
from peft import LilyConfig, PeftConfig, ShadowConfig, ShiraConfig, get_peft_model

from harness.adapters.adapt import adapt
from tests.test_method_contract import KINDS, also_depends_on, fresh, language_batch, seeds_matter, step

NAMES = ["q_proj", "v_proj"]


def trained(config: PeftConfig, seed: int = 0) -> torch.nn.Module:
    base = fresh("language")
    torch.manual_seed(seed)
    model = adapt(base, config, None).model
    step(model, "language")
    return model


def test_a_mask_that_is_one_for_all_seeds():
    """SHiRA's, unless its own seed is given."""
    assert not seeds_matter(lambda seed: trained(ShiraConfig(r=2, target_modules=NAMES), seed), "language")
    assert seeds_matter(lambda seed: trained(ShiraConfig(r=2, target_modules=NAMES, random_seed=seed)), "language")


def lily() -> torch.nn.Module:
    """Attached by PEFT itself, as `adapt` refuses it."""
    base = fresh("language")
    torch.manual_seed(0)
    model = get_peft_model(base, LilyConfig(r=4, num_B=2, target_modules=NAMES, init_weights=False))
    step(model, "language")
    return model


def test_a_router_that_averages_over_rows():
    """Lily's, over positions as well."""
    assert also_depends_on(lily(), "language") == "other rows"


def test_a_router_that_averages_over_positions(monkeypatch):
    """Lily's, where a batch has one row."""
    one_row = (KINDS["language"][0], lambda: {name: tensor[:1] for name, tensor in language_batch().items()})
    monkeypatch.setitem(KINDS, "language", one_row)
    assert also_depends_on(lily(), "language") == "later tokens"


def shadow_losses(**settings) -> tuple[float, float]:
    """What a model in evaluation mode calls its loss, and the cross entropy of its logits."""
    model = get_peft_model(fresh("language"), ShadowConfig(r=2, **settings)).eval()
    inputs = language_batch()
    with torch.no_grad():
        output = model(**inputs)
    labels = inputs["labels"][:, 1:].flatten()
    return output.loss.item(), torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), labels).item()


def test_a_loss_that_holds_more_than_that_of_the_outputs_in_evaluation():
    """ShadowPEFT's: the loss of its shadow network is added to what a validation loss would be."""
    loss, expected = shadow_losses(task_type="CAUSAL_LM", auxiliary_loss_weight=0.05)
    assert loss > expected + 0.1


def test_a_part_of_the_loss_that_is_left_out_without_a_word():
    """ShadowPEFT's again, where a model is adapted without a task type, as here."""
    loss, expected = shadow_losses(auxiliary_loss_weight=0.05)
    assert abs(loss - expected) < 1e-5
