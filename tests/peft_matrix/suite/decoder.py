"""PEFT's tests of causal language models, with our tuner and tiny models."""

from dataclasses import replace
from unittest import mock

import cases
import stand_ins  # noqa: F401
import tiny_models
from peft import PeftModel

from tests import test_decoder_models as peft_tests

tuner = cases.of_tuner()
peft_tests.PEFT_DECODER_MODELS_TO_TEST[:] = tiny_models.MODELS["decoder"]
peft_tests.ALL_CONFIGS[:] = tuner.for_task("CAUSAL_LM")


class TestDecoderModels(peft_tests.TestDecoderModels):
    def _test_merge_layers_multi(self, *args, **kwargs):
        """PEFT takes two adapters of one configuration for different, as torch's generator moves on between them."""
        add_adapter = PeftModel.add_adapter

        def add_another(model, adapter_name, config):
            return add_adapter(model, adapter_name, replace(config, **tuner.reseed))

        with mock.patch.object(PeftModel, "add_adapter", add_another):
            super()._test_merge_layers_multi(*args, **kwargs)
