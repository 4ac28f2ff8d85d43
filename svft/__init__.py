"""SVFT as a PEFT tuner (Lingam et al. 2024, arXiv:2405.19597): importing this package registers it in PEFT.

>>> from svft import SvftConfig
>>> model = peft.get_peft_model(model, SvftConfig(pattern="random", d=16, target_modules=["q_proj", "v_proj"]))
"""

from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType

from .config import PRESETS, SvftConfig
from .layer import Linear, SvftLayer
from .model import SvftModel

__all__ = ["PRESETS", "Linear", "SvftConfig", "SvftLayer", "SvftModel"]


def _add_peft_type(name: str) -> None:
    """An Enum with members cannot be subclassed, and PEFT has no hook for types from outside: by hand, then."""
    member = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    type.__setattr__(PeftType, name, member)
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member


if "SVFT" not in PeftType.__members__:
    _add_peft_type("SVFT")
if PeftType.SVFT not in PEFT_TYPE_TO_TUNER_MAPPING:
    register_peft_method(name="svft", config_cls=SvftConfig, model_cls=SvftModel)
elif (there := PEFT_TYPE_TO_TUNER_MAPPING[PeftType.SVFT].__module__) != SvftModel.__module__:
    raise ImportError(f"PEFT already has a method named SVFT, in {there}")
