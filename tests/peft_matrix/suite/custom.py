"""PEFT's tests of custom models, with our tuner in place of PEFT's.

The parametrize marks hold references to PEFT's lists: these are changed in place, before the classes are collected.
"""

import cases
import stand_ins  # noqa: F401
import torch

from tests import test_custom_models as peft_tests

tuner = cases.of_tuner()
peft_tests.TEST_CASES[:] = [(title, model, tuner.config, options) for title, model, options in tuner.custom]
peft_tests.ALL_PEFT_CONFIG_CLASSES[:] = [tuner.sized]
peft_tests.MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES[:] = [
    (title, tuner.config.__name__, tuner.config, first, second) for title, first, second in tuner.pairs
]


class DeepMLP(peft_tests.DeepMLP):
    """With the same weights each time: PEFT loads an adapter into a model of other weights, which our tuners refuse."""

    def __init__(self, **options):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(**options)


peft_tests.DeepMLP = DeepMLP

from tests.test_custom_models import (  # noqa: E402
    TestMultipleActiveAdapters,
    TestPeftCustomModel,
    TestPeftFsdpStateDict,
    TestRequiresGrad,
)

__all__ = ["TestMultipleActiveAdapters", "TestPeftCustomModel", "TestPeftFsdpStateDict", "TestRequiresGrad"]
