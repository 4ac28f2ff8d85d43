"""Image size, mean and deviation of "auto" give the pixels of the checkpoint's own preprocessor."""

import json

import numpy as np
import pytest
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor

from errors import RoleError
from harness.modality.images import ImageClassification
from harness.models import bases
from harness.models.preprocessing import differences
from harness.plan import config as configuration
from tasks.base import ImageExample
from tests.bare import Bare

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
DINO = IMAGENET | {
    "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": 16},
    "do_center_crop": True, "crop_size": {"height": 14, "width": 14}, "resample": 3, "rescale_factor": 1 / 255,
}  # fmt: skip
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 12, "width": 12}, "resample": 2}


@pytest.fixture
def auto(tmp_path, composed):
    """auto(preprocessor) -> the configuration of `model=vision` for a checkpoint of 28 pixels with it."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}

    def completed(preprocessor, *overrides):
        AutoConfig.for_model("dinov2", image_size=28, patch_size=2, **sizes).save_pretrained(tmp_path)
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        cfg = composed(
            "task=digits", "model=vision", f"model.checkpoint={tmp_path}", "model.head=classifier", *overrides
        )
        bases.complete(cfg)
        return cfg

    return completed


@pytest.mark.parametrize(
    ("preprocessor", "size"),
    [
        (DINO, 14),
        (DINO | {"crop_size": 14}, 14),
        (DINO | {"do_center_crop": False}, 16),
        (VIT, 12),
        (VIT | {"size": 12}, 12),
        (VIT | {"crop_size": {"height": 10, "width": 10}, "do_center_crop": False}, 12),
        (VIT | {"do_resize": False}, 28),
        (VIT | {"size": {"longest_edge": 99}}, 28),
        ({}, 28),
    ],
)
def test_the_size_is_that_which_the_preprocessor_makes(auto, preprocessor, size):
    assert auto(preprocessor).model.image.size == size


def test_a_size_that_is_given_stays_and_its_key_with_it(auto):
    with_it, without = (auto(preprocessor, "model.image.size=28") for preprocessor in (DINO, IMAGENET))
    assert with_it.model.image.size == 28
    assert configuration.identity(with_it) == configuration.identity(without)


def test_a_preprocessor_that_makes_no_square_is_refused(auto):
    with pytest.raises(RoleError, match=r"no side of a square image \(10 x 12\); give model.image.size=N"):
        auto(VIT | {"size": {"height": 10, "width": 12}})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"do_rescale": False},
        {"rescale_factor": 1 / 127.5},
        {"do_normalize": False},
        IMAGENET,
        IMAGENET | {"do_rescale": False},
    ],
)
def test_pixels_are_those_of_the_checkpoints_processor(auto, tmp_path, changes):
    cfg = auto(VIT | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} | changes)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8))
    wanted = AutoImageProcessor.from_pretrained(tmp_path)(picture, return_tensors="np")["pixel_values"][0]
    task = Bare(num_classes=2)
    found = ImageClassification(cfg, task).pixels(ImageExample("a", picture, 0)).numpy()
    assert np.allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_an_offset_after_rescaling_is_in_the_mean(auto):
    """As EfficientNet's first preprocessors: x / 127.5 - 1, then mean 0 and deviation 1."""
    image = auto(VIT | {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}).model.image
    assert (image.mean, image.std) == pytest.approx((0.5, 0.5))


def test_what_the_preprocessor_does_otherwise_is_told(auto, capsys):
    auto(DINO)
    assert capsys.readouterr().out == (
        "model vision: the checkpoint's own preprocessor resizes with bicubic filters, keeps the ratio of the sides "
        "and cuts a square out of the middle; here, with every method, images are resized bilinearly to 14 x 14\n"
    )
    assert differences(VIT | {"do_flip_channel_order": True}) == ["puts blue first"]
    assert differences(VIT) == differences({}) == []
