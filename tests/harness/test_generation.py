"""Batched generation, and what the loss sees."""

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from errors import ModelError
from harness.modality.generation import IGNORED, Generation
from harness.models import bases
from tests.bare import Bare
from tests.conftest import ROOT, task_of_yaml

PLAIN = Bare()  # a benchmark without any of the optional attributes


def settings() -> DictConfig:
    """What Generation reads of a run's configuration, for the shipped model."""
    model = OmegaConf.load(ROOT / "conf" / "model" / "micro_gemma.yaml")
    evaluate = {"engine": "generate", "merged": False}
    return OmegaConf.create(
        {"model": model, "task": {"max_new_tokens": 64}, "train": {"max_length": 512}, "evaluate": evaluate}
    )


@pytest.fixture
def language():
    task = task_of_yaml("micro_gsm", train_size=48, validation_size=8, test_size=24)
    return Generation(settings(), task), task


def test_batched_generation_equals_batch_size_1(language):
    modality, task = language
    model = modality.load_model()
    examples = task.examples("test")
    alone, _ = modality.predict(model, task, examples, 1, "alone")
    together, _ = modality.predict(model, task, examples, 24, "together")
    assert len({len(e.eval_prompt) for e in examples}) > 5, "prompts of one length would show nothing"
    assert together == alone


def test_without_the_attention_mask_batched_generation_would_differ(language, monkeypatch):
    """The test above can fail: it is the mask that makes it pass."""
    modality, task = language
    model = modality.load_model()
    alone, _ = modality.predict(model, task, task.examples("test"), 1, "alone")
    original = model.generate

    def unmasked(input_ids, attention_mask, generation_config):
        mask = torch.ones_like(attention_mask)
        return original(input_ids=input_ids, attention_mask=mask, generation_config=generation_config)

    monkeypatch.setattr(model, "generate", unmasked)
    assert modality.predict(model, task, task.examples("test"), 24, "together")[0] != alone


def test_batched_beam_search_equals_batch_size_1_and_is_not_greedy(language):
    modality, task = language
    model = modality.load_model()
    examples = task.examples("test")[:16]
    beams = Bare(beams=4)
    alone, tokens_alone = modality.predict(model, beams, examples, 1, "alone")
    together, tokens_together = modality.predict(model, beams, examples, 8, "together")
    assert together == alone
    assert tokens_together == tokens_alone
    assert alone != modality.predict(model, PLAIN, examples, 8, "greedy")[0]


def test_beam_search_finds_likelier_answers_than_greedy_search(language):
    """By the model's log-likelihood a token, which is what the search maximises, in the mean over the questions."""
    modality, task = language
    model = modality.load_model()
    examples = task.examples("test")[:16]

    def mean_likelihood(benchmark):
        texts, _ = modality.predict(model, benchmark, examples, 16, "")
        end = modality.tokenizer.eos_token_id
        total = 0.0
        for example, text in zip(examples, texts, strict=True):
            prompt = modality.tokenizer(example.eval_prompt)["input_ids"]
            ids = torch.tensor([[*modality.tokenizer(example.eval_prompt + text)["input_ids"], end]])
            log_p = model(ids).logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
            total += log_p.gather(-1, ids[0, len(prompt) :, None]).mean().item()
        return total / len(examples)

    assert mean_likelihood(Bare(beams=4)) > mean_likelihood(PLAIN)


def test_a_benchmark_may_ask_for_fewer_tokens_than_the_yaml_of_the_task(language):
    modality, task = language
    model = modality.load_model()
    examples = task.examples("test")[:4]
    whole, tokens = modality.predict(model, PLAIN, examples, 4, "")
    short, few = modality.predict(model, Bare(max_new_tokens=3), examples, 4, "")
    assert few == 12 < tokens
    assert all(text.startswith(beginning) for text, beginning in zip(whole, short, strict=True))


def test_the_loss_is_on_the_target_and_the_end_token_only(language):
    modality, task = language
    example = task.examples("train")[0]
    (row,) = modality.rows([example])
    trained_on = [token for token in row["labels"] if token != IGNORED]
    assert trained_on[-1] == modality.tokenizer.eos_token_id
    assert modality.tokenizer.decode(trained_on[:-1]) == example.target
    assert [t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED] == trained_on


def test_a_task_that_trains_on_the_prompt_hides_nothing_from_the_loss(language):
    modality, task = language
    example = task.examples("train")[0]
    whole = [*modality.tokenizer(example.prompt + example.target)["input_ids"], modality.tokenizer.eos_token_id]
    modality.task = Bare(trains_on_prompt=True)
    assert modality.rows([example]) == [{"input_ids": whole, "labels": whole}]
    modality.task = Bare(trains_on_prompt=False)
    assert modality.rows([example])[0]["labels"][0] == IGNORED


def test_a_long_example_is_cut_at_its_end_with_either_loss(language):
    modality, task = language
    modality.cfg.train.max_length = 9
    example = task.examples("train")[0]
    whole = modality.tokenizer(example.prompt + example.target)["input_ids"]
    assert len(whole) > 9
    assert modality.rows([example]) == [{"input_ids": whole[:9], "labels": [IGNORED] * 9}]
    modality.task = Bare(trains_on_prompt=True)
    assert modality.rows([example]) == [{"input_ids": whole[:9], "labels": whole[:9]}]


def test_padding_is_outside_the_loss_and_the_attention(language):
    modality, task = language
    rows = modality.rows(task.examples("train")[:8])
    batch = modality.collate(rows)
    for row, mask, labels in zip(rows, batch["attention_mask"], batch["labels"], strict=True):
        n = len(row["input_ids"])
        assert mask.tolist() == [1] * n + [0] * (len(mask) - n)
        assert set(labels[n:].tolist()) <= {IGNORED}
    assert modality.size(batch) == sum(len(row["input_ids"]) for row in rows)


def test_generated_text_is_cut_at_a_stop_string_of_the_benchmark(language):
    modality, task = language
    model = modality.load_model()
    examples = task.examples("test")[:4]
    whole = modality.predict(model, PLAIN, examples, 4, "")[0]
    stopped = Bare(stop=(whole[0][5:9],))
    assert modality.predict(model, stopped, examples, 4, "")[0][0] == whole[0][:5]


def test_the_untouched_model_does_not_know_the_task():
    task = task_of_yaml("micro_gsm", test_size=100, train_size=1)
    modality = Generation(settings(), task)
    examples = task.examples("test")
    texts, _ = modality.predict(modality.load_model(), task, examples, 100, "untouched")
    right = sum(
        scorer(t, e.gold).correct for t, e in zip(texts, examples, strict=True) for scorer in task.scorers.values()
    )
    assert right <= 0.05 * len(examples) * len(task.scorers)


def test_weights_that_are_not_safetensors_are_refused(tmp_path):
    from transformers import AutoModelForCausalLM

    cfg = settings().model
    model = AutoModelForCausalLM.from_pretrained(ROOT / cfg.checkpoint)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    cfg.checkpoint = str(tmp_path)
    with pytest.raises(ModelError, match="safetensors"):
        bases.load(cfg, "generation")
