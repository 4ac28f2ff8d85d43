"""Shapes and stripes: grey images of 16 x 16 pixels, drawn here.

Distances are in units of half the image's side; the picture reaches from -1 to 1.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SIDE = 16  # pixels
FINENESS = 4  # points a pixel and axis that are averaged, so that edges are smooth

# Within these, uniformly.
SHIFT = 0.15
SLANT = 12  # degrees to either side
SIZES = (0.6, 0.9)  # radius; or period of stripes
WIDTHS = (0.35, 0.55)  # of lines, as a share of the size
CONTRASTS = (0.5, 0.9)

Points = np.ndarray  # a value at every point, of shape (SIDE * FINENESS, SIDE * FINENESS)


@dataclass(frozen=True)
class Pose:
    """What varies within a class besides place, slant and contrast."""

    size: float
    width: float
    phase: float  # of stripes, in periods


def _stripes(across: Points, pose: Pose) -> Points:
    return np.sin(2 * math.pi * (across / pose.size + pose.phase)) > 0


def _vertical(x: Points, y: Points, pose: Pose) -> Points:
    return _stripes(x, pose)


def _horizontal(x: Points, y: Points, pose: Pose) -> Points:
    return _stripes(y, pose)


def _diagonal(x: Points, y: Points, pose: Pose) -> Points:
    """From the upper left to the lower right."""
    return _stripes((x + y) / math.sqrt(2), pose)


def _disc(x: Points, y: Points, pose: Pose) -> Points:
    return np.hypot(x, y) < pose.size


def _ring(x: Points, y: Points, pose: Pose) -> Points:
    return np.abs(np.hypot(x, y) - pose.size * (1 - pose.width / 2)) < pose.size * pose.width / 2


def _square(x: Points, y: Points, pose: Pose) -> Points:
    """An outline, as the ring is."""
    reach = np.maximum(np.abs(x), np.abs(y)) / 0.9
    return np.abs(reach - pose.size * (1 - pose.width / 2)) < pose.size * pose.width / 2


def _cross(x: Points, y: Points, pose: Pose) -> Points:
    near, far = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
    return (near < pose.size * pose.width / 2) & (far < pose.size)


def _triangle(x: Points, y: Points, pose: Pose) -> Points:
    """Equilateral, the tip up, filled as the disc is; the circle around it has 1.2 times the disc's radius."""
    edges = [x * math.cos(a) + y * math.sin(a) for a in (math.pi / 6, math.pi * 5 / 6, math.pi * 3 / 2)]
    return np.max(edges, axis=0) < pose.size * 0.6


CLASSES: Mapping[str, Callable[[Points, Points, Pose], Points]] = {
    "vertical stripes": _vertical,
    "horizontal stripes": _horizontal,
    "diagonal stripes": _diagonal,
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "cross": _cross,
    "triangle": _triangle,
}


def draw(shape: Callable[[Points, Points, Pose], Points], noise: float, rng: random.Random) -> np.ndarray:
    """A view of the shape, uint8 of shape (SIDE, SIDE)."""
    axis = (np.arange(SIDE * FINENESS) + 0.5) * 2 / (SIDE * FINENESS) - 1
    x, y = np.meshgrid(axis, -axis)  # y points up
    dx, dy = rng.uniform(-SHIFT, SHIFT), rng.uniform(-SHIFT, SHIFT)
    turn = math.radians(rng.uniform(-SLANT, SLANT))
    x, y = x - dx, y - dy
    x, y = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    pose = Pose(size=rng.uniform(*SIZES), width=rng.uniform(*WIDTHS), phase=rng.random())
    inside = shape(x, y, pose).reshape(SIDE, FINENESS, SIDE, FINENESS).mean((1, 3))  # (SIDE, SIDE), share of a pixel
    picture = rng.uniform(0, 1 - CONTRASTS[1]) + rng.uniform(*CONTRASTS) * inside
    grain = np.array([[rng.gauss(0, noise) for _ in range(SIDE)] for _ in range(SIDE)])
    return np.rint(255 * np.clip(picture + grain, 0, 1)).astype(np.uint8)
