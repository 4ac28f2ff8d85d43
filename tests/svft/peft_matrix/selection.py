"""Plugin of the suite: keeps the tests that take our configuration, less what the tuner decides otherwise."""

from svft import SvftConfig

# Part of the test's id -> why it is left out.
LEFT_OUT = {
    "test_adapter_dtype_autocast[False-False-dtype0": "coefficients are fp32 on an fp16 base, even if not autocast",
    "test_adapter_dtype_autocast[False-False-dtype1": "the same on a bf16 base",
    "test_adapter_dtype_autocast[True-False-dtype0": "the same, loaded with low_cpu_mem_usage",
    "test_adapter_dtype_autocast[True-False-dtype1": "the same on a bf16 base, loaded with low_cpu_mem_usage",
    "test_disable_adapters[authors": "asks for an identity at the start, which authors_code is not",
    "test_disable_adapters_with_merging[authors": "the same, merged",
    "test_loading_model_requires_grad_set_correctly": "loads onto other base weights, which are refused",
    "test_loading_model_with_modules_to_save_requires_grad_set_correctly": "the same, with modules_to_save",
}


def _is_ours(item) -> bool:
    """A test that takes no configuration, or another tuner's, says nothing about this one."""
    return getattr(item, "callspec", None) is not None and item.callspec.params.get("config_cls") is SvftConfig


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if _is_ours(item) and not any(part in item.nodeid for part in LEFT_OUT)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
