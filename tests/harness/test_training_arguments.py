"""What settings become of HF's Trainer."""

import pytest

from harness.train.train_settings import training_arguments


@pytest.mark.parametrize(("said", "limit"), [("null", 0), ("0", 0), ("0.5", 0.5)])
def test_no_limit_on_the_norm_of_gradients_is_none(composed, tmp_path, said, limit):
    arguments = training_arguments(composed(f"train.max_grad_norm={said}", "method=lora"), tmp_path)
    assert arguments.max_grad_norm == limit
