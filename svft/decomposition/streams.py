"""Streams of random numbers, each by a name: the same in every process and in every order of layers."""

from __future__ import annotations

import hashlib

import numpy as np


def stream_of(seed: int, layer_name: str) -> int:
    """The number from which a layer's random choices follow: the same in any process and in any order of layers."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{layer_name}".encode()).digest()[:7], "little")


def generator(stream: int, purpose: str) -> np.random.RandomState:
    """RandomState, since NumPy promises that its streams never change."""
    return np.random.RandomState(np.frombuffer(hashlib.sha256(f"{stream}|{purpose}".encode()).digest(), dtype="<u4"))
