"""Tuners from outside PEFT's package, made known to it."""

from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType


def register(name: str, config_cls: type[PeftConfig], model_cls: type[BaseTuner]) -> None:
    """PEFT's own `register_peft_method`, after its enum of methods has got the member `name.upper()`.

    Raises ImportError where PEFT has another method of this name.
    """
    member = name.upper()
    if member not in PeftType.__members__:
        _add_peft_type(member)
    if PeftType[member] not in PEFT_TYPE_TO_TUNER_MAPPING:
        register_peft_method(name=name, config_cls=config_cls, model_cls=model_cls, prefix=model_cls.prefix)
    elif (there := PEFT_TYPE_TO_TUNER_MAPPING[PeftType[member]].__module__) != model_cls.__module__:
        raise ImportError(f"PEFT already has a method named {member}, in {there}")


def _add_peft_type(name: str) -> None:
    """An Enum with members cannot be subclassed, and PEFT has no hook for types from outside: by hand, then."""
    member = str.__new__(PeftType, name)
    member._name_ = member._value_ = name
    type.__setattr__(PeftType, name, member)
    PeftType._member_names_.append(name)
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
