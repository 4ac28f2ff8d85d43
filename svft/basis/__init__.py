"""What all tuners in the singular basis of a base weight share: configuration, layer and model, to be subclassed."""

from .config import BasisConfig
from .layer import BasisLayer
from .model import BasisModel, register

__all__ = ["BasisConfig", "BasisLayer", "BasisModel", "register"]
