"""What every method must do, over every conf/method/*.yaml, on language and vision models with random weights.

A new method is held to all of this by having a yaml.
"""

import copy
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageClassification

from baselines.updates import choose_directions
from harness.adapters import starting_point
from harness.adapters.adapt import adapt
from harness.plan import config
from harness.plan.config import instantiate
from harness.store import trained
from tests.conftest import ROOT
from tests.processes import Forked, ended

METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
TRAINS_NOTHING = ("none", "fusion")
CAN_SHARE = [
    name
    for name in METHODS
    if "share" in (OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml").get("adapter") or {})
]
DRAWS_NOTHING = (  # what they start with and what they train follows from the weights alone, whatever the seed
    "boft", "ditask", "full", "head", "ia3", "loldu", "lora_xs", "milora", "miss", "oft", "osf", "pica", "pissa",
    "psoft", "road", "soda", "spectral_additive", "spectral_rotation", "ssb", "ssl", "ssvd", "svf", "svft_banded",
    "svft_block", "svft_gradient", "svft_plain", "svft_topk", "vectorfit",
)  # fmt: skip
SMALL = {  # budgets that fit layers of width 16
    "adalora": ["method.adapter.target_r=2", "method.adapter.init_r=3"],
    "c3a": ["method.adapter.block_size=4"],
    "ditask": ["method.adapter.cells=6"],
    "flora": ["method.adapter.r=2"],
    "fourierft": ["method.adapter.n_frequency=64"],
    "lokr": ["method.adapter.r=1"],
    "lora_dash": ["method.adapter.r=2", "method.adapter.directions=2"],
    "lora_xs": ["method.adapter.rank=6"],
    "milora": ["method.adapter.r=4"],
    "oft": ["method.adapter.oft_block_size=4"],
    "pica": ["method.adapter.r=4"],
    "pissa": ["method.adapter.r=4"],
    "psoft": ["method.adapter.r=4"],
    "road": ["method.adapter.group_size=4"],
    "shira": ["method.adapter.r=2"],
    "spectral_additive": ["method.adapter.r=4"],
    "spectral_rotation": ["method.adapter.r=4"],
    "ssvd": ["method.adapter.r=4"],
    "svft_banded": ["method.adapter.d=2"],
    "svft_block": ["method.adapter.d=2"],
    "svft_gradient": ["method.adapter.d=2"],
    "svft_random": ["method.adapter.d=2"],
    "svft_topk": ["method.adapter.d=2"],
    "vblora": ["method.adapter.vector_length=4"],
    "vera": ["method.adapter.r=8"],
    "waveft": ["method.adapter.n_frequency=64"],
}
GEMMA = {"model_type": "gemma", "vocab_size": 40, "hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 4,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}  # fmt: skip
VIT = {"model_type": "vit", "hidden_size": 16, "intermediate_size": 48, "num_hidden_layers": 4, "num_labels": 5,
       "num_attention_heads": 2, "image_size": 8, "patch_size": 4, "num_channels": 1}  # fmt: skip


def language():
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**GEMMA)).eval()


def vision():
    return AutoModelForImageClassification.from_config(AutoConfig.for_model(**VIT)).eval()


def language_batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(0, 40, (2, 7), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids}


def vision_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 1, 8, 8, generator=generator)
    return {"pixel_values": pixels, "labels": torch.tensor([0, 1, 2])}


KINDS = {
    "language": (language, language_batch, ["task=micro_gsm", "model=micro_gemma"], None),
    "vision": (vision, vision_batch, ["task=digits", "model=micro_vit"], "classifier"),
}
CASES = [
    (kind, method)
    for kind in KINDS
    for method in METHODS
    if (kind, method) != ("language", "head") and method not in TRAINS_NOTHING
]


def configuration(composed, kind: str, method: str, *more: str):
    return composed(*KINDS[kind][2], f"method={method}", *SMALL.get(method, []), *more)


def fresh(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return KINDS[kind][0]()


def attach(composed, kind: str, method: str, *more: str):
    return attached(configuration(composed, kind, method, *more), kind)


def attached(cfg, kind: str):
    base = fresh(kind)
    torch.manual_seed(cfg.seed)
    return adapt(base, instantiate(cfg.method.adapter), KINDS[kind][3])


def calibrate(cfg, model: torch.nn.Module, kind: str) -> None:
    """As the trainer does before the first step, for methods that look at data then."""
    for callback in config.callbacks(cfg.method):
        if hasattr(callback, "calibrate"):
            callback.calibrate(model, ([model(**batch(kind)).loss] for _ in range(2)))


def batch(kind: str) -> dict[str, torch.Tensor]:
    return KINDS[kind][1]()


def logits(model, kind: str) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**batch(kind)).logits


def step(model, kind: str, steps: int = 3) -> None:
    """A few large optimiser steps, so that what was trained differs clearly from what was there.

    Directions are chosen after the first, as a callback of LoRA-Dash has it.
    """
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        model.train()(**batch(kind)).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        choose_directions(model)
    model.eval()


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request):
    return request.param


def test_training_starts_at_the_pre_trained_function_or_where_the_yaml_says(case, composed):
    kind, method = case
    cfg = configuration(composed, kind, method)
    expected, adapted = logits(fresh(kind), kind), attached(cfg, kind).model
    adapter, starts = getattr(adapted, "active_peft_config", None), cfg.method.get("starts")
    away = starting_point.measured(adapted, adapter, method, starts)
    if starts == starting_point.ELSEWHERE:
        assert 1e-4 < away < 1
        assert not torch.allclose(logits(adapted, kind), expected, rtol=1e-5, atol=1e-6)
    else:
        assert away is None
        torch.testing.assert_close(logits(adapted, kind), expected, rtol=1e-5, atol=1e-6)


def test_only_what_is_counted_is_trained_and_all_of_it(case, composed):
    kind, method = case
    adapted = attach(composed, kind, method)
    before = {name: p.detach().clone() for name, p in adapted.model.named_parameters()}
    step(adapted.model, kind)
    changed = [name for name, p in adapted.model.named_parameters() if not torch.equal(p, before[name])]
    assert sum(before[name].numel() for name in changed) == adapted.parameters["adapter"] + adapted.parameters["head"]


def test_the_same_parameters_are_trained_on_a_bf16_base_and_they_are_fp32(case, composed):
    kind, method = case
    cfg = configuration(composed, kind, method)
    adapted = adapt(fresh(kind).to(torch.bfloat16), instantiate(cfg.method.adapter), KINDS[kind][3])
    assert {p.dtype for p in adapted.model.parameters() if p.requires_grad} == {torch.float32}
    assert adapted.parameters == attach(composed, kind, method).parameters


def test_one_seed_gives_one_adapter(case, composed):
    kind, method = case
    cfg = configuration(composed, kind, method)
    cfg.seed = 5
    first, second = (attached(cfg, kind).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def after_steps(composed):
    """after_steps(kind, method, seed) -> the model after some steps, for tests that only look at it."""

    @cache
    def model(kind: str, method: str, seed: int = 0) -> torch.nn.Module:
        cfg = configuration(composed, kind, method)
        cfg.seed = seed
        adapted = attached(cfg, kind)
        step(adapted.model, kind)
        return adapted.model

    return model


def seeds_matter(trained: Callable[[int], torch.nn.Module], kind: str) -> bool:
    """Whether two seeds train to two functions on the same data; trained: from a seed to the model after some steps."""
    return not torch.equal(*(logits(trained(seed), kind) for seed in (0, 1)))


@pytest.mark.parametrize("method", [method for kind, method in CASES if kind == "language"])
def test_two_seeds_give_two_adapters_where_anything_is_drawn(method, after_steps):
    differ = seeds_matter(lambda seed: after_steps("language", method, seed), "language")
    assert differ == (method not in DRAWS_NOTHING)


@torch.no_grad()
def also_depends_on(model: torch.nn.Module, kind: str) -> str | None:
    """What a row's output depends on besides the row, and in a language model the tokens before; None: nothing else."""
    inputs = {name: tensor for name, tensor in batch(kind).items() if name != "labels"}
    expected, close = model(**inputs).logits, partial(torch.allclose, rtol=1e-4, atol=1e-5)
    first = model(**{name: tensor[:1] for name, tensor in inputs.items()}).logits
    if not close(first, expected[:1]):
        return "other rows"
    if kind == "language":
        inputs["input_ids"][:, 4:] = 0
        if not close(model(**inputs).logits[:, :4], expected[:, :4]):
            return "later tokens"
    return None


def test_a_row_depends_on_no_other_row_and_on_no_later_token(case, after_steps):
    kind, method = case
    assert also_depends_on(after_steps(kind, method), kind) is None


def test_what_was_trained_can_be_loaded_into_a_fresh_model(case, composed, tmp_path):
    kind, method = case
    adapted = attach(composed, kind, method)
    start = logits(adapted.model, kind)
    calibrate(configuration(composed, kind, method), adapted.model, kind)
    step(adapted.model, kind)
    expected = logits(adapted.model, kind)
    assert not torch.allclose(expected, start, atol=1e-4)
    trained.save(adapted.model, tmp_path)
    again = attach(composed, kind, method)
    trained.load(again.model, tmp_path)
    torch.testing.assert_close(logits(again.model, kind), expected, rtol=1e-6, atol=1e-6)


def test_merging_keeps_the_function(case, composed):
    kind, method = case
    model = attach(composed, kind, method).model
    step(model, kind)
    expected = logits(model, kind)
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
        assert not any("adapter" in name or "default" in name for name, _ in model.named_parameters())
    torch.testing.assert_close(logits(model, kind), expected, rtol=1e-4, atol=1e-4)


def test_every_layer_of_the_model_is_adapted(case, composed):
    kind, method = case
    cfg = configuration(composed, kind, method)
    adapted = attach(composed, kind, method)
    if isinstance(adapted.model, PeftModel):
        assert len(adapted.layers) == len(cfg.model.linear) * cfg.model.blocks


@pytest.mark.parametrize("method", CAN_SHARE)
def test_what_layers_of_one_role_share_is_counted_once_loaded_and_merged(method, composed, tmp_path):
    kind = "language"
    plain, cfg = (configuration(composed, kind, method, f"method.adapter.share={share}") for share in ("null", "role"))
    assert plain.method.label != cfg.method.label and plain.method.variant != cfg.method.variant
    adapted, own = attached(cfg, kind), attached(plain, kind)
    assert adapted.parameters["adapter"] * cfg.model.blocks == own.parameters["adapter"]
    assert adapted.layers == own.layers
    step(adapted.model, kind)
    expected = logits(adapted.model, kind)
    trained.save(adapted.model, tmp_path)
    again = attached(cfg, kind)
    trained.load(again.model, tmp_path)
    torch.testing.assert_close(logits(again.model, kind), expected, rtol=1e-6, atol=1e-6)
    merged = adapted.model.merge_and_unload()
    torch.testing.assert_close(logits(merged, kind), expected, rtol=1e-4, atol=1e-4)


def reload(folder: Path) -> None:
    """Writes what each of CASES gives, as it was saved in a folder of its own."""
    config.register_resolvers()
    for kind, method in CASES:
        saved = folder / f"{kind}-{method}"
        cfg = OmegaConf.load(saved / "config.yaml")
        model = attached(cfg, kind).model
        trained.load(model, saved)
        torch.save(logits(model, kind), saved / "logits.pt")


def test_what_was_trained_gives_the_same_outputs_in_another_process(composed, tmp_path):
    expected = {}
    for kind, method in CASES:
        folder = tmp_path / f"{kind}-{method}"
        folder.mkdir()
        cfg = configuration(composed, kind, method)
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
        adapted = attached(cfg, kind)
        calibrate(cfg, adapted.model, kind)
        step(adapted.model, kind)
        expected[kind, method] = logits(adapted.model, kind)
        trained.save(adapted.model, folder)
    done = ended(Forked(partial(reload, tmp_path), environment={"SVFT_CACHE_DIR": "off"}))
    assert done.returncode == 0, done.stderr
    for kind, method in CASES:
        loaded = torch.load(tmp_path / f"{kind}-{method}" / "logits.pt", weights_only=True)
        torch.testing.assert_close(loaded, expected[kind, method], rtol=1e-6, atol=1e-6)


def test_the_contract_can_fail(composed):
    """A method that trains more than it claims is caught."""
    adapted = attach(composed, "language", "lora")
    sneaky = copy.deepcopy(adapted.model)
    sneaky.get_input_embeddings().weight.requires_grad_(True)
    before = {name: p.detach().clone() for name, p in sneaky.named_parameters()}
    step(sneaky, "language")
    changed = sum(p.numel() for name, p in sneaky.named_parameters() if not torch.equal(p, before[name]))
    assert changed > adapted.parameters["adapter"]
