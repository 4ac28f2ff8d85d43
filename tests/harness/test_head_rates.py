"""recipe=clean trains the head of every method at one rate."""

import pytest
import yaml
from omegaconf import OmegaConf

from harness.plan import config
from tests.conftest import ROOT
from tests.test_method_contract import METHODS, TRAINS_NOTHING

OWN = ("model.checkpoint=x", "model.blocks=1", "model.linear=Q", "model.roles={Q: layers.*.q}")
ENCODER = ("task=classification", "task.source.train=x.csv", "model=encoder", "model.head=classifier", *OWN)
DECODER = ("task=generation", "task.source.train=x.csv", "model=decoder", *OWN)
HEADED = {
    "own": ENCODER,
    "micro_glue": ("task=micro_sst2", "model=micro_deberta"),
    "micro_vision": ("task=digits", "model=micro_vit"),
    "real": ("task=vader_movies", "model=minilm_l6"),
    "glue": ("task=glue_sst2", "model=deberta_v3_base"),
    "vision": ("task=cifar100", "model=vit_b16"),
}


@pytest.fixture
def rates(composed):
    """rates(...) -> {method: (rate of the adapter, of the head)} of all methods, composed once, and head by itself."""

    def resolved(*overrides: str) -> dict[str, tuple[float, float]]:
        cfg, found = composed(*overrides, "method=lora"), {}
        for method in sorted(set(METHODS) - set(TRAINS_NOTHING)):
            cfg.method = OmegaConf.load(ROOT / "conf" / "method" / f"{method}.yaml")
            train = composed(*overrides, "method=head").train if method == "head" else cfg.train
            found[method] = (train.lr, train.head_lr)
        return found

    return resolved


@pytest.mark.parametrize("family", HEADED)
def test_all_methods_train_their_heads_at_one_rate(family, rates):
    found = rates(*HEADED[family])
    assert len({lr for lr, _ in found.values()}) > 2
    assert {head for _, head in found.values()} == {found["lora"][1]}


def test_a_family_that_says_no_rate_has_that_of_the_recipe(composed):
    cfg = composed(*HEADED["micro_vision"], "method=lora")
    cfg.train.head_lr = yaml.safe_load((ROOT / "conf" / "train" / "default.yaml").read_text())["head_lr"]
    assert cfg.train.head_lr == cfg.recipe.head_lr != cfg.train.lr


def test_the_head_alone_is_trained_at_either_rate_that_is_asked_for(composed):
    for asked in ("train.lr=0.3", "train.head_lr=0.3"):
        assert composed(*ENCODER, "method=head", asked).train.head_lr == 0.3


@pytest.mark.parametrize("recipe", ["paper", "authors_code"])
def test_the_head_alone_has_the_printed_rate_of_other_recipes_unless_one_is_asked_for(composed, recipe):
    head = ("model=vit_b16", "task=cifar100", f"recipe={recipe}", "method=head")
    assert composed(*head).train.head_lr == composed(*head).train.lr == 4e-3
    for asked in ("train.lr=0.3", "train.head_lr=0.3"):
        assert composed(*head, asked).train.head_lr == 0.3


def test_a_model_without_a_head_keeps_its_key(composed):
    cfg = composed(*DECODER, "method=lora")
    assert cfg.train.head_lr == cfg.train.lr == 1e-3
    cfg.train.head_lr, cfg.recipe = 1e-3, {"name": "clean"}
    assert config.identity(composed(*DECODER, "method=lora")) == config.identity(cfg)


def test_other_recipes_keep_what_their_papers_say(composed):
    overrides = ("task=glue_sst2", "model=deberta_v3_base", "recipe=spectral_adapter", "method=lora")
    assert composed(*overrides).train.head_lr == composed(*overrides).train.lr
