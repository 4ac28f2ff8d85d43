"""Resolving, the run key, role letters."""

import copy

import pytest
from omegaconf.errors import ConfigAttributeError, InterpolationResolutionError, MissingMandatoryValue

from harness import config, roles
from harness.models import build

FINGERPRINTS = {"data": "d", "model": "m"}


def key(cfg, fingerprints=FINGERPRINTS):
    return config.identity(cfg, fingerprints)


def test_seeds_of_one_run_share_its_key(composed):
    assert key(composed("seed=0")) == key(composed("seed=7"))


@pytest.mark.parametrize(
    "override", ["wandb.mode=disabled", "runs_dir=elsewhere", "evaluate.batch_size=1", "device=cpu", "method.label=x"]
)
def test_where_and_how_a_run_is_shown_do_not_change_its_key(composed, override):
    assert key(composed()) == key(composed(override))


@pytest.mark.parametrize(
    "override", ["train.lr=0.123", "method.adapter.d=3", "task.data_seed=1", "method.targets=QV", "train.batch_size=8"]
)
def test_what_changes_the_numbers_changes_the_key(composed, override):
    assert key(composed()) != key(composed(override))


@pytest.mark.parametrize("changed", ["data", "model"])
def test_other_data_or_other_weights_change_the_key(composed, changed):
    assert key(composed()) != key(composed(), {**FINGERPRINTS, changed: "other"})


def test_the_key_leaves_the_configuration_as_it_was(composed):
    cfg = composed("seed=3")
    before = copy.deepcopy(cfg)
    key(cfg)
    assert cfg == before


def test_the_command_line_wins_over_the_recipe(composed):
    assert composed("method=lora", "train.lr=0.125").train.lr == 0.125


def test_a_misspelt_key_is_refused(composed):
    with pytest.raises(Exception, match="lrr") as caught:
        composed("train.lrr=1")
    assert isinstance(caught.value.__cause__, ConfigAttributeError) or "lrr" in str(caught.value)


def test_a_role_letter_that_matches_nothing_names_the_letters(composed):
    with pytest.raises(
        InterpolationResolutionError, match="role letter 'X' matches no layer of micro_gemma; its letters"
    ):
        config.resolve(composed("method=lora", "method.targets=QX"))


def test_a_missing_value_is_refused(composed):
    with pytest.raises(MissingMandatoryValue):
        config.resolve(composed("train.lr=???"))


def test_role_letters_become_exact_paths(composed):
    cfg = composed("method=lora", "method.targets=QD")
    assert (
        cfg.method.adapter.target_modules
        == r"model\.layers\.[^.]+\.self_attn\.q_proj|model\.layers\.[^.]+\.mlp\.down_proj"
    )


def test_a_role_that_names_too_few_layers_lists_the_linear_layers(composed):
    cfg = composed("model=vit_b16", "task=digits", "model.blocks=13")
    with pytest.raises(roles.RoleError, match=r"names 12 layers .* not 13; its linear layers are .*classifier"):
        build(cfg.model, num_labels=10)
