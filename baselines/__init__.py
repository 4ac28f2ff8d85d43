"""What PEFT does not have: SVFT's neighbours as tuners, AdaLoRA's schedule, and methods that attach nothing."""

from baselines.adalora import AdaLoraBudget
from baselines.spectral import SpectralAdapterConfig
from baselines.unadapted import FullFineTuning, HeadOnly, PreTrained
from baselines.vectorfit import VectorFitConfig, VectorFreezing
from svft import __version__

__all__ = [
    "AdaLoraBudget",
    "FullFineTuning",
    "HeadOnly",
    "PreTrained",
    "SpectralAdapterConfig",
    "VectorFitConfig",
    "VectorFreezing",
    "__version__",
]
