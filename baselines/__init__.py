"""What SVFT is compared with and PEFT does not have. Needs torch and peft only, as svft does.

VectorFitConfig         h = U diag(sigma) V^T x + b, sigma and b trained (Hegde et al. 2025, arXiv:2503.19530); by its
                        options SVF (arXiv:2501.06252) and DiTASK for one task (arXiv:2502.06029)
VectorFreezing          VectorFit's adaptive freezing, as a callback of transformers' Trainer
SpectralAdapterConfig   r columns of U and V trained (Zhang & Pilanci 2024, arXiv:2405.13952); by its modes MiLoRA
                        (arXiv:2406.09044), SSVD (arXiv:2509.02830) and PiCa without sharing (arXiv:2505.20211)
AdaLoraBudget           the rank schedule of AdaLoRA (Zhang et al. 2023, arXiv:2303.10512), whose tuner is PEFT's
FullFineTuning, HeadOnly, PreTrained
                        no adapter: which of the model's own weights are trained
"""

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
