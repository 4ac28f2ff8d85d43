"""PEFT's own tests of custom models, with our tuner in place of PEFT's. `test_peft_matrix.py` runs it in a process.

The parametrize marks hold references to PEFT's lists: these are changed in place, before the classes are collected.
"""

import sys
import types

from svft import SvftConfig

diffusers = types.ModuleType("diffusers")  # the tests only name this class
diffusers.StableDiffusionPipeline = type("StableDiffusionPipeline", (), {})
sys.modules["diffusers"] = diffusers

from tests import test_custom_models as peft_tests  # noqa: E402
from tests import testing_utils  # noqa: E402


class EveryModelIsKnown(dict):
    """PEFT goes online at the first access of a model id; here there is none."""

    def __contains__(self, model_id: object) -> bool:
        return True

    def __missing__(self, model_id: str) -> int:
        return 0


testing_utils._HUB_MODEL_ACCESSES = EveryModelIsKnown()

random = {"pattern": "random", "d": 2}
peft_tests.TEST_CASES[:] = [
    ("plain", "MLP", SvftConfig, {"target_modules": "lin0"}),
    ("banded two layers", "MLP", SvftConfig, {"pattern": "banded", "d": 2, "target_modules": ["lin0", "lin1"]}),
    ("random and head", "MLP", SvftConfig, {**random, "target_modules": ["lin0"], "modules_to_save": ["lin1"]}),
    ("topk", "MLP", SvftConfig, {"pattern": "topk", "d": 1, "target_modules": ["lin0"]}),
    ("authors random", "MLP2", SvftConfig, {**random, "preset": "authors_code", "target_modules": ["lin0"]}),
    (
        "authors topk",
        "MLP_LayerNorm",
        SvftConfig,
        {"pattern": "topk", "d": 1, "preset": "authors_code", "target_modules": ["lin0"]},
    ),
    (
        "rank, gate, basis",
        "MLP",
        SvftConfig,
        {**random, "rank": 5, "gate": True, "save_basis": True, "target_modules": ["lin0"]},
    ),
    ("Conv1D", "EmbConv1D", SvftConfig, {**random, "target_modules": ["conv1d"]}),
]
peft_tests.ALL_PEFT_CONFIG_CLASSES[:] = [SvftConfig]
draw = {**random, "init_weights": False}
peft_tests.MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES[:] = [
    (
        "same layer",
        "svft",
        SvftConfig,
        {**draw, "target_modules": ["lin0"]},
        {**draw, "seed": 1, "target_modules": ["lin0"]},
    ),
    ("two layers", "svft", SvftConfig, {**draw, "target_modules": ["lin0"]}, {**draw, "target_modules": ["lin1"]}),
]

from tests.test_custom_models import (  # noqa: E402
    TestMultipleActiveAdapters,
    TestPeftCustomModel,
    TestPeftFsdpStateDict,
    TestRequiresGrad,
)

__all__ = ["TestMultipleActiveAdapters", "TestPeftCustomModel", "TestPeftFsdpStateDict", "TestRequiresGrad"]
