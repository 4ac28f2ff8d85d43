"""Images of other than 8 opaque bits reach the model with the shades that they have."""

import hashlib
import json
import struct

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from errors import DataError, SettingError
from harness.modality.images import ImageClassification
from tasks.base import ImageExample
from tasks.reading import pictures
from tests.bare import Bare
from tests.conftest import task_of_yaml

SIDE = 8
SHADES = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)  # black to white


def pixels(image, channels: int = 1) -> np.ndarray:
    """(S, S) or (C, S, S) in [0, 1], as a model whose mean is 0 and whose deviation is 1 gets them."""
    cfg = OmegaConf.create({"model": {"image": {"size": SIDE, "channels": channels, "mean": 0.0, "std": 1.0}}})
    return ImageClassification(cfg, Bare(num_classes=2)).pixels(ImageExample("a", image, 0)).numpy().squeeze()


def stored(tmp_path, image: Image.Image, name: str, **options):
    """The same through a file and the task of folders, with its fingerprint."""
    for each in ("a", "b"):
        (tmp_path / each).mkdir(exist_ok=True)
        for number in range(4):
            image.save(tmp_path / each / f"{number}-{name}", **options)
    task = task_of_yaml("image_folder", root=str(tmp_path))
    task.fingerprint()  # raises what is wrong before anything is trained
    return task.examples("train")[0].image()


def sixteen(order: str = "<u2") -> Image.Image:
    return Image.fromarray(np.rint(SHADES * 65535).astype(order))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "order"), [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2"), ("a.pgm", "<u2")])
def test_a_grey_image_of_16_bits_has_its_shades(tmp_path, name, order, channels):
    seen = pixels(stored(tmp_path, sixteen(order), name), channels)
    assert np.abs(seen - SHADES).max() < 1e-4


def test_a_tiff_of_12_bits_is_white_at_4095(tmp_path):
    packed = np.rint(SHADES * 4095).astype(int).reshape(-1, 2)
    strip = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in packed)
    tags = {256: SIDE, 257: SIDE, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: SIDE, 279: len(strip)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    path = tmp_path / "a.tif"
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + struct.pack("<H", len(tags)) + directory)
    with path.open("ab") as file:
        file.write(bytes(4))
    assert np.abs(pixels(lambda: Image.open(path)) - SHADES).max() < 1e-3


def test_a_tiff_whose_zero_is_white_is_turned_round(tmp_path):
    sixteen().save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert np.abs(pixels(lambda: Image.open(tmp_path / "a.tif")) - (1 - SHADES)).max() < 1e-4


def test_a_float_image_is_white_at_1(tmp_path):
    assert np.abs(pixels(stored(tmp_path, Image.fromarray(SHADES.astype(np.float32)), "a.tif")) - SHADES).max() < 1e-6


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.fromarray(np.float32(SHADES * 255)), "its values are floats from 0 to 255, expected 0 to 1"),
        (Image.fromarray(np.int32(SHADES * 255)), "nothing says which value is white; save it with 8 or 16 bits"),
    ],
)
def test_an_image_that_does_not_say_what_is_white_is_refused_before_training(tmp_path, image, said):
    with pytest.raises(DataError, match=rf"the image of example a/0-a.tif cannot be read \(.*{said}"):
        stored(tmp_path, image, "a.tif")


@pytest.mark.parametrize(
    ("array", "tolerance"),
    [
        (np.rint(SHADES * 65535).astype(np.uint16), 1e-4),
        (SHADES, 1e-6),
        (SHADES.astype(np.float32)[..., None], 1e-6),
        (np.rint(SHADES * 255).astype(np.uint8), 2e-3 + 1 / 255),
    ],
)
def test_arrays_have_their_shades_in_every_type(array, tolerance):
    assert np.abs(pixels(array) - SHADES).max() < tolerance


def test_arrays_of_colours_in_floats_and_16_bits_are_those_of_8_bits():
    colours = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    wanted = pixels(colours, 3)
    assert np.array_equal(pixels(colours / 255, 3), wanted)
    assert np.array_equal(pixels(colours.astype(np.uint16) * 257, 3), wanted)
    assert np.array_equal(pixels(SHADES > 0.5), (SHADES > 0.5).astype(np.float32))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 8, 8), np.uint8), "an array of shape (3, 8, 8) is no image"),
        (np.zeros((8, 8), np.int64), "nothing says which value of int64 is white"),
        (np.full((8, 8), 7.0), "its values are floats from 7 to 7, expected 0 to 1"),
        (np.full((8, 8), np.nan), "its values are floats from nan to nan, expected 0 to 1"),
    ],
)
def test_an_array_without_a_rule_is_refused(array, said):
    with pytest.raises(DataError) as error:
        pixels(array)
    assert said in str(error.value)


@pytest.mark.parametrize("background", ["white", "black", "#ff0000"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_what_is_transparent_shows_the_background(tmp_path, mode, background):
    """The shape is in the alpha channel alone: every pixel is black."""
    shape = (SHADES > 0.5).astype(np.uint8) * 255
    image = Image.fromarray(np.stack([0 * shape] * 3 + [shape], -1))
    name = "a.tif" if mode == "PA" else "a.png"
    (tmp_path / name).parent.mkdir(exist_ok=True)
    image = image.quantize(4) if mode == "P" else image.convert("RGBA" if mode == "PA" else mode)
    for each in ("a", "b"):
        (tmp_path / each).mkdir()
        for number in range(4):
            image.save(tmp_path / each / f"{number}{name}")
    task = task_of_yaml("image_folder", root=str(tmp_path), background=background)
    seen = pixels(task.examples("train")[0].image, 3)
    colour = {"white": (1, 1, 1), "black": (0, 0, 0), "#ff0000": (1, 0, 0)}[background]
    assert np.allclose(seen, np.where(shape == 0, np.reshape(colour, (3, 1, 1)), 0), atol=1e-6)


def test_half_of_alpha_is_half_of_the_background():
    grey = np.stack([np.full((8, 8), 100), np.full((8, 8), 128)], -1).astype(np.uint8)
    assert np.allclose(pixels(grey), (100 * 128 + 255 * 127) / 255 / 255, atol=1 / 255)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_value_that_a_png_calls_transparent_shows_the_background(tmp_path, bits):
    values = np.where(SHADES > 0.5, 9, 0).astype(f"uint{bits}")
    Image.fromarray(values).save(tmp_path / "a.png", transparency=9)
    seen = pixels(lambda: Image.open(tmp_path / "a.png"))
    assert np.array_equal(seen > 0.99, SHADES > 0.5)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_modes_are_as_pillow_converts_them(mode, channels):
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8))
    image = Image.merge("CMYK", [*colours.split(), colours.getchannel(0)]) if mode == "CMYK" else colours.convert(mode)
    wanted = np.asarray(image.convert("RGB" if channels == 3 else "L"), dtype=np.float32) / 255
    assert np.array_equal(pixels(image, channels), wanted.transpose(2, 0, 1) if channels == 3 else wanted)


def test_lab_is_what_it_was_made_of_in_grey_too():
    colours = Image.new("RGB", (SIDE, SIDE), (200, 120, 60))
    assert np.allclose(pixels(colours.convert("LAB"), 3), pixels(colours, 3), atol=3 / 255)
    assert np.allclose(pixels(colours.convert("LAB")), pixels(colours), atol=3 / 255)


def test_the_first_picture_of_an_animation_is_the_image(tmp_path):
    frames = [Image.new("L", (SIDE, SIDE), shade) for shade in (50, 100, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.allclose(pixels(lambda: Image.open(tmp_path / "a.gif")), 50 / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_images_are_turned_as_pillow_turns_shallow_ones(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = Image.fromarray(np.rint(SHADES[:5] * 255).astype(np.uint8))
    shallow.save(tmp_path / "shallow.png", exif=exif)
    Image.fromarray(np.asarray(shallow).astype(np.uint16) * 257).save(tmp_path / "deep.png", exif=exif)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "shallow.png")))
    for name, white in (("shallow.png", 255), ("deep.png", 1)):
        turned = np.asarray(pictures.opened(tmp_path / name))
        assert np.allclose(turned / white, wanted / 255, atol=1e-6)


def test_runs_on_plain_images_keep_their_fingerprint_and_others_lose_theirs(tmp_path):
    """Images that were read wrongly once must not be found again by the key of then."""

    def fingerprints(image):
        stored(tmp_path, image, "a.png")
        paths = sorted(tmp_path.rglob("*.png"))
        listed = [
            [path.relative_to(tmp_path).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()] for path in paths
        ]
        old = hashlib.sha256(json.dumps([listed, 0.2, 0.1, None, None, 0]).encode()).hexdigest()
        return task_of_yaml("image_folder", root=str(tmp_path)).fingerprint() == old

    opaque, clear = (Image.new("RGBA", (4, 4), (1, 2, 3, alpha)) for alpha in (255, 254))
    assert fingerprints(Image.new("RGB", (4, 4))) and fingerprints(opaque)
    assert not fingerprints(clear) and not fingerprints(sixteen())


def test_a_colour_that_is_none_is_refused(tmp_path):
    with pytest.raises(SettingError, match="unknown color specifier: 'wite'"):
        task_of_yaml("image_folder", root=str(tmp_path), background="wite")


def test_pixels_are_float32():
    cfg = OmegaConf.create({"model": {"image": {"size": 4, "channels": 3, "mean": 0.5, "std": 0.5}}})
    found = ImageClassification(cfg, Bare(num_classes=2)).pixels(ImageExample("a", sixteen(), 0))
    assert found.dtype == torch.float32 and found.shape == (3, 4, 4)
