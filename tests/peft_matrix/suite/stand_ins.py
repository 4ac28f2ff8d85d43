"""What PEFT's tests expect of their surroundings: diffusers, of which they name a class, and the hub.

To be imported before any module of PEFT's tests.
"""

import sys
import types

diffusers = types.ModuleType("diffusers")
diffusers.StableDiffusionPipeline = type("StableDiffusionPipeline", (), {})
sys.modules["diffusers"] = diffusers

from tests import testing_utils  # noqa: E402


class EveryModelIsKnown(dict):
    """PEFT goes online at the first access of a model id; here there is none."""

    def __contains__(self, model_id: object) -> bool:
        return True

    def __missing__(self, model_id: str) -> int:
        return 0


testing_utils._HUB_MODEL_ACCESSES = EveryModelIsKnown()
