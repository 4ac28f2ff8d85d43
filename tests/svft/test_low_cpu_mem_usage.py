"""low_cpu_mem_usage: coefficients wait on the meta device for those of the file, and nothing else does."""

import peft
import pytest
import torch

from svft import SvftConfig

CONFIGS = {
    "plain": {"pattern": "plain"},
    "banded": {"pattern": "banded", "d": 2},
    "random": {"pattern": "random", "d": 2, "seed": 3, "gate": True},
    "topk": {"pattern": "topk", "d": 2},
    "authors": {"pattern": "random", "d": 2, "preset": "authors_code", "rank": 5},
    "basis": {"pattern": "random", "d": 2, "save_basis": True},
}
pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
kept_or_dropped = pytest.mark.parametrize("keep_weight", [True, False], ids=["kept", "dropped"])
X = torch.linspace(-1, 1, 42, dtype=torch.float64).view(3, 14)


@each_config
@kept_or_dropped
@pytest.mark.parametrize("shape", [(14, 14), (9, 14)], ids=str)
def test_an_adapter_is_loaded_as_first_and_as_second_of_a_model(adapt, base, tmp_path, config, keep_weight, shape):
    model, _ = adapt(*shape, keep_weight=keep_weight, **config)
    model.save_pretrained(tmp_path)
    expected = model(X)
    loaded = peft.PeftModel.from_pretrained(base(*shape), tmp_path, low_cpu_mem_usage=True)
    torch.testing.assert_close(loaded(X), expected, atol=0, rtol=0)
    loaded.load_adapter(tmp_path, "second", low_cpu_mem_usage=True)
    loaded.set_adapter("second")
    torch.testing.assert_close(loaded(X), expected, atol=0, rtol=0)
    loaded.merge_adapter()
    torch.testing.assert_close(loaded(X), expected)
    loaded.unmerge_adapter()
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])


@each_config
@kept_or_dropped
def test_an_adapter_is_injected_into_a_model(adapt, base, config, keep_weight):
    model, _ = adapt(9, 14, keep_weight=keep_weight, **config)
    bare = SvftConfig(target_modules=["lin"], keep_weight=keep_weight, **config)
    injected = peft.inject_adapter_in_model(bare, base(9, 14), low_cpu_mem_usage=True)
    peft.set_peft_model_state_dict(injected, peft.get_peft_model_state_dict(model), low_cpu_mem_usage=True)
    torch.testing.assert_close(injected(X), model(X), atol=0, rtol=0)
