"""Updates of a weight that train a few tensors, one class of adapters for all: a kind says which (`kinds.KINDS`).

>>> from baselines.updates import UpdateConfig
>>> model = peft.get_peft_model(model, UpdateConfig(kind="ssb", target_modules=["q_proj", "v_proj"]))

A process that loads one imports this package too, before PeftModel.from_pretrained: KeyError:
'WEIGHT_UPDATE' otherwise.
"""

from svft.basis import register

from .config import UpdateConfig
from .directions import DashDirections, choose_directions
from .layer import UpdateLinear
from .model import UpdateModel

__all__ = ["DashDirections", "UpdateConfig", "UpdateLinear", "UpdateModel", "choose_directions"]

register("weight_update", UpdateConfig, UpdateModel)
