"""What refuses a setting is told in a sentence; a bug, be it a ValueError, keeps its traceback."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from peft import AdaLoraConfig, BOFTConfig, LoraConfig
from torch import nn

from baselines import SpectralAdapterConfig
from errors import DataError, SettingError
from harness.adapters.adapt import adapt
from harness.plan import config
from harness.settings import refusals
from svft import SvftConfig


class Wrong:
    """A method and a task in one, which is wrong in the way that it is told."""

    def __init__(self, how: str, number: int = 1):
        self.how = how
        if how.startswith("built"):
            self.go_wrong(how)

    def attach(self, model, head):
        self.go_wrong(self.how)

    def go_wrong(self, how: str):
        ways = {"numpy": self.numpy, "python": self.python, "key": self.key, "said": self.said, "data": self.data}
        ways[how.rpartition(" ")[2]]()

    def numpy(self):
        np.zeros(2).reshape(3)

    def python(self):
        one, two = (1,)
        return one, two

    def key(self):
        return {}["absent"]

    def said(self):
        raise ValueError("how is a word\nthat is refused")

    def data(self):
        raise DataError("there are none")


def model() -> nn.Module:
    return nn.ModuleDict({"layer": nn.Linear(6, 4), "norm": nn.LayerNorm(4)})


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        (LoraConfig(target_modules=["nope"]), "^Target modules {'nope'} not found in the base model"),
        (LoraConfig(target_modules=["norm"]), "^Target module LayerNorm.* is not supported"),
        (LoraConfig(target_modules=["layer"], r=-1), "^`r` should be a positive integer value but the value passed is"),
        (AdaLoraConfig(target_modules=["nope"], total_step=10), "^Target modules {'nope'} not found"),
        (BOFTConfig(target_modules=["layer"], boft_block_size=4), "^in_features .* divisible"),
        (SvftConfig(target_modules=["nope"]), "nope"),
        (SvftConfig(target_modules=["norm"]), "norm"),
        (SpectralAdapterConfig(mode="rotation", r=5, target_modules=["layer"]), "columns that are not there"),
        (Wrong("said"), "^how is a word that is refused$"),
    ],
)
def test_a_method_that_refuses_a_model_says_so_in_a_sentence(adapter, sentence):
    with pytest.raises(SettingError, match=sentence) as refused:
        adapt(model(), adapter, None)
    assert "\n" not in str(refused.value)


BUGS = {
    "numpy": (ValueError, "cannot reshape"),
    "python": (ValueError, "not enough values"),
    "key": (KeyError, "absent"),
}


@pytest.mark.parametrize("how", BUGS)
def test_a_value_error_that_nobody_raised_on_purpose_is_a_bug_of_the_method(how):
    kind, said = BUGS[how]
    with pytest.raises(kind, match=said) as bug:
        adapt(model(), Wrong(how), None)
    assert bug.traceback[-1].name == how  # where it happened


def test_a_value_error_within_peft_that_is_no_refusal_keeps_its_traceback(monkeypatch):
    from peft.tuners.lora import layer

    monkeypatch.setattr(layer.Linear, "update_layer", lambda *_, **__: np.zeros(2).reshape(3))
    with pytest.raises(ValueError, match="^cannot reshape array"):
        adapt(model(), LoraConfig(target_modules=["layer"]), None)


def made(**settings):
    return config.instantiate(OmegaConf.create({"_target_": f"{__name__}.Wrong", **settings}))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"how": "built said"}, "Wrong: how is a word$"),
        ({"how": "x", "numbr": 2}, "Wrong: there is no 'numbr'; it has how, number; did you mean 'number'?"),
        ({}, "Wrong: .*missing 1 required positional argument: 'how'"),
    ],
)
def test_a_constructor_that_refuses_a_setting_says_so_with_its_name(settings, sentence):
    with pytest.raises(SettingError, match=sentence):
        made(**settings)


class Switched:
    def __init__(self, stated: bool = False, maybe: bool | None = None, bare=False, word: bool | str = True):
        self.given = [stated, maybe, bare, word]


def switched(**settings) -> list:
    return config.instantiate(OmegaConf.create({"_target_": f"{__name__}.Switched", **settings})).given


@pytest.mark.parametrize("name", ["stated", "maybe", "bare"])
def test_off_for_a_switch_of_a_class_of_ones_own_is_refused(name):
    with pytest.raises(SettingError, match=f"Switched: {name}=off is not true or false$"):
        switched(**{name: "off"})


def test_what_may_be_a_text_may_be_one_and_a_switch_may_be_a_switch():
    assert switched(stated=True, bare="auto", word="off") == [True, None, "auto", "off"]


@pytest.mark.parametrize("how", BUGS)
def test_a_bug_of_a_constructor_keeps_its_traceback(how):
    kind, said = BUGS[how]
    with pytest.raises(kind, match=said) as bug:
        made(how=f"built {how}")
    assert bug.traceback[-1].name == how


def test_what_is_wrong_with_data_is_told_as_the_constructor_does():
    with pytest.raises(DataError, match="^there are none$"):
        made(how="built data")


def test_a_module_with_a_bug_is_not_called_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "with_a_bug.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as bug:
        config.instantiate(OmegaConf.create({"_target_": "with_a_bug.Method"}))
    assert isinstance(bug.value.__cause__, ZeroDivisionError)


def test_a_class_brings_the_packages_that_it_extends():
    assert {"svft", "peft"} <= refusals.packages_of(SvftConfig)
    assert {"baselines", "peft"} <= refusals.packages_of(SpectralAdapterConfig)


def test_a_check_of_torch_refuses_for_the_code_that_states_it_and_an_operation_of_torch_does_not():
    """As T5 says that a text lacks its token of the end."""

    def stated():
        torch._check_value(False, lambda: "there is no end")

    def failed():
        torch.zeros(2).view(3)

    with pytest.raises(ValueError, match="^there is no end$") as caught:
        stated()
    assert refusals.began_in(caught.value) == "tests"
    assert refusals.was_raised(caught.value)
    with pytest.raises(RuntimeError) as caught:
        failed()
    assert not refusals.was_raised(caught.value)
