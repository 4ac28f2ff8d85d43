"""help() of what a user fills in names every argument, with its type and default."""

import inspect
import re
from dataclasses import fields

import pytest

import baselines
from baselines import AdaLoraBudget, SpectralAdapterConfig, VectorFitConfig, VectorFreezing
from svft import PRESETS, GradientSupport, SvftConfig

each_config = pytest.mark.parametrize("config", [SvftConfig, SpectralAdapterConfig, VectorFitConfig])


def arguments(config) -> dict[str, str]:
    """Name -> what Args says of it."""
    _, args = inspect.getdoc(config).split("\nArgs:\n")
    entries = re.findall(r"^    (\w+) \((.*)\):\n((?:        .*\n?)+)", args, flags=re.MULTILINE)
    return {name: f"{kind} {text}" for name, kind, text in entries}


@each_config
def test_every_field_is_in_the_docstring_with_its_default(config):
    found = arguments(config)
    assert list(found) == list(dict.fromkeys(found))
    assert set(found) == {each.name for each in fields(config)}
    for each in fields(config):
        assert f"defaults to `{each.default!r}`" in found[each.name]
        assert len(found[each.name].split()) > 5


@each_config
def test_a_configuration_s_own_fields_come_first_and_peft_s_last(config):
    names = list(arguments(config))
    own = [name for name in names if name in config.__annotations__ and name != "init_weights"]
    assert names[: len(own)] == own
    assert names[-1] == "inference_mode"


def test_what_a_preset_fills_in_is_told_from_the_presets():
    for name, values in ((name, [preset[name] for preset in PRESETS.values()]) for name in PRESETS["clean"]):
        text = " ".join(arguments(SvftConfig)[name].split())
        assert f"None: {values[0]!r} with preset='clean', {values[1]!r} with preset='authors_code'" in text


@pytest.mark.parametrize("callback", [AdaLoraBudget, GradientSupport, VectorFreezing])
def test_the_arguments_of_callbacks_are_in_their_docstrings(callback):
    names = set(inspect.signature(callback.__init__).parameters) - {"self"}
    described = inspect.getdoc(callback)
    assert not [name for name in names if not re.search(rf"\b{name}\b[^.]*:", described)]


def test_the_package_has_no_other_configuration():
    of_peft = {name for name in baselines.__all__ if hasattr(getattr(baselines, name), "__dataclass_fields__")}
    assert {name for name in of_peft if "peft_type" in getattr(baselines, name).__dataclass_fields__} == {
        "SpectralAdapterConfig",
        "VectorFitConfig",
    }
