"""PEFT's tests of feature extractors, with our tuner and tiny models."""

import cases
import stand_ins  # noqa: F401
import tiny_models

from tests import test_feature_extraction_models as peft_tests

tuner = cases.of_tuner()
peft_tests.PEFT_FEATURE_EXTRACTION_MODELS_TO_TEST[:] = tiny_models.MODELS["features"]
peft_tests.ALL_CONFIGS[:] = tuner.for_task("FEATURE_EXTRACTION")

from tests.test_feature_extraction_models import TestPeftFeatureExtractionModel  # noqa: E402

__all__ = ["TestPeftFeatureExtractionModel"]
