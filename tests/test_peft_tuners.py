"""PEFT's own tuners as conf/method has them: what they train, and what is said of them in words and refused."""

import copy
from collections.abc import Iterable

import pytest
import torch
from omegaconf import OmegaConf
from peft import LilyConfig, LoraConfig, MissConfig, OFTConfig, ShadowConfig, VeraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from errors import ModelError, SettingError
from harness.adapters import merging, starting_point
from harness.adapters.adapt import Adapted, adapt
from harness.plan import config, counting
from harness.store import trained
from tests import card_counts

SHAPES = ((64, 96), (96, 64), (64, 64))  # outputs, inputs
MICRO_GEMMA = ((128, 128), (32, 128), (32, 128), (128, 128), (384, 128), (384, 128), (128, 384))  # of one block
COUNTED = (
    "c3a", "delora", "fourierft", "frod", "gralora", "hira", "hra", "loha", "lokr", "miss", "osf", "psoft", "randlora",
    "road", "shira", "vblora", "waveft",
)  # fmt: skip


class Layers(nn.Module):
    """A few linear layers, each of a role of its own."""

    def __init__(self, shapes: Iterable[tuple[int, int]] = SHAPES):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleDict({f"l{i}": nn.Linear(n, m) for i, (m, n) in enumerate(shapes)})
        self.config = {"model_type": "custom"}

    def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        return [layer(x) for layer, x in zip(self.layers.values(), inputs, strict=True)]


def of_yaml(composed, method: str, *more: str, seed: int = 0) -> Adapted:
    cfg = composed(f"method={method}", *more)
    cfg.seed = seed
    settings = OmegaConf.merge(cfg.method.adapter, {"target_modules": [f"l{i}" for i in range(len(SHAPES))]})
    torch.manual_seed(seed)
    return adapt(Layers(), config.instantiate(settings), None)


@pytest.mark.parametrize("method", COUNTED)
def test_what_is_trained_is_what_the_card_counts(composed, method):
    options = composed(f"method={method}").method.adapter
    assert of_yaml(composed, method).parameters["adapter"] == card_counts.counted(method, options, SHAPES)


@pytest.mark.parametrize("method", COUNTED)
def test_a_plan_counts_what_is_trained_without_the_weights(composed, method):
    cfg = composed(f"method={method}", "task=micro_gsm", "model=micro_gemma")
    trained_numbers, _ = counting.trained_and_memory(cfg)
    options = config.resolve(cfg)["method"]["adapter"]
    assert trained_numbers == card_counts.counted(method, options, 4 * MICRO_GEMMA)


@pytest.mark.parametrize("method", ["c3a", "vblora", "fourierft"])
def test_the_distance_of_a_start_is_that_of_the_weights(composed, method):
    """Against the weights of the merged model."""
    start = ["method.adapter.init_weights=false"] if method == "fourierft" else []
    adapted = of_yaml(composed, method, *start).model
    measured, before = starting_point.distance(adapted), Layers()
    merged = adapted.merge_and_unload()
    pairs = [(merged.layers[name].weight, layer.weight) for name, layer in before.layers.items()]
    exact = (sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)).sqrt()
    assert measured == pytest.approx(exact.item(), rel=0.1) and measured > 1e-3


def test_a_method_that_starts_at_the_base_model_is_no_distance_away(composed):
    assert starting_point.distance(of_yaml(composed, "lora").model) < 1e-7


def outputs(model: nn.Module, shapes: Iterable[tuple[int, int]] = SHAPES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(5, n, generator=generator) for _, n in shapes]
    with torch.no_grad():
        return torch.cat([y.flatten() for y in model.eval()(*inputs)])


def moved(model: nn.Module) -> nn.Module:
    """With all that is trained somewhere else."""
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("method", COUNTED)
def test_an_adapter_acts_again_after_it_was_merged_for_a_while(composed, method):
    """PEFT's OSF cannot be unmerged, and would stay silent."""
    model = moved(of_yaml(composed, method).model)
    before = outputs(model)
    with merging.merged(model):
        torch.testing.assert_close(outputs(model), before, rtol=1e-4, atol=1e-4)
    assert torch.equal(outputs(model), before)
    assert not torch.allclose(before, outputs(Layers()), atol=1e-3)


@pytest.mark.parametrize("more", ["method.adapter.r=7", "method.adapter.apply_GS=true"])
def test_settings_that_start_elsewhere_are_refused_unless_that_is_said(composed, more):
    """HRA undoes its reflections in pairs: an odd one is left, and Gram-Schmidt makes others of rounding errors."""
    adapted = of_yaml(composed, "hra", more).model
    adapter = adapted.active_peft_config
    with pytest.raises(SettingError, match=r"^HRA starts \d\d\.\d% of the .*, or say method\.starts=elsewhere"):
        starting_point.measured(adapted, adapter, "HRA", None)
    assert 0.3 < starting_point.measured(adapted, adapter, "HRA", "elsewhere") < 1.5


def test_looking_at_a_start_leaves_random_numbers_and_modes_as_they_were(composed):
    adapted = of_yaml(composed, "lora", "method.adapter.lora_dropout=0.5").model
    state, modes = torch.get_rng_state(), [module.training for module in adapted.modules()]
    assert starting_point.measured(adapted, adapted.active_peft_config, "LoRA", None) is None
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in adapted.modules()] == modes


def test_a_layer_in_which_nothing_is_trained_is_refused(composed):
    """OSF keeps at most all directions of a layer, and says nothing where it keeps all."""
    with pytest.raises(SettingError, match=r"^with these settings nothing is trained in layers\.l0; a smaller rank"):
        of_yaml(composed, "osf", "method.adapter.effective_rank=64")


@pytest.mark.parametrize(
    ("config", "why"), [(LilyConfig(r=4, num_B=2, target_modules=["l0"]), "later tokens"), (ShadowConfig(r=2), "loss")]
)
def test_tuners_whose_scores_would_not_be_a_methods_own_are_refused_by_name(config, why):
    with pytest.raises(SettingError, match=rf"^PEFT's {type(config).__name__} cannot be compared .* {why}"):
        adapt(Layers(), config, None)


@pytest.fixture
def other_signs(monkeypatch):
    """Calling it gives torch's decompositions the signs that another library may give singular and eigenvectors."""

    def flip():
        svd, eigh = torch.linalg.svd, torch.linalg.eigh

        def flipped_svd(matrix, full_matrices=True):
            U, s, Vh = svd(matrix, full_matrices=full_matrices)
            signs = (-1.0) ** torch.arange(len(s))
            U, Vh = U.clone(), Vh.clone()
            U[:, : len(s)] *= signs
            Vh[: len(s)] *= signs[:, None]
            return U, s, Vh

        def flipped_eigh(matrix):
            values, vectors = eigh(matrix)
            return values, vectors * (-1.0) ** torch.arange(len(values))

        monkeypatch.setattr(torch.linalg, "svd", flipped_svd)
        monkeypatch.setattr(torch.linalg, "eigh", flipped_eigh)

    return flip


def saved(composed, method: str, folder, *more: str) -> torch.Tensor:
    model = moved(of_yaml(composed, method, *more).model)
    trained.save(model, folder)
    return outputs(model)


def test_an_update_that_is_a_part_of_the_weight_is_the_same_whatever_the_signs(composed, tmp_path, other_signs):
    """OSF's."""
    expected = saved(composed, "osf", tmp_path)
    other_signs()
    again = of_yaml(composed, "osf").model
    trained.load(again, tmp_path)
    torch.testing.assert_close(outputs(again), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["psoft", "frod"])
def test_an_adapter_that_other_signs_make_another_is_refused(composed, method, tmp_path, other_signs):
    """They mix singular vectors, or projections, that their files lack."""
    expected = saved(composed, method, tmp_path)
    other_signs()
    again = of_yaml(composed, method).model
    with pytest.raises(ModelError, match=r"adapter is off by \d+% of what it does where it was trained"):
        trained.load(again, tmp_path)
    assert (outputs(again) - expected).norm() > 0.05 * (expected - outputs(Layers())).norm()


def test_an_adapter_of_other_random_matrices_is_refused(composed, tmp_path):
    expected = saved(composed, "randlora", tmp_path)
    trained.load(same := of_yaml(composed, "randlora").model, tmp_path)
    assert torch.equal(outputs(same), expected)
    with pytest.raises(ModelError, match="this RANDLORA adapter is off by"):
        trained.load(of_yaml(composed, "randlora", seed=9).model, tmp_path)


@pytest.mark.parametrize("method", ["frod", "lokr", "osf", "psoft"])
def test_an_adapter_is_taken_or_refused_on_a_base_in_16_bits_by_what_it_does_there(composed, method, tmp_path):
    cfg = composed(f"method={method}")
    settings = OmegaConf.merge(cfg.method.adapter, {"target_modules": ["l0", "l1", "l2"]})
    expected = saved(composed, method, tmp_path)
    again = adapt(Layers().to(torch.bfloat16), config.instantiate(settings), None).model
    try:
        trained.load(again, tmp_path)
        taken = True
    except ModelError:
        taken = False
    off = outputs(again.float()) - expected
    assert taken == (off.norm() < 0.5 * (expected - outputs(Layers())).norm())


def test_a_stored_projection_does_not_help_frod(composed, tmp_path, other_signs):
    """It stores V and works out U from another V."""
    expected = saved(composed, "frod", tmp_path, "method.adapter.save_projection=true")
    other_signs()
    again = of_yaml(composed, "frod", "method.adapter.save_projection=true").model
    with pytest.raises(ModelError, match="adapter is off by"):
        trained.load(again, tmp_path)
    assert (outputs(again) - expected).norm() > (expected - outputs(Layers())).norm()


def test_an_adapter_whose_file_is_whole_has_no_print(composed, tmp_path):
    saved(composed, "lora", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", "adapter_config.json", trained.PEFT_WEIGHTS}


@pytest.mark.parametrize("adapter", [MissConfig(r=4), VeraConfig(r=4), LoraConfig(r=2), OFTConfig(oft_block_size=4)])
def test_a_classifier_with_a_pooler_of_its_own_merges_for_good_with_the_head_that_was_trained(adapter):
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_labels": 3}
    base = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model("deberta-v2", num_attention_heads=2, **sizes)
    ).eval()
    adapter = copy.deepcopy(adapter)
    adapter.target_modules, adapter.modules_to_save = ["query_proj"], ["pooler", "classifier"]
    model = get_peft_model(base, adapter).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    ids = torch.arange(1, 9).view(1, 8)
    trained_logits = model(input_ids=ids).logits
    merged = merging.merged_for_good(model)
    assert not any("modules_to_save" in name or "original_module" in name for name, _ in merged.named_modules())
    assert torch.allclose(merged(input_ids=ids).logits, trained_logits, atol=1e-5)
