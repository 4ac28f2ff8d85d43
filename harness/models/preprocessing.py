"""What a checkpoint's own preprocessor does to an image, as the harness states it: a side, channels, mean and std.

Images are squared bilinearly, scaled to [0, 1] and normalised, for every model; what a preprocessor does otherwise and
cannot be stated so is told.
"""

import math
from collections.abc import Mapping
from typing import Any

from PIL.Image import Resampling
from transformers import PretrainedConfig

from errors import RoleError

UNSTATED = 0.5  # mean and standard deviation where a checkpoint has no preprocessor_config.json: [0, 1] to [-1, 1]

Channels = float | list[float]


def image(config: PretrainedConfig, preprocessor: Mapping[str, Any]) -> dict[str, Any]:
    """size and channels of the images that a checkpoint takes; mean and std, one number or one for each channel.

    The side is that which the preprocessor makes; what the architecture allows for may be larger (DINOv2: 224 of 518).
    Raises RoleError where no square side is stated.
    """
    vision = getattr(config, "vision_config", config)
    sides = {side for _, side in _sides(preprocessor)} or _of_config(vision)
    if len(sides) != 1 or None in sides:
        stated = " x ".join(map(str, sorted(sides, key=str)))
        raise RoleError(f"the checkpoint states no side of a square image ({stated}); give model.image.size=N")
    mean, std = (preprocessor.get(f"image_{name}", UNSTATED) for name in ("mean", "std"))
    if not preprocessor.get("do_normalize", True):
        mean, std = 0.0, 1.0
    white, black = _rescaled(preprocessor)
    return {
        "size": sides.pop(),
        "channels": getattr(vision, "num_channels", 3),
        "mean": _one_or_each(mean, lambda value: (value - black) / (white - black)),
        "std": _one_or_each(std, lambda value: value / (white - black)),
    }


def differences(preprocessor: Mapping[str, Any]) -> list[str]:
    """What the checkpoint's preprocessor does that is not done here, in words that follow "the preprocessor"."""
    said = []
    resample = preprocessor.get("resample", Resampling.BILINEAR)
    if preprocessor.get("do_resize", True) and resample in list(Resampling) and resample != Resampling.BILINEAR:
        said.append(f"resizes with {Resampling(resample).name.lower()} filters")
    if "shortest_edge" in _mapping(preprocessor.get("size")):
        said.append("keeps the ratio of the sides and cuts a square out of the middle")
    elif _crops(preprocessor):
        said.append("cuts a square out of the middle")
    if preprocessor.get("do_flip_channel_order"):
        said.append("puts blue first")
    return said


def _of_config(vision: PretrainedConfig) -> set[int | None]:
    size = getattr(vision, "image_size", None)
    return set(size) if isinstance(size, list | tuple) else {size}


def _sides(preprocessor: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Those of what comes out last, by name; none where it is not said."""
    size = preprocessor.get("crop_size") if _crops(preprocessor) else preprocessor.get("size")
    if not _crops(preprocessor) and not preprocessor.get("do_resize", True):
        return []
    if isinstance(size, int):
        return [("side", size)]
    named = _mapping(size)
    return [(name, named[name]) for name in ("height", "width", "shortest_edge") if isinstance(named.get(name), int)]


def _crops(preprocessor: Mapping[str, Any]) -> bool:
    return "crop_size" in preprocessor and bool(preprocessor.get("do_center_crop", True))


def _mapping(size: Any) -> Mapping[str, Any]:
    return size if isinstance(size, Mapping) else {}


def _rescaled(preprocessor: Mapping[str, Any]) -> tuple[float, float]:
    """What the preprocessor makes of white and of black, before it normalises; 1 and 0 as a rule."""
    white = 255 * (preprocessor.get("rescale_factor", 1 / 255) if preprocessor.get("do_rescale", True) else 1)
    black = -1.0 if preprocessor.get("rescale_offset") else 0.0
    return (1.0 if math.isclose(white, 1) else white) + black, black


def _one_or_each(values: Channels, of: Any) -> Channels:
    if not isinstance(values, list):
        return of(values)
    each = [of(value) for value in values]
    return each[0] if len(set(each)) == 1 else each
