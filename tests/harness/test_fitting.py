"""What does not fit the model is refused before training, in a sentence with the numbers."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    T5Config,
    T5ForSequenceClassification,
)

from errors import ModelError, SettingError
from harness.modality import fitting, modalities
from harness.modality.fitting import check
from harness.modality.images import ImageClassification
from harness.modality.interface import Probe
from harness.plan.config import instantiate
from tasks.base import ImageExample
from tests.bare import Bare
from tests.conftest import task_of_yaml
from tests.harness.test_generation import Generation, settings
from tests.harness.test_own_models import DEBERTA, DISTIL, GROUPED, IMAGES, TEXT

LIMIT = 12  # max_position_embeddings
SHORT = {"max_position_embeddings": LIMIT}
GPT = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40, "n_positions": LIMIT}
OPT = {"hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40,
       "word_embed_proj_dim": 16} | SHORT  # fmt: skip

# model type: (class, configuration, tokens that it takes)
LEARNT = {
    "gpt2": (AutoModelForCausalLM, GPT, LIMIT),
    "opt": (AutoModelForCausalLM, OPT, LIMIT),
    "gptj": (AutoModelForCausalLM, GPT | {"rotary_dim": 4}, LIMIT),  # computed, and kept in a table of that length
    "bert": (AutoModelForSequenceClassification, TEXT | SHORT, LIMIT),
    "distilbert": (AutoModelForSequenceClassification, DISTIL | SHORT, LIMIT),
    "roberta": (AutoModelForSequenceClassification, TEXT | SHORT | {"pad_token_id": 1}, LIMIT - 2),
}
COMPUTED = {
    "llama": (AutoModelForCausalLM, GROUPED | SHORT),
    "bloom": (AutoModelForCausalLM, {"hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40}),
    "deberta-v2": (AutoModelForSequenceClassification, DEBERTA | SHORT | {"position_biased_input": False}),
}


def built(kind: str, auto, sizes: dict) -> nn.Module:
    return auto.from_config(AutoConfig.for_model(kind, **sizes))


def text(length: int) -> Probe:
    ids = torch.arange(length)[None] % 30 + 5
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Probe(inputs, "the longest text", "train.max_length={limit} cuts it")


@pytest.mark.parametrize("kind", LEARNT)
def test_a_text_beyond_the_positions_of_a_model_is_refused_with_the_length_that_it_takes(kind):
    auto, sizes, limit = LEARNT[kind]
    model = built(kind, auto, sizes)
    said = f"^the longest text has 20 tokens, and the model takes {limit} at most; train.max_length={limit} cuts it$"
    with pytest.raises(SettingError, match=said):
        check(model, [text(20)])
    assert check(model, [text(limit)]) == []


@pytest.mark.parametrize("kind", COMPUTED)
def test_a_text_beyond_the_positions_that_a_model_was_trained_for_is_told(kind):
    auto, sizes = COMPUTED[kind]
    said = check(built(kind, auto, sizes), [text(LIMIT), text(20)])
    told = "the longest text has 20 tokens, and the model's config.json states 12 positions (max_position_embeddings)"
    assert [sentence.partition(":")[0] for sentence in said] == [told] * ("max_position_embeddings" in sizes)


def test_a_look_up_beyond_a_table_is_found_where_the_device_would_not_find_it():
    """As a GPU, which ends the process, or does not look."""
    table, ids = torch.randn(4, 2), torch.tensor([[0, 4]])
    for look_up in (
        lambda: nn.functional.embedding(ids, table),
        lambda: table.gather(0, ids),
        lambda: table.index_select(0, ids[0]),
        lambda: table[ids],
    ):
        with pytest.raises(IndexError, match="index 4 of a table of 4"), fitting._WithinBounds():
            look_up()
    with fitting._WithinBounds():
        assert torch.equal(table[ids - 1], table[torch.tensor([[-1, 3]])])


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask):
        raise ValueError("a fault that no length mends")


def test_a_fault_that_no_length_mends_is_not_taken_for_one_of_length():
    with pytest.raises(ValueError, match="^a fault that no length mends$"):
        check(Fails(), [text(20)])


T5_SIZES = {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}


@pytest.mark.parametrize(
    ("start", "sentence"),
    [(None, "decoder_start_token_id has to be defined"), (0, "Each example must contain at least one <eos> token")],
    ids=["start", "end"],
)
def test_a_model_that_takes_no_text_says_why_in_its_library_s_words(start, sentence):
    config = T5Config(**T5_SIZES, pad_token_id=0, eos_token_id=39, decoder_start_token_id=start)
    with pytest.raises(ModelError, match=rf"^the model takes no text at all \(.*{sentence}"):
        check(T5ForSequenceClassification(config), [text(LIMIT)])


def test_a_model_is_left_as_it_was_and_so_are_random_numbers():
    model = built("gpt2", AutoModelForCausalLM, GPT).train()
    model.transformer.drop.eval()
    modes, state = [m.training for m in model.modules()], torch.get_rng_state()
    check(model, [text(LIMIT)])
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("size", "channels", "fits"), [(8, 3, True), (12, 3, False), (8, 1, False)])
def test_images_of_another_shape_than_the_model_takes_are_refused(size, channels, fits):
    image = {"size": size, "channels": channels, "mean": 0.5, "std": 0.5}
    example = ImageExample("0", np.zeros((9, 9, 3), dtype=np.uint8), 0)
    task = Bare(num_classes=2, examples=lambda split: [example])
    probes = ImageClassification(OmegaConf.create({"model": {"image": image}}), task).probes([])
    model = built("vit", AutoModelForImageClassification, IMAGES)
    if fits:
        assert check(model, probes) == []
        return
    shape = f"model.image.size={size} and model.image.channels={channels}"
    with pytest.raises(SettingError, match=rf"^the model does not take images of {shape} \(.*\)$"):
        check(model, probes)


# --- what goes through the model ---


@pytest.fixture
def language():
    task = task_of_yaml("micro_gsm", train_size=32, validation_size=8, test_size=8)
    return Generation(settings(), task), task


def test_the_longest_text_to_learn_and_the_longest_with_all_that_may_be_generated_are_tried(language):
    modality, task = language
    modality.cfg.train.max_length = 60
    learnt, asked = modality.probes([(task, "test")])
    longest = max(len(row["input_ids"]) for s in ("train", "validation") for row in modality.rows(task.examples(s)))
    assert learnt.length == longest <= 60
    prompt = max(len(ids) for ids in modality.texts.prompts([e.eval_prompt for e in task.examples("test")]))
    assert asked.length == prompt + 64 - 1, "the last token is not read again"
    assert f"of {task.name} test ({prompt} tokens) with" in asked.what


def test_positions_suffice_for_the_last_token_that_is_generated(language):
    """One more is refused before training, and would have ended the evaluation."""
    modality, task = language
    benchmark = Bare(name="b", examples=task.examples, max_new_tokens=6)
    *_, asked = modality.probes([(benchmark, "test")])
    for positions, fits in ((asked.length, True), (asked.length - 1, False)):
        sizes = GPT | {"vocab_size": len(modality.tokenizer), "n_positions": positions}
        model = built("gpt2", AutoModelForCausalLM, sizes)
        model.generation_config.eos_token_id = None
        modality.ends = [-1]  # so that every text has all its tokens
        if fits:
            assert check(model, [asked]) == []
            modality.generate(model, benchmark, task.examples("test"), 8, "")
        else:
            with pytest.raises(SettingError, match=f"takes {positions} at most; max_new_tokens or the prompts"):
                check(model, [asked])
            with pytest.raises(IndexError):
                modality.generate(model, benchmark, task.examples("test"), 8, "")


def test_texts_to_classify_are_tried_as_they_are_cut(composed):
    cfg = composed("task=micro_rte", "model=micro_deberta", "task.source.train_size=16", "task.source.dev_size=4")
    cfg.train.max_length = 20
    task = instantiate(cfg.task.source)
    modality = modalities.choose(cfg, task)
    (probe,) = modality.probes([])
    assert probe.length == 20 and set(probe.inputs) == {"input_ids", "attention_mask", "token_type_ids"}
    (benchmark,) = task.benchmarks.values()
    sources = {"training texts": (task, "train"), "texts of micro_rte test": (benchmark, "test")}
    said = modality.remarks([(benchmark, "test")])
    for sentence, (texts, (source, split)) in zip(said, sources.items(), strict=True):
        whole = [len(modality.tokenizer(e.text, e.pair)["input_ids"]) for e in source.examples(split)]
        assert sentence == (
            f"train.max_length=20 cuts {sum(n > 20 for n in whole)} of {len(whole)} {texts} "
            f"(the longest has {max(whole)} tokens)"
        )


# --- what is said before training ---
