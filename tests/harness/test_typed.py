"""Text that is typed arrives as it was typed, whatever Hydra's grammar makes of its letters."""

import inspect
import random
import typing
from collections.abc import Mapping

import pytest
from hydra import compose, initialize_config_dir
from hydra.types import HydraContext, RunMode
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from errors import SettingError
from harness.plan import config
from harness.run.command_line import understood
from harness.settings import limits
from harness.settings.typed import arguments, quoted
from tests.conftest import ROOT

OWN = ("task=generation", "model=decoder")


def received(*typed: str):
    """The configuration that a program gets."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=arguments([*OWN, *typed]))


@pytest.mark.parametrize("key", ["model.revision", "model.checkpoint", "task.source.train", "task.source.target",
                                 "task.name", "model.label", "wandb.group"])  # fmt: skip
@pytest.mark.parametrize("text", ["123e456", "7e15", "1", "1_000", "nan", "true", "2024"])
def test_a_text_that_looks_like_a_number_stays_text(key, text):
    assert _value(f"{key}={text}") == text


def test_a_text_arrives_in_the_configuration():
    cfg = received("model.revision=123e456", "task.source.train=/data/a=b (1).csv", "runs_dir=${task.name}/50%")
    assert (cfg.model.revision, cfg.task.source.train) == ("123e456", "/data/a=b (1).csv")
    assert (cfg.task.label, cfg.runs_dir) == ("a=b (1)", "generation/50%")


@pytest.mark.parametrize(
    "text",
    [
        "/data/a=b.csv", "/data/mine (1).csv", "/data/50%.csv", "/data/größe.csv", "C:\\data\\x(1)\\", "it's", "a, b",
        "{question}", "Q: {question}, A: ", "[INST] {q} [/INST]", "{a:b}", "a\nb", "x#y|<z>;!", '"hello" she said',
        " a ",
    ],
)  # fmt: skip
def test_a_text_with_letters_of_hydras_grammar_arrives_whole(text):
    assert _value(f"task.source.prompt={text}") == text


def test_any_text_arrives_whole():
    letters = random.Random(3)
    for _ in range(40):
        text = "".join(letters.choices("ab1 \\'\",=()[]{}:%#$~é", k=8)).lstrip("'\"")
        if "\\" not in text and "${" not in text and text != "":  # Hydra's own escapes, and interpolations
            assert _value(f"model.label={text}") == (text if not _is_list(text) else _value(f"x={text}")), text


def _value(argument: str):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_overrides(arguments([argument]))[0].value()


def _is_list(text: str) -> bool:
    return text.startswith("[") and text.endswith("]")


@pytest.mark.parametrize("text", ["", "'", "\\", "\\'", "a\\\\'b\\", "it's \\", 'say "x"'])
def test_what_is_quoted_is_read_as_it_was(text):
    assert _value(f"model.label={quoted(text)}") == text


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("task.source.prompt=[1,question]", ["1", "question"]),
        ("task.source.stop=[END,'a, b']", ["END", "a, b"]),
        ("task.source.gold=null", None),
        ("model.label=${task.name}/x(1)", "generation/x(1)"),
        ("model.label='quoted, with a comma'", "quoted, with a comma"),
        ("model.label=blank\\ and\\,comma", "blank and,comma"),
        ("+model.drawn=[]", []),
    ],
)
def test_lists_null_interpolations_and_quotes_mean_what_they_mean_to_hydra(typed, value):
    found = OmegaConf.select(received(typed), typed.lstrip("+").partition("=")[0])
    assert (OmegaConf.to_container(found) if OmegaConf.is_config(found) else found) == value


def test_a_name_that_is_given_is_the_title_of_tables_and_plots():
    cfg = received("task.name=mine", "model.name=123", "task.source.train=x.csv", "model.checkpoint=y")
    assert (cfg.task.label, cfg.model.label) == ("mine", "123")
    assert received("task.name=mine", "task.label=My data").task.label == "My data"
    assert received("task.source.train=x.csv").task.label == "x"


def test_of_several_runs_a_comma_separates_the_values_and_each_stays_text():
    assert arguments(["-m", "model.revision=1e5,main,'2e5'", "seed=0,1"]) == [
        "-m", "model.revision='1e5',main,'2e5'", "seed=0,1",
    ]  # fmt: skip
    assert arguments(["-m", "model.label=choice(a,b)"])[1] == "model.label=choice(a,b)"


def test_flags_may_stand_behind_settings():
    assert arguments(["method=lora", "-m", "seed=0,1"]) == ["-m", "method=lora", "seed=0,1"]
    assert arguments(["method=lora", "--cfg", "job", "train.lr=1"]) == ["--cfg", "job", "method=lora", "train.lr=1"]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["train.lr=(3)"], "train.lr=(3) cannot be read; a value with = ( ) { } or the like is put in quotes of its"),
        (["seed=0,1"], "seed=0,1 is several values, and so several runs: python run.py -m seed=0,1 ..."),
        (["-m", "seed=interval(0,1)"], "seed=interval(0,1) has no values to run one after the other; give them: "),
        (["-m", "seed=0,1", "--cfg", "job"], "-m --cfg do not go together: one at a time"),
        (["method"], "'method' is no setting; settings are given as NAME=VALUE, such as method=lora"),
        (["-m", "task.source.prompt=Q: {a}, (b)"], "with -m a comma separates the values of several runs; a text that"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_the_quotes_that_help(typed, sentence):
    with pytest.raises(SettingError) as caught:
        arguments(typed)
    assert sentence in str(caught.value)


def _constructors() -> dict[str, type]:
    sources = (OmegaConf.load(path).get("source") for path in sorted(ROOT.glob("conf/task/*.yaml")))
    return {source._target_: get_object(source._target_) for source in sources if source}


@pytest.mark.parametrize("name", _constructors())
def test_every_setting_of_a_task_that_takes_text_is_known_to_be_text(name):
    for setting, parameter in inspect.signature(_constructors()[name]).parameters.items():
        kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
        if str in kinds and typing.get_origin(parameter.annotation) is not Mapping:
            assert limits.is_text(f"task.source.{setting}"), setting


@pytest.mark.parametrize("key", ["train.lr", "seed", "task.data_seed", "train.select_best", "task.source.test_share"])
def test_a_number_stays_a_number(key):
    assert not limits.is_text(key)


@pytest.mark.parametrize("key", ["model.checkpoint", "model.revision", "task.label", "task.source.train"])
def test_a_number_in_a_file_in_the_place_of_a_text_is_refused(composed, key):
    cfg = composed("task=classification", "model=micro_deberta", "task.source.train=x.csv")
    OmegaConf.update(cfg, key, float("inf"), force_add=True)
    with pytest.raises(SettingError, match=rf"^{key}=inf is not a text"):
        config.resolve(cfg)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["+train.shardng=fsdp2"], "there is no 'train.shardng'; train has lr, .*; did you mean 'sharding'"),
        (["++train.shardng=fsdp2"], "there is no 'train.shardng'; .*; did you mean 'sharding'"),
        (["+train={shardng: fsdp2}"], "there is no 'train.shardng'; .*; did you mean 'sharding'"),
        (["+foo=1"], "there is no 'foo'; the top level has .*"),
        (["method=head", "+method.targts=QV"], "there is no 'method.targts'; method has name, .*"),
        (["+model.revison=main"], "there is no 'model.revison'; model has .*; did you mean 'revision'"),
    ],
)
def test_what_is_added_and_read_by_nothing_is_refused(typed, sentence):
    with pytest.raises(SystemExit, match=f"^error: {sentence}[?]?$"):
        understood(typed)


@pytest.mark.parametrize(
    "added",
    ["+train.sharding=fsdp2", "+method.adapter.keep_weight=false", "++method.adapter.rank=4", "+train.lr=0.1",
     "+method.adapter.exclude_modules=[x]", "+method.callbacks.mine._target_=a.B", "+task.source.steps=[1]",
     "+recipe.picked.a.b.c=1", "+model.roles.X=a.*.b", "+train={sharding: fsdp2}"],
)  # fmt: skip
def test_what_is_added_and_has_a_reader_is_taken_with_either_sign(added):
    [read] = understood([added])
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", overrides=[read])
    key, _, value = added.lstrip("+").partition("=")
    assert value.startswith("{") or OmegaConf.select(cfg, key) is not None


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ("method.adapter.kep_weight=true", "svft.SvftConfig: there is no 'kep_weight'; .*; did you mean 'keep_weight'"),
        ("task.source.step=1", "tasks.micro_gsm.MicroGsm: there is no 'step'; .*; did you mean 'steps'"),
    ],
)
def test_a_class_refuses_what_it_does_not_take(composed, added, sentence):
    cfg = composed(f"+{added}")
    with pytest.raises(SettingError, match=f"^{sentence}[?]$"):
        config.instantiate(OmegaConf.select(cfg, added.rpartition(".")[0]))


def test_a_task_refuses_what_neither_it_nor_its_base_takes(composed):
    cfg = composed("task=classification", "task.source.train=x.csv", "+task.source.limt=3")
    with pytest.raises(SettingError, match=r"there is no 'limt'; it has text, .*; did you mean 'limit'"):
        config.instantiate(cfg.task.source)


def test_a_callback_that_names_no_class_is_refused(composed):
    cfg = composed("method=vectorfit", "+method.callbacks.freezng.start=0.1")
    with pytest.raises(SettingError, match="^method.callbacks.freezng has no _target_.*; did you mean 'freezing'"):
        config.callbacks(cfg.method)


def test_a_callback_that_is_a_value_is_refused(composed):
    cfg = composed("+method.callbacks.freezing=1")
    with pytest.raises(SettingError, match="^method.callbacks.freezing has no _target_"):
        config.callbacks(cfg.method)


def test_a_run_of_a_sweep_refuses_what_is_added_too(composed):
    class Loader:
        def load_configuration(self, name: str, groups: list[str], mode: RunMode) -> DictConfig:
            return composed(*groups)

    with pytest.raises(SettingError, match="did you mean 'sharding'"):
        config.composed(HydraContext(Loader(), None), None, ["method=lora", "++train.shardng=fsdp2"])


def test_a_number_that_is_infinite_in_float32_is_refused(composed):
    with pytest.raises(SettingError, match=r"^train\.lr=1e\+39, which is infinite in float32, is not a finite number"):
        config.resolve(composed("train.lr=1e39"))
