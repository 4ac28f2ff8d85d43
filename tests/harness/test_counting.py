"""The estimate of memory, against counts by hand."""

import pytest
from torch import nn

from harness.adapters.adapt import adapt
from harness.plan import counting
from svft import SvftConfig


def test_weights_gradients_and_moments_of_lora_on_gemma2b(composed):
    """bf16 base of 2,506,172,416 parameters, 26,247,168 trained in fp32 (both are the paper's counts)."""
    cfg = composed("model=gemma2b", "task=gsm8k", "method=lora", "method.adapter.r=32", "method.targets=QKVUD")
    trained, memory = counting.trained_and_memory(cfg)
    assert trained == 26_247_168
    assert memory.weights == pytest.approx(2 * 2_506_172_416 + 4 * trained, abs=1000)  # and rotary frequencies
    assert memory.training == 12 * trained
    # s b h L (34 + 5 a s / h) for 4 x 512 tokens, and logits over 256,000 words twice in fp32
    tokens = 4 * 512
    assert memory.activations == tokens * 2048 * 18 * (34 + 5 * 8 * 512 / 2048) + 8 * tokens * 256_000


def test_full_fine_tuning_needs_sixteen_bytes_a_parameter(composed):
    _, memory = counting.trained_and_memory(composed("model=micro_gemma", "task=micro_gsm", "method=full"))
    assert memory.weights + memory.training == pytest.approx(16 * 773_760, rel=0.01)  # and a few buffers


def test_svft_keeps_one_factor_of_a_rectangular_weight_and_both_of_a_square_one(composed):
    """The other factor follows from the weight itself; without the weights there are all factors and no more."""
    square, narrow, mlp = 2 * 2048**2, 2 * 256**2, 3 * 2048**2
    adapted = 18 * (2 * 2048**2 + 2 * 256 * 2048 + 3 * 16384 * 2048)
    for overrides, factors in (
        ((), 18 * (2 * square + narrow + mlp)),
        (["method.adapter.keep_weight=false"], 18 * (2 * square + narrow + 2 * 256 * 2048 + mlp * 9) - adapted),
    ):
        _, memory = counting.trained_and_memory(
            composed("model=gemma2b", "task=gsm8k", "method=svft_plain", *overrides)
        )
        assert memory.weights == pytest.approx(2 * 2_506_172_416 + 2 * factors, rel=2e-3)  # and s, m, probes


def test_a_micro_model_is_counted_from_its_checkpoints_configuration(composed):
    trained, memory = counting.trained_and_memory(composed("method=svft_plain"))
    assert trained == 2816
    assert memory.total > 4 * 773_760


@pytest.mark.parametrize("keep_weight", [True, False])
def test_a_weight_that_is_freed_still_counts_as_frozen(keep_weight):
    model = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 4))
    adapted = adapt(model, SvftConfig(target_modules=["0"], keep_weight=keep_weight), None)
    assert adapted.parameters == {"adapter": 3, "head": 0, "frozen": 5 * 3 + 3 + 3 * 4 + 4}
