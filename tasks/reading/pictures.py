"""Images of files and arrays, of any number of bits and with alpha or not, brought to one of two kinds.

A plain image is one that Pillow converts rightly to 8 bits a channel, grey or RGB; or one of mode "F", grey from 0 to
1, for greys of more than 8 bits, which Pillow would cut off at 255.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageColor

from errors import DataError

BACKGROUND = "white"  # what shows through where an image is transparent, unless a task says otherwise

# What Pillow raises for a file that is no image, is cut off, or unpacks to more pixels than it permits.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a value of the second
SCALED_TO_16_BITS = ("PPM", "PNG")  # formats whose greys of mode "I" Pillow brings to 0 ... 65535
OPAQUE = (255, 255)


def opened(source: Path | bytes, background: str = BACKGROUND) -> Image.Image:
    """The plain image in a file, the first of several; turned as its camera noted. Raises one of UNREADABLE."""
    image = Image.open(BytesIO(source) if isinstance(source, bytes) else source)
    image.load()
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    image = plain(image, background)
    return image if turn is None else image.transpose(turn)


def plain(image: Image.Image | np.ndarray, background: str = BACKGROUND) -> Image.Image:
    """The image itself where it is plain. Raises ValueError where nothing says which of its values is white.

    Greys of more than 8 bits are scaled: 16 bits by 65535, fewer of a TIFF by their largest value, floats by 1. What is
    transparent is laid over `background`, a colour by its name or as "#rrggbb".
    """
    if isinstance(image, np.ndarray):
        image = _of_array(image)
    if image.mode == "I" or image.mode.startswith(("I;16", "F")):
        return _deep(image, background)
    if image.has_transparency_data:
        return _flat(image, background)
    return image.convert("RGB") if image.mode == "LAB" else image  # Pillow has no way from LAB to grey


def unreadable(id: str, error: Exception) -> DataError:
    return DataError(f"the image of example {id} cannot be read ({error}); replace or remove it")


def _flat(image: Image.Image, background: str) -> Image.Image:
    solid = image.convert("RGBA")
    if solid.getchannel("A").getextrema() == OPAQUE:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, background), solid).convert("RGB")


def _deep(image: Image.Image, background: str) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    grey = _in_unit(values) if image.mode == "F" else values / _white(image)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 1 - grey
    if (hidden := image.info.get("transparency")) is not None:  # of a PNG: the value that is no colour
        grey = np.where(values == hidden, np.dot(ImageColor.getrgb(background)[:3], (0.299, 0.587, 0.114)) / 255, grey)
    return image if image.mode == "F" and np.array_equal(grey, values) else Image.fromarray(grey.astype(np.float32))


def _white(image: Image.Image) -> int:
    """The value of white in an image of whole numbers."""
    if image.mode == "I" and image.format not in SCALED_TO_16_BITS:
        raise ValueError("it has 32 bits or a sign, and nothing says which value is white; save it with 8 or 16 bits")
    bits = getattr(image, "tag_v2", {}).get(BITS, 16)
    return 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1


def _in_unit(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"its values are floats from {low:g} to {high:g}, expected 0 to 1; save it with 8 or 16 bits")
    return values


def _of_array(values: np.ndarray) -> Image.Image:
    """Of shape (H, W), (H, W, 1) or, with alpha, (H, W, 2); (H, W, 3) or, with alpha, (H, W, 4).

    Greys keep their precision; colours and alpha are rounded to 8 bits.
    """
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (2, 3, 4))):
        raise ValueError(f"an array of shape {values.shape} is no image; expected (height, width[, channels up to 4])")
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    unit = _unit(values)
    return Image.fromarray(unit.astype(np.float32) if unit.ndim == 2 else np.rint(255 * unit).astype(np.uint8))


def _unit(values: np.ndarray) -> np.ndarray:
    """White is 1."""
    kinds: dict[Any, Any] = {np.dtype(bool): 1, np.dtype(np.uint16): 2**16 - 1}
    if np.issubdtype(values.dtype, np.floating):
        return _in_unit(values.astype(np.float64))
    if values.dtype not in kinds:
        raise ValueError(f"nothing says which value of {values.dtype} is white; expected uint8, uint16, bool or floats")
    return values / kinds[values.dtype]
