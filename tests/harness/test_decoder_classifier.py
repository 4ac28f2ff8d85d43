"""A decoder as a classifier answers from a text's last token, wherever padding stands behind it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, set_seed

from harness.modality.classification import TextClassification
from harness.retention import section
from tasks.base import ClassExample
from tests.bare import Bare

WORDS = {word: number for number, word in enumerate("<pad> <eos> <unk> a b c d e".split())}
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": len(WORDS)}
ARCHITECTURES = {
    "gpt2": {}, "gpt_neox": {"intermediate_size": 24}, "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "llama": {"intermediate_size": 24}, "bert": {"intermediate_size": 24},
}  # fmt: skip
EXAMPLES = [ClassExample(str(i), text, None, 0) for i, text in enumerate(["a b c d e a b", "b", "c a d <eos>", "d e"])]


@pytest.fixture(params=ARCHITECTURES)
def architecture(request):
    return request.param


STATED = pytest.mark.parametrize("stated", [None, 7], ids=["no padding in config.json", "another token"])


def classifier(tmp_path: Path, architecture: str, stated: int | None, padding: str) -> TextClassification:
    """stated: the padding token in config.json; padding: that of the tokenizer."""
    set_seed(0)
    config = AutoConfig.for_model(architecture, **SIZES, **ARCHITECTURES[architecture], initializer_range=0.3)
    config.pad_token_id, config.eos_token_id, config.bos_token_id = (stated if architecture != "bert" else 0), 1, None
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    words = Tokenizer(WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": padding, "eos_token": "<eos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path)
    head = "classifier" if architecture == "bert" else "score"
    model = OmegaConf.create({"name": "x", "family": "encoder", "checkpoint": str(tmp_path), "dtype": "float32",
                              "roles": {}, "blocks": 2, "head": head})  # fmt: skip
    cfg = SimpleNamespace(model=model, train=SimpleNamespace(max_length=16), evaluate=SimpleNamespace(batch_size=4))
    return TextClassification(cfg, Bare(kind="text_classification", num_classes=3))


@STATED
@pytest.mark.parametrize("padding", ["<pad>", "<eos>"])
def test_a_text_is_classified_alone_as_it_is_among_others(tmp_path, architecture, stated, padding):
    modality = classifier(tmp_path, architecture, stated, padding)
    loaded = modality.load_model().eval()
    rows = modality.rows(EXAMPLES)
    with torch.no_grad():
        together = loaded(**modality.collate(rows)).logits
        alone = torch.cat([loaded(**modality.collate([row])).logits for row in rows])
    assert together.std() > 1e-2
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@STATED
def test_how_far_it_moved_is_measured_on_texts_of_different_lengths(tmp_path, architecture, stated, monkeypatch):
    modality = classifier(tmp_path, architecture, stated, "<pad>")
    monkeypatch.setattr(Bare, "examples", lambda self, split: EXAMPLES)
    found = section.measure(modality.load_model(), modality, modality.cfg.model.head, torch.device("cpu"))
    assert found["inputs"]["rows"] == len(EXAMPLES) and "missing" not in found
