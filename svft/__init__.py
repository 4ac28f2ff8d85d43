"""SVFT as a PEFT tuner (Lingam et al. 2024, arXiv:2405.19597): importing this package registers it in PEFT.

>>> from svft import SvftConfig
>>> model = peft.get_peft_model(model, SvftConfig(pattern="random", d=16, target_modules=["q_proj", "v_proj"]))
>>> model.save_pretrained("adapter")

In a process that loads one, `import svft` stands before PeftModel.from_pretrained(base, "adapter"), which fails with
KeyError: 'SVFT' otherwise: PEFT 0.21 knows no entry points for methods of other packages.
"""

from .config import PRESETS, SvftConfig
from .layer import SvftLinear
from .model import SvftModel
from .registration import register

__all__ = ["PRESETS", "SvftConfig", "SvftLinear", "SvftModel"]

register("svft", SvftConfig, SvftModel)
