"""Resolving, the run key, role letters."""

import copy
import json
from pathlib import Path

import pytest
from omegaconf.errors import ConfigAttributeError, InterpolationResolutionError, MissingMandatoryValue

from errors import RoleError
from harness.models.bases import build
from harness.plan import config
from harness.store import identity

ROOT = Path(__file__).resolve().parents[2]
METHODS = (
    "full lora dora pissa adalora vera boft oft svf vectorfit svft_plain svft_banded svft_random svft_topk".split()
)
OFT, NO_BIAS = ["method.adapter.oft_block_size=16"], ["method.adapter.train_bias=false"]
COMMITTED = {  # (task, model): the overrides that its runs had besides the method
    ("digits", "micro_vit"): {"oft": OFT},
    ("micro_gsm", "micro_gemma"): {
        "dora": ["method.adapter.r=4", "method.targets=QKVUD"], "vera": ["method.targets=GU"],
        "boft": ["method.targets=QV"], "oft": OFT, "vectorfit": NO_BIAS,
    },
}  # fmt: skip
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


def test_a_new_option_at_its_neutral_value_keeps_the_key(composed, monkeypatch):
    monkeypatch.setattr(identity, "NEUTRAL", {"train.option": None, "method.adapter.option": False, "nowhere.x": 1})
    assert key(composed("+train.option=null", "+method.adapter.option=false")) == key(composed())
    assert (
        len({key(composed(f"+method.adapter.option={value}")) for value in ("true", "0", "null")} | {key(composed())})
        == 4
    )


@pytest.mark.parametrize(("experiment", "differing"), COMMITTED.items())
def test_committed_runs_are_found_by_what_their_command_composes_today(composed, experiment, differing):
    task, model = experiment
    recorded = {json.loads(path.read_text())["run"]["identity"] for path in ROOT.glob(f"runs/{task}/**/record.json")}
    for method in METHODS:
        asked = [f"task={task}", f"model={model}", f"method={method}", *differing.get(method, [])]
        assert config.identity(composed(*asked)) in recorded, asked


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
    with pytest.raises(RoleError, match=r"names 12 layers .* not 13; its linear layers are .*classifier"):
        build(cfg.model, num_labels=10)
