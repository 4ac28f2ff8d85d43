"""Which methods may be sharded, and that the others are refused."""

import pytest
from omegaconf import OmegaConf
from peft import LoraConfig, VeraConfig

from baselines import FullFineTuning
from baselines.spectral import SpectralAdapterConfig
from errors import SettingError
from harness.ranks import distributed, sharding
from svft import SvftConfig

ASKED = OmegaConf.create({"train": {"sharding": "fsdp2"}, "method": {"name": "m"}})


@pytest.fixture(autouse=True)
def _two_ranks(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)


@pytest.mark.parametrize("adapter", [FullFineTuning(), SvftConfig(pattern="plain"), LoraConfig(r=2)])
def test_full_fine_tuning_svft_and_lora_may_be_sharded(adapter):
    sharding.check(ASKED, adapter)


@pytest.mark.parametrize("adapter", [
    VeraConfig(), LoraConfig(use_dora=True), LoraConfig(init_lora_weights="pissa"), SpectralAdapterConfig(r=2),
    SvftConfig(pattern="gradient", d=1),  # whose support would stay with the sharded model
])  # fmt: skip
def test_other_methods_are_refused_by_name(adapter):
    with pytest.raises(SettingError, match="for full fine-tuning, SVFT and LoRA, and not tried with m"):
        sharding.check(ASKED, adapter)


def test_layers_that_share_what_they_train_are_not_sharded():
    with pytest.raises(SettingError, match="not tried with m where layers share what they train"):
        sharding.check(ASKED, SvftConfig(share="role"))


def test_without_being_asked_for_nothing_is_refused():
    sharding.check(OmegaConf.create({"train": {}, "method": {"name": "m"}}), VeraConfig())
