"""Likelihoods of given answers, against the model asked for one answer at a time in float64."""

import math
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from harness.modality.generation import Generation
from tests.bare import Bare
from tests.conftest import task_of_yaml
from tests.harness.test_generation import settings

BENCHMARK = Bare(max_new_tokens=8)


@pytest.fixture
def ranking():
    """The modality, and 12 questions with two to four answers of different lengths, those of other questions."""
    task = task_of_yaml("micro_gsm", train_size=1, validation_size=1, test_size=16)
    examples = task.examples("test")
    asked = [
        replace(e, choices=tuple(other.target for other in examples[i : i + 2 + i % 3]))
        for i, e in enumerate(examples[:12])
    ]
    return Generation(settings(), task), asked


def one_by_one(modality, model, examples) -> list[list[float]]:
    """sum_t log p(y_t | prompt, y_<t) with neither batch nor padding, in float64."""
    model = model.double().eval()
    likelihoods = []
    for example in examples:
        length = len(modality.tokenizer(example.eval_prompt)["input_ids"])
        values = []
        for choice in example.choices:
            ids = modality.tokenizer(example.eval_prompt + choice)["input_ids"]
            log_p = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            values.append(sum(log_p[at - 1, ids[at]].item() for at in range(length, len(ids))))
        likelihoods.append(values)
    return likelihoods


def flat(likelihoods) -> list[float]:
    return [value for values in likelihoods for value in values]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_likelihoods_equal_those_of_one_answer_at_a_time_in_float64(ranking, batch_size):
    modality, examples = ranking
    found = modality.log_likelihoods(modality.load_model(), examples, batch_size, "")
    expected = one_by_one(modality, modality.load_model(), examples)
    assert [len(values) for values in found] == [len(e.choices) for e in examples]
    assert flat(found) == pytest.approx(flat(expected), rel=1e-5)
    assert len({len(modality.tokenizer(e.eval_prompt)["input_ids"]) for e in examples}) > 3, "padding is exercised"


def test_learned_positions_are_counted_from_the_first_token_and_not_from_the_padding(ranking):
    modality, examples = ranking
    vocabulary = len(modality.tokenizer)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=256, n_embd=16, n_layer=1, n_head=2))
    torch.nn.init.normal_(model.transformer.wpe.weight)
    found = flat(modality.log_likelihoods(model, examples, 64, ""))
    assert found == pytest.approx(flat(one_by_one(modality, model, examples)), rel=1e-5)


def test_without_the_attention_mask_likelihoods_would_differ(ranking, monkeypatch):
    """The test above can fail: it is the mask that makes it pass."""
    modality, examples = ranking
    model = modality.load_model()
    alone = flat(modality.log_likelihoods(model, examples, 1, ""))
    original = model.forward

    def unmasked(attention_mask, logits_to_keep=0, **inputs):
        return original(attention_mask=torch.ones_like(attention_mask), logits_to_keep=logits_to_keep, **inputs)

    monkeypatch.setattr(model, "forward", unmasked)
    assert flat(modality.log_likelihoods(model, examples, 64, "")) != pytest.approx(alone, rel=1e-3)


def test_only_the_logits_of_the_answers_are_made_through_an_adapter_too(ranking):
    modality, examples = ranking
    bare = modality.load_model()
    expected = flat(modality.log_likelihoods(bare, examples, 4, ""))
    adapted = get_peft_model(bare, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    made = []
    adapted.get_base_model().lm_head.register_forward_hook(lambda _, __, logits: made.append(logits.shape[1]))
    assert flat(modality.log_likelihoods(adapted, examples, 4, "")) == pytest.approx(expected, rel=1e-5)
    longest = max(
        len(modality.tokenizer(e.eval_prompt + c)["input_ids"]) - len(modality.tokenizer(e.eval_prompt)["input_ids"])
        for e in examples
        for c in e.choices
    )
    assert max(made) == longest


class MakesEveryLogit(torch.nn.Module):
    """A model whose forward has no `logits_to_keep`."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, use_cache):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=use_cache
        )


def test_a_model_that_makes_every_logit_gives_the_same(ranking):
    modality, examples = ranking
    model = modality.load_model()
    expected = flat(modality.log_likelihoods(model, examples, 4, ""))
    assert flat(modality.log_likelihoods(MakesEveryLogit(model), examples, 4, "")) == pytest.approx(expected, rel=1e-6)


def test_the_likeliest_choice_is_predicted_beside_the_generated_text(ranking):
    modality, examples = ranking
    model = modality.load_model()
    expected = one_by_one(modality, modality.load_model(), examples)
    texts, tokens = modality.predict(model, BENCHMARK, [replace(e, choices=()) for e in examples], 5, "")
    predictions, same_tokens = modality.predict(model, BENCHMARK, examples, 5, "")
    assert same_tokens == tokens
    assert [p["text"] for p in predictions] == texts
    assert [p["likeliest"] for p in predictions] == [
        e.choices[max(range(len(e.choices)), key=values.__getitem__)]
        for e, values in zip(examples, expected, strict=True)
    ]
    assert len({e.choices.index(p["likeliest"]) for e, p in zip(examples, predictions, strict=True)}) > 1


def test_the_likelihood_of_each_choice_is_stored_with_the_answer(ranking):
    modality, examples = ranking
    expected = one_by_one(modality, modality.load_model(), examples)
    predictions, _ = modality.predict(modality.load_model(), BENCHMARK, examples, 5, "")
    assert [list(p["log_likelihoods"]) for p in predictions] == [list(e.choices) for e in examples]
    found = [list(p["log_likelihoods"].values()) for p in predictions]
    assert flat(found) == pytest.approx(flat(expected), rel=1e-5)


def test_choices_that_differ_in_their_last_token_alone_are_read_off_one_row(ranking, monkeypatch):
    modality, examples = ranking
    asked = [replace(e, choices=("It is 1", "It is 2", "It is 3")) for e in examples]
    model, rows = modality.load_model(), []
    original = model.forward
    monkeypatch.setattr(
        model, "forward", lambda input_ids, **more: rows.append(len(input_ids)) or original(input_ids, **more)
    )
    found = modality.log_likelihoods(model, asked, 5, "")
    assert sum(rows) == len({e.eval_prompt for e in asked})
    monkeypatch.undo()
    assert flat(found) == pytest.approx(flat(one_by_one(modality, model, asked)), rel=1e-5)


def test_a_benchmark_that_only_ranks_generates_nothing(ranking):
    modality, examples = ranking
    only = Bare(max_new_tokens=8, generates=False)
    predictions, tokens = modality.predict(modality.load_model(), only, examples, 5, "")
    both, _ = modality.predict(modality.load_model(), BENCHMARK, examples, 5, "")
    assert tokens == 0 and modality.used(only) == {}
    assert predictions == [{name: p[name] for name in ("likeliest", "log_likelihoods")} for p in both]


def test_examples_without_choices_are_left_as_text_among_those_with_some(ranking):
    modality, examples = ranking
    mixed = [replace(examples[0], choices=()), examples[1], replace(examples[2], choices=())]
    predictions, _ = modality.predict(modality.load_model(), BENCHMARK, mixed, 3, "")
    assert [type(prediction) for prediction in predictions] == [str, dict, str]


def test_the_first_of_equally_likely_choices_is_predicted(ranking, monkeypatch):
    modality, examples = ranking
    monkeypatch.setattr(modality, "log_likelihoods", lambda *_: [[-2.0, -1.0, -1.0]])
    asked = replace(examples[0], choices=("a", "b", "c"))
    predictions, _ = modality.predict(modality.load_model(), BENCHMARK, [asked], 1, "")
    assert predictions[0]["likeliest"] == "b"


def test_no_choice_is_the_likeliest_of_a_model_whose_logits_are_no_numbers(ranking):
    modality, examples = ranking
    model = modality.load_model()
    model.get_output_embeddings().weight.data.fill_(math.nan)
    predictions, _ = modality.predict(model, BENCHMARK, examples[:2], 4, "")
    assert all(math.isnan(prediction) for prediction in predictions)
