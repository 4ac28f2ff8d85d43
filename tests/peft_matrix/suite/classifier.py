"""PEFT's tests of sequence classifiers, with our tuner and tiny models."""

import cases
import stand_ins  # noqa: F401
import tiny_models

from tests import test_seq_classifier as peft_tests

tuner = cases.of_tuner()
peft_tests.PEFT_SEQ_CLS_MODELS_TO_TEST[:] = tiny_models.MODELS["classifier"]
peft_tests.ALL_CONFIGS[:] = tuner.for_task("SEQ_CLS")

from tests.test_seq_classifier import TestSequenceClassificationModels  # noqa: E402

__all__ = ["TestSequenceClassificationModels"]
