"""Spectral Adapter as a PEFT tuner (Zhang & Pilanci 2024, arXiv:2405.13952), and by its modes MiLoRA, SSVD and PiCa
without its sharing: importing this package registers it.

>>> from baselines.spectral import SpectralAdapterConfig
>>> model = peft.get_peft_model(model, SpectralAdapterConfig(r=8, target_modules=["query_proj"]))

A process that loads one imports this package too, before PeftModel.from_pretrained: KeyError: 'SPECTRAL_ADAPTER'
otherwise.
"""

from svft.basis import register

from .config import SpectralAdapterConfig
from .export import save_as_lora
from .layer import SpectralAdapterLinear
from .model import SpectralAdapterModel

__all__ = ["SpectralAdapterConfig", "SpectralAdapterLinear", "SpectralAdapterModel", "save_as_lora"]

register("spectral_adapter", SpectralAdapterConfig, SpectralAdapterModel)
