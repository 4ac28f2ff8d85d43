"""Batched generation, and what the loss sees."""

import pytest
import torch

from harness import config, modalities
from harness.generation import IGNORED
from tests.conftest import TINY


@pytest.fixture
def language(composed):
    cfg = composed(*TINY, "task.source.test_size=24")
    task = config.instantiate(cfg.task.source)
    return modalities.choose(cfg, task), task


def test_batched_generation_equals_batch_size_1(language):
    modality, task = language
    model = modality.load_model()
    examples = task.examples("test")
    alone, _ = modality.predict(model, examples, 1, "alone")
    together, _ = modality.predict(model, examples, 24, "together")
    assert len({len(e.eval_prompt) for e in examples}) > 5, "prompts of one length would show nothing"
    assert together == alone


def test_without_the_attention_mask_batched_generation_would_differ(language, monkeypatch):
    """The test above can fail: it is the mask that makes it pass."""
    modality, task = language
    model = modality.load_model()
    alone, _ = modality.predict(model, task.examples("test"), 1, "alone")
    original = model.generate

    def unmasked(input_ids, attention_mask, generation_config):
        mask = torch.ones_like(attention_mask)
        return original(input_ids=input_ids, attention_mask=mask, generation_config=generation_config)

    monkeypatch.setattr(model, "generate", unmasked)
    assert modality.predict(model, task.examples("test"), 24, "together")[0] != alone


def test_the_loss_is_on_the_target_and_the_end_token_only(language):
    modality, task = language
    example = task.examples("train")[0]
    (row,) = modality.rows([example])
    trained_on = [token for token in row["labels"] if token != IGNORED]
    assert trained_on[-1] == modality.tokenizer.eos_token_id
    assert modality.tokenizer.decode(trained_on[:-1]) == example.target
    assert [t for t, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED] == trained_on


def test_padding_is_outside_the_loss_and_the_attention(language):
    modality, task = language
    rows = modality.rows(task.examples("train")[:8])
    batch = modality.collate(rows)
    for row, mask, labels in zip(rows, batch["attention_mask"], batch["labels"], strict=True):
        n = len(row["input_ids"])
        assert mask.tolist() == [1] * n + [0] * (len(mask) - n)
        assert set(labels[n:].tolist()) <= {IGNORED}
    assert modality.size(batch) == sum(len(row["input_ids"]) for row in rows)


def test_generated_text_is_cut_at_a_stop_string(language, monkeypatch):
    modality, task = language
    model = modality.load_model()
    whole = modality.predict(model, task.examples("test")[:4], 4, "")[0]
    monkeypatch.setattr(task, "stop", (whole[0][5:9],), raising=False)
    assert modality.predict(model, task.examples("test")[:4], 4, "")[0][0] == whole[0][:5]


def test_the_untouched_model_does_not_know_the_task(composed):
    cfg = composed("task.source.test_size=100", "task.source.train_size=1")
    task = config.instantiate(cfg.task.source)
    modality = modalities.choose(cfg, task)
    examples = task.examples("test")
    texts, _ = modality.predict(modality.load_model(), examples, 100, "untouched")
    right = sum(
        scorer(t, e.gold).correct for t, e in zip(texts, examples, strict=True) for scorer in task.scorers.values()
    )
    assert right <= 0.05 * len(examples) * len(task.scorers)


def test_weights_that_are_not_safetensors_are_refused(composed, tmp_path):
    from transformers import AutoModelForCausalLM

    from harness import models

    model = AutoModelForCausalLM.from_pretrained("assets/micro_gemma")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(models.ModelError, match="safetensors"):
        models.load(composed(f"model.checkpoint={tmp_path}").model, "generation")
