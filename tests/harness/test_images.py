"""What the harness does with images: pixels as the released script makes them, opened when they are needed."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from errors import DataError
from harness.modality import images
from harness.modality.images import ImageClassification
from tasks.base import ImageExample
from tests.bare import Bare


def modality(size=224, channels=3) -> ImageClassification:
    image = {"size": size, "channels": channels, "mean": 0.5, "std": 0.5}
    return ImageClassification(OmegaConf.create({"model": {"image": image}}), Bare(num_classes=3))


def picture(mode="RGB", size=(300, 170)) -> Image.Image:
    width, height = size
    values = np.random.default_rng(0).integers(0, 256, (height, width, len(Image.new(mode, (1, 1)).getbands())))
    values[..., 3:] = 255  # opaque
    return Image.fromarray(values.astype(np.uint8).squeeze(), mode if mode != "L" else None)


@pytest.mark.parametrize("size", [(300, 170), (32, 32), (224, 224), (90, 400)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_pixels_are_those_of_the_released_transforms(mode, size):
    released = Compose([Resize((224, 224)), ToTensor(), Normalize(mean=[0.5] * 3, std=[0.5] * 3)])
    pixels = modality().pixels(ImageExample("a", picture(mode, size), 0))
    assert torch.equal(pixels, released(picture(mode, size).convert("RGB")))


def test_a_grey_model_gets_one_channel_and_an_array_is_an_image():
    array = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    pixels = modality(size=2, channels=1).pixels(ImageExample("a", array, 0))
    assert pixels.tolist() == [[[-1.0, 1.0], [1.0, -1.0]]]


def test_an_image_is_opened_when_its_batch_is_made_and_not_before():
    opened = []

    def image(number):
        opened.append(number)
        return picture()

    examples = [ImageExample(str(number), partial(image, number), number) for number in range(3)]
    rows = modality(size=8).rows(examples)
    assert opened == []
    batch = modality(size=8).collate(rows[1:])
    assert opened == [1, 2]
    assert batch["pixel_values"].shape == (2, 3, 8, 8)
    assert batch["labels"].tolist() == [1, 2]


@pytest.mark.parametrize(("kept", "times"), [(3 * 3 * 8 * 8 * 4, 1), (3 * 3 * 8 * 8 * 4 - 1, 2)])
def test_a_small_data_set_is_read_once_and_a_larger_one_for_each_batch(monkeypatch, kept, times):
    monkeypatch.setattr(images, "KEPT", kept)
    opened = []

    def image(number):
        opened.append(number)
        return picture()

    made = modality(size=8)
    rows = made.rows([ImageExample(str(number), partial(image, number), number) for number in range(3)])
    first, again = (made.collate(rows)["pixel_values"] for _ in range(2))
    assert torch.equal(first, again) and opened == [0, 1, 2] * times


def test_an_unreadable_image_is_named_by_its_example(tmp_path):
    whole = tmp_path / "whole.png"
    picture().save(whole)
    for content in (b"no image", whole.read_bytes()[:2000]):
        path = tmp_path / "broken.png"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"the image of example cats/3 cannot be read \(.+\); replace or remove it"):
            modality().pixels(ImageExample("cats/3", partial(Image.open, path), 0))


class Brightest(torch.nn.Module):
    """Says how red, green and blue an image is."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, pixel_values):
        return SimpleNamespace(logits=self.scale * pixel_values.mean((2, 3)))


def test_predictions_are_the_likeliest_classes_in_the_order_of_the_examples():
    colours = ["red", "blue", "lime", "blue", "red"]
    examples = [ImageExample(str(n), Image.new("RGB", (5, 4), colour), 0) for n, colour in enumerate(colours)]
    for batch_size in (1, 2, 5):
        classes, generated = modality(size=8).predict(Brightest(), None, examples, batch_size, "colours test")
        assert classes == [0, 2, 1, 2, 0]
        assert generated == 0


def test_predictions_of_logits_are_plain_integers():
    predictions = modality().predictions_of(np.array([[0.1, 0.9, 0.2], [3.0, -1.0, 2.0]], dtype=np.float32))
    assert predictions == [1, 0]
    assert all(type(prediction) is int for prediction in predictions)
