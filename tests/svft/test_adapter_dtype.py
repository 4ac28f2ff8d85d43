"""autocast_adapter_dtype: coefficients are fp32 beside a 16-bit base, or have its dtype where that is asked for."""

import peft
import pytest
import torch

from baselines import SpectralAdapterConfig, UpdateConfig, VectorFitConfig
from svft import SvftConfig

CONFIGS = {
    "plain": SvftConfig(init="kaiming"),
    "gate": SvftConfig(pattern="random", d=2, init="kaiming", gate=True),
    "weight dropped": SvftConfig(pattern="banded", d=2, init="kaiming", keep_weight=False),
    "spectral": SpectralAdapterConfig(mode="rotation", r=3, scale=True, init_weights=False),
    "update": UpdateConfig(kind="ssb", init_weights=False),
    "vectorfit": VectorFitConfig(init_weights=False),
    "multiplicative": VectorFitConfig(multiplicative=True, train_bias=False, init_weights=False),
}
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
each_dtype = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


def base(dtype: torch.dtype) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    model.add_module("lin", torch.nn.Linear(14, 9, dtype=dtype))
    return model


def adapted(config, dtype: torch.dtype, **options):
    config.target_modules = {"lin"}
    return peft.get_peft_model(base(dtype), config, **options)


def trained(model) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


@each_config
@each_dtype
def test_what_is_trained_has_the_dtype_that_is_asked_for(config, dtype):
    fp32, cast = adapted(config, dtype), adapted(config, dtype, autocast_adapter_dtype=False)
    assert {parameter.dtype for parameter in trained(fp32)} == {torch.float32}
    assert {parameter.dtype for parameter in trained(cast)} == {dtype}
    for wide, narrow in zip(trained(fp32), trained(cast), strict=True):
        assert torch.equal(wide.to(dtype), narrow)
        if len(wide) > 1:
            assert not torch.equal(wide, narrow.float())  # fp32 was never rounded


@each_config
@each_dtype
def test_the_function_is_that_of_the_rounded_coefficients_in_fp32(config, dtype):
    fp32, cast = adapted(config, dtype), adapted(config, dtype, autocast_adapter_dtype=False)
    with torch.no_grad():
        for parameter in trained(fp32):
            parameter.copy_(parameter.to(dtype))
    x = torch.randn(5, 14, dtype=dtype)
    assert torch.equal(cast(x), fp32(x))
    (cast(x).square().sum() + fp32(x).square().sum()).backward()
    for wide, narrow in zip(trained(fp32), trained(cast), strict=True):
        assert torch.equal(wide.grad.to(dtype), narrow.grad)
    for model in (fp32, cast):
        model.merge_adapter()
    assert torch.equal(cast(x), fp32(x))


@each_config
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True], ids=["", "low_cpu"])
def test_a_cast_adapter_is_loaded_in_either_dtype_and_frozen(tmp_path, config, low_cpu_mem_usage):
    model = adapted(config, torch.bfloat16, autocast_adapter_dtype=False)
    model.save_pretrained(tmp_path)
    x = torch.randn(5, 14, dtype=torch.bfloat16)
    for autocast in (True, False):
        loaded = peft.PeftModel.from_pretrained(
            base(torch.bfloat16), tmp_path, autocast_adapter_dtype=autocast, low_cpu_mem_usage=low_cpu_mem_usage
        )
        assert not trained(loaded)
        loaded.base_model.set_requires_grad("default")
        assert {parameter.dtype for parameter in trained(loaded)} == {torch.float32 if autocast else torch.bfloat16}
        assert torch.equal(loaded(x), model(x))


def test_a_dropped_weight_starts_as_with_fp32_coefficients():
    """Sigma is added in fp32: in 16 bits it would be rounded once more."""
    config = SvftConfig(keep_weight=False)
    x = torch.randn(5, 14, dtype=torch.bfloat16)
    expected = adapted(config, torch.bfloat16)(x)
    assert torch.equal(adapted(config, torch.bfloat16, autocast_adapter_dtype=False)(x), expected)
