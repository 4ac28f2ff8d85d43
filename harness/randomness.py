"""The global generators of random numbers, from which dropout draws."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """What is drawn inside, on the CPU, on `device` or in Python and NumPy, leaves the draws after it as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
