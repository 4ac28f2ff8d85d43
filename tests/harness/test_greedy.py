"""Greedy search is greedy: the likeliest next token, whatever generation settings a checkpoint brings."""

import copy
import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig

from harness.generate import engines
from harness.generate.batches import until
from harness.modality.generation import Generation
from tests.bare import Bare
from tests.conftest import ROOT, task_of_yaml
from tests.harness.test_generation import settings

NEW = 8
# What real checkpoints have in their generation_config.json, and what else would change the tokens.
ALMOST_ALL = range(4, 147)
SETTINGS = {
    "repetition_penalty": 1.5,
    "no_repeat_ngram_size": 1,
    "suppress_tokens": [*ALMOST_ALL],
    "begin_suppress_tokens": [*ALMOST_ALL],
    "bad_words_ids": [[token] for token in ALMOST_ALL],
    "sequence_bias": [[[12], 9.0]],
    "forced_eos_token_id": 1,
    "min_new_tokens": NEW,
    "exponential_decay_length_penalty": [1, 3.0],
    "stop_strings": ["a"],
}


@pytest.fixture(scope="module")
def asked():
    """The modality, the model, some prompts, and the tokens that follow them by the definition of greedy search."""
    task = task_of_yaml("micro_gsm", train_size=1, validation_size=1, test_size=6)
    modality = Generation(settings(), task)
    modality.cfg.task.max_new_tokens = NEW
    model = modality.load_model().eval()
    prompts = modality.texts.prompts([e.eval_prompt for e in task.examples("test")])
    return modality, model, prompts, {n: likeliest(model, ids) for n, ids in enumerate(prompts)}


@torch.inference_mode()
def likeliest(model, ids: list[int]) -> list[int]:
    """Token by token, without a cache, up to the end token."""
    found = list(ids)
    for _ in range(NEW):
        found.append(int(model(torch.tensor([found])).logits[0, -1].argmax()))
    return until(found[len(ids) :], [1])


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_greedy_search_takes_the_likeliest_token(asked, engine):
    modality, model, prompts, expected = asked
    with torch.inference_mode():
        found = dict(engines.ENGINES[engine](model, prompts, modality.settings(Bare()), 4))
    assert found == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_a_checkpoints_own_settings_change_no_token(asked, monkeypatch, name):
    modality, model, prompts, expected = asked
    own = GenerationConfig(**{name: SETTINGS[name]})
    monkeypatch.setattr(model, "generation_config", own)
    with torch.inference_mode():
        found = dict(engines.generate(model, prompts, modality.settings(Bare()), 4))
    assert found == expected
    assert model.generation_config is own


def test_through_an_adapter_they_change_none_either(asked):
    modality, model, prompts, expected = asked
    own = GenerationConfig(repetition_penalty=1.5)
    base = copy.deepcopy(model)
    base.generation_config = own
    adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")).eval()
    with torch.inference_mode():
        found = dict(engines.generate(adapted, prompts, modality.settings(Bare()), 4))
    assert found == expected
    assert base.generation_config is own


def test_the_length_penalty_of_a_beam_search_is_none_of_the_checkpoints(asked, monkeypatch):
    modality, model, prompts, _ = asked
    beams = modality.settings(Bare(beams=3, max_new_tokens=30))

    def found() -> dict[int, list[int]]:
        with torch.inference_mode():
            return dict(engines.generate(model, prompts, beams, 4))

    expected = found()
    monkeypatch.setattr(model, "generation_config", GenerationConfig(length_penalty=-9.0, early_stopping=True))
    assert found() == expected
    monkeypatch.setattr(engines, "without_own_settings", lambda _: torch.no_grad())
    assert found() != expected, "this can fail"


def test_they_would_change_tokens(asked, monkeypatch):
    """The tests above can fail."""
    modality, model, prompts, expected = asked
    monkeypatch.setattr(model, "generation_config", GenerationConfig(repetition_penalty=1.5))
    monkeypatch.setattr(engines, "without_own_settings", lambda _: torch.no_grad())
    with torch.inference_mode():
        assert dict(engines.generate(model, prompts, modality.settings(Bare()), 4)) != expected


@pytest.fixture
def two_ends(tmp_path):
    """A modality whose checkpoint ends a text at another token as well, as one for conversations ends a turn."""
    source = ROOT / "assets" / "micro_gemma"
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    (tmp_path / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [20, 2, 1], "repetition_penalty": 2.0})
    )
    cfg = settings()
    cfg.model.checkpoint, cfg.task.max_new_tokens = str(tmp_path), NEW
    return Generation(cfg, task_of_yaml("micro_gsm", train_size=4, validation_size=1, test_size=6))


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_text_ends_at_the_taught_token_and_at_every_end_that_the_checkpoint_names(asked, two_ends, engine):
    _, model, prompts, whole = asked
    assert two_ends.ends == [1, 2], "20 is a word"
    ends = [1, sorted(token for tokens in whole.values() for token in tokens)[len(whole)]]  # one that comes up
    two_ends.ends = ends
    with torch.inference_mode():
        found = dict(engines.ENGINES[engine](model, prompts, two_ends.settings(Bare()), 4))
    assert found == {n: until(tokens, ends) for n, tokens in whole.items()}
    assert found != whole


def test_the_end_that_is_taught_is_the_tokenizers_alone(two_ends):
    for row in two_ends.rows(two_ends.task.examples("train")):
        assert row["labels"][-1] == 1 and 2 not in row["labels"]


@pytest.mark.parametrize(("beams", "engine"), [(1, "refill"), (2, "generate")])
def test_the_record_says_how_text_was_generated(asked, two_ends, beams, engine):
    """Not how it was asked for: a search with beams goes its own way."""
    _, model, _, _ = asked
    two_ends.cfg.evaluate.engine, benchmark = "refill", Bare(beams=beams, max_new_tokens=3)
    two_ends.generate(model, benchmark, two_ends.task.examples("test"), 4, "")
    assert two_ends.used(benchmark) == {
        "do_sample": False, "num_beams": beams, "max_new_tokens": 3, "eos_token_id": [1, 2], "pad_token_id": 0,
        "engine": engine, "merged": False,
    }  # fmt: skip
