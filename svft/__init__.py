"""SVFT as a PEFT tuner (Lingam et al. 2024, arXiv:2405.19597): importing this package registers it in PEFT.

>>> from svft import SvftConfig, check_adapters
>>> model = peft.get_peft_model(model, SvftConfig(pattern="random", d=16, target_modules=["q_proj", "v_proj"]))
>>> check_adapters(model, batch)  # each adapter acts, in training and in evaluation
>>> model.save_pretrained("adapter")

A process that loads an adapter has to `import svft` before PeftModel.from_pretrained(base, "adapter"), or that fails
with KeyError: 'SVFT': PEFT 0.21 knows no entry points for methods of other packages.

Rooms, each of which imports from none to its right: `decomposition` and `arithmetic`, `basis` (what all tuners in a
singular basis share), and here what is SVFT's own. `reference` has the formula in one screen.
"""

from .acting import check_adapters
from .basis import register
from .config import PRESETS, SvftConfig
from .layer import SvftLinear
from .model import SvftModel
from .selection import GradientSupport, select_by_gradient

__version__ = "0.1.0"  # the only place: pyproject.toml reads it here

__all__ = [
    "PRESETS",
    "GradientSupport",
    "SvftConfig",
    "SvftLinear",
    "SvftModel",
    "check_adapters",
    "select_by_gradient",
]

register("svft", SvftConfig, SvftModel)
