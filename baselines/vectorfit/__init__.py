"""VectorFit (Hegde et al. 2025, arXiv:2503.19530), and SVF (Sun et al. 2025, arXiv:2501.06252), as a PEFT tuner.

>>> from baselines.vectorfit import VectorFitConfig
>>> model = peft.get_peft_model(model, VectorFitConfig(target_modules=["q_proj", "v_proj"]))

A process that loads one imports this package too, before PeftModel.from_pretrained: KeyError: 'VECTORFIT' otherwise.
"""

from svft.basis import register

from .config import VectorFitConfig
from .freezing import VectorFreezing
from .layer import TrainedVector, VectorFitLinear
from .model import VectorFitModel

__all__ = ["TrainedVector", "VectorFitConfig", "VectorFitLinear", "VectorFitModel", "VectorFreezing"]

register("vectorfit", VectorFitConfig, VectorFitModel)
