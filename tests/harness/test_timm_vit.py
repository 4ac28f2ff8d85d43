"""timm's ViTs with Q, K and V apart, against timm's own."""

import pytest
import timm
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from safetensors.torch import save_file

from errors import ModelError
from harness.adapters import adapt
from harness.models import bases, timm_vit
from harness.plan import config
from tests.conftest import ROOT

SMALL = {"library": "timm", "name": "vit_tiny_patch16_224", "img_size": 8, "patch_size": 4, "depth": 2, "embed_dim": 12}


def timm_model(num_classes: int = 5) -> torch.nn.Module:
    """A small ViT of timm with weights and biases that are all different from zero."""
    torch.manual_seed(0)
    options = {key: value for key, value in SMALL.items() if key not in ("library", "name")}
    model = timm.create_model(SMALL["name"], pretrained=False, num_classes=num_classes, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def checkpoint(tmp_path):
    """A folder with a model.safetensors as timm publishes one: fused qkv, a head for other classes."""
    save_file(timm_model().state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def small(checkpoint, **changes):
    cfg = OmegaConf.load(ROOT / "conf" / "model" / "vit_b16_timm.yaml")
    return OmegaConf.merge(cfg, {"checkpoint": str(checkpoint), "blocks": 2, "architecture": SMALL}, changes)


def loaded(checkpoint, num_labels: int = 5, **changes) -> torch.nn.Module:
    return bases.load(small(checkpoint, **changes), "image_classification", num_labels).eval()


def test_splitting_q_k_and_v_leaves_the_function_of_timms_model_as_it_was(checkpoint):
    original, split = timm_model().double(), loaded(checkpoint).double()
    split.head.load_state_dict(original.head.state_dict())
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(split(pixel_values=images).logits, original(images), rtol=0, atol=1e-12)


def test_the_loss_is_the_cross_entropy_of_the_logits(checkpoint):
    model = loaded(checkpoint)
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 4])
    output = model(pixel_values=images, labels=labels)
    likelihoods = output.logits.exp() / output.logits.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(output.loss, -likelihoods[range(4), labels].log().mean())
    assert output[0] is output.loss  # where HF's Trainer looks for it


@pytest.mark.parametrize(
    ("name", "total", "plain", "width"),
    [("vit_b16_timm", 85_798_656, 18_432, 768), ("vit_l16_timm", 303_301_632, 49_152, 1024)],
)
def test_the_counts_are_those_of_the_paper(name, total, plain, width):
    """Table 4: SVFT^P on Q and V, 0.018M and 0.049M. In all: google/vit-*-patch16-224-in21k without pooler and head."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose(overrides=[f"+model={name}", "+method=svft_plain", "method.targets=QV", "+seed=0"])
    model = bases.build(cfg.model, num_labels=10)
    assert sum(p.numel() for n, p in model.named_parameters() if not n.startswith("head.")) == total
    adapted = adapt.adapt(model, config.instantiate(cfg.method.adapter), cfg.model.head)
    assert adapted.parameters["adapter"] == plain
    assert adapted.parameters["head"] == 10 * width + 10


def test_a_checkpoint_of_another_size_is_refused(checkpoint):
    with pytest.raises(ModelError, match="model.safetensors does not hold a vit_tiny_patch16_224"):
        loaded(checkpoint, architecture={"depth": 3}, blocks=3)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ModelError, match="has no safetensors"):
        loaded(tmp_path)


def test_an_unknown_library_is_refused(checkpoint):
    with pytest.raises(ModelError, match="architecture.library='jax' .* none of timm"):
        loaded(checkpoint, architecture={"library": "jax"})


def test_a_new_head_follows_the_seed_and_the_dtype(checkpoint):
    torch.manual_seed(3)
    first = loaded(checkpoint, num_labels=7, dtype="bfloat16")
    torch.manual_seed(3)
    second = loaded(checkpoint, num_labels=7, dtype="bfloat16")
    assert first.head.weight.shape == (7, 12)
    assert torch.equal(first.head.weight, second.head.weight) and first.head.weight.std() > 0
    assert {p.dtype for p in first.parameters()} == {torch.bfloat16}
    assert first(pixel_values=torch.randn(1, 3, 8, 8)).logits.shape == (1, 7)


def test_attention_that_reads_the_weights_of_qkv_itself_is_refused():
    """timm's BEiT with Q, K and V apart: adapters of theirs would do nothing."""
    beit = {**SMALL, "name": "beit_base_patch16_224", "num_heads": 2, "embed_dim": 16}
    model = timm_vit.build(beit, 3, "cpu")
    with pytest.raises(ModelError, match="reads qkv.weight and never calls qkv"):
        model(pixel_values=torch.randn(1, 3, 8, 8))


def test_a_model_of_timm_without_a_fused_qkv_is_refused():
    with pytest.raises(ModelError, match="name=resnet18 is no ViT whose blocks have Q, K and V in one qkv"):
        timm_vit.build({"library": "timm", "name": "resnet18"}, 3, "meta")
