"""Text classification with a DeBERTa of four heads and two blocks, and a tokenizer of whole words."""

import json
import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast, set_seed

from harness.modality import modalities
from harness.modality.classification import TextClassification
from tasks.base import ClassExample
from tasks.glue import Glue
from tests.conftest import ROOT

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
PAD, CLS, SEP, UNK = range(4)
WORDS = "a b c d e f g h".split()  # ids 4 to 11
ROLES = OmegaConf.load(ROOT / "conf" / "model" / "deberta_v3_base.yaml")


class Rows:
    """Texts of one to twelve words; the class is that of their first word."""

    def __init__(self, classes: int, pairs: bool, n: int = 40):
        self.classes, self.pairs, self.n = classes, pairs, n

    def rows(self):
        rng = np.random.default_rng(0)
        for _ in range(self.n):
            texts = [" ".join(rng.choice(WORDS, rng.integers(1, 13))) for _ in range(1 + self.pairs)]
            first = WORDS.index(texts[0][0])
            yield (*texts, first / 2 if self.classes == 1 else first % self.classes)

    def fingerprint(self):
        return "made here"


def made(subset: str) -> Glue:
    classes = {"stsb": 1, "mnli": 3}.get(subset, 2)
    rows = Rows(classes, pairs=subset not in ("cola", "sst2"))
    return Glue(subset=subset, data_seed=0, train_source=rows, dev_source=rows)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("deberta")
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
        model_input_names=["input_ids", "attention_mask", "token_type_ids"],
    ).save_pretrained(folder)  # fmt: skip
    smaller = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 12,
        "pooler_hidden_size": 16, "type_vocab_size": 2, "max_position_embeddings": 64, "position_buckets": 8,
        "initializer_range": 0.5,
    }  # fmt: skip
    set_seed(0)
    config = AutoConfig.for_model(**OmegaConf.to_container(ROLES.architecture) | smaller)
    model = AutoModelForSequenceClassification.from_config(config)
    model.config.problem_type = "multi_label_classification"  # of the task it was fine-tuned on before
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def modality(checkpoint):
    def make(subset: str, max_length: int = 64) -> TextClassification:
        model = OmegaConf.merge(ROLES, {"checkpoint": checkpoint, "blocks": 2})
        cfg = OmegaConf.create({"model": model, "train": {"max_length": max_length}})
        return modalities.choose(cfg, made(subset))

    return make


def examples_of(modality: TextClassification) -> list[ClassExample]:
    return list(modality.task.examples("train"))


def predicted(modality: TextClassification, model, examples, batch_size: int) -> list:
    benchmark = next(iter(modality.task.benchmarks.values()))
    predictions, generated = modality.predict(model, benchmark, examples, batch_size, "examples")
    assert generated == 0
    return predictions


def test_a_pair_is_tokenised_as_a_pair(modality):
    (row,) = modality("rte").rows([ClassExample("1", "a b", "c", 1)])
    assert row == {"input_ids": [CLS, 4, 5, SEP, 6, SEP], "token_type_ids": [0, 0, 0, 0, 1, 1], "labels": 1}


def test_a_single_text_is_tokenised_alone(modality):
    (row,) = modality("cola").rows([ClassExample("1", "a zebra", None, 0)])
    assert row == {"input_ids": [CLS, 4, UNK, SEP], "token_type_ids": [0, 0, 0, 0], "labels": 0}


@pytest.mark.parametrize(
    ("text", "pair", "expected"),
    [
        ("a b c d", "e f", [CLS, 4, 5, SEP, 8, 9, SEP]),
        ("a", "b c d e f g", [CLS, 4, SEP, 5, 6, 7, SEP]),
        ("a b", "c d", [CLS, 4, 5, SEP, 6, 7, SEP]),
    ],
)
def test_the_longer_text_of_a_pair_is_cut_to_max_length(modality, text, pair, expected):
    (row,) = modality("rte", max_length=7).rows([ClassExample("1", text, pair, 1)])
    assert row["input_ids"] == expected


def test_a_text_is_cut_at_its_end_whatever_side_the_checkpoint_states(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint, tmp_path / "left")
    stated = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(stated | {"truncation_side": "left"}))
    model = OmegaConf.merge(ROLES, {"checkpoint": str(folder), "blocks": 2})
    cut = modalities.choose(OmegaConf.create({"model": model, "train": {"max_length": 4}}), made("cola"))
    assert cut.rows([ClassExample("1", "a b c d", None, 1)])[0]["input_ids"] == [CLS, 4, 5, SEP]


def test_a_batch_is_padded_to_its_longest_text_under_the_mask(modality):
    classification = modality("rte")
    examples = [ClassExample("1", "a b", "c", 1), ClassExample("2", "d", "e", 0)]
    batch = classification.collate(classification.rows(examples))
    assert batch["input_ids"].tolist() == [[CLS, 4, 5, SEP, 6, SEP], [CLS, 7, SEP, 8, SEP, PAD]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1] * 5 + [0]]
    assert batch["labels"].tolist() == [1, 0] and batch["labels"].dtype == torch.int64
    assert int(classification.size(batch)) == 11


def test_a_tokenizer_without_token_types_gives_none(modality):
    classification = modality("rte")
    classification.tokenizer.model_input_names = ["input_ids", "attention_mask"]
    batch = classification.collate(classification.rows(examples_of(classification)[:3]))
    assert set(batch) == {"input_ids", "attention_mask", "labels"}


@pytest.mark.parametrize("subset", ["cola", "mnli", "stsb"])
def test_predictions_are_those_of_each_text_alone_without_padding(modality, subset):
    classification = modality(subset)
    model = classification.load_model().eval()
    examples = examples_of(classification)
    alone = []
    for example in examples:
        ids = classification.tokenizer(example.text, example.pair, return_tensors="pt")
        with torch.no_grad():
            alone.append(model(**ids).logits[0])
    expected = [float(x[0]) if subset == "stsb" else int(x.argmax()) for x in alone]
    assert len(set(expected)) > 1, "a model that says one thing would show nothing"
    for batch_size in (1, 7, 100):
        assert predicted(classification, model, examples, batch_size) == pytest.approx(expected, abs=1e-5)


def test_without_the_attention_mask_predictions_would_differ(modality, monkeypatch):
    """The test above can fail: it is the mask that makes it pass."""
    classification = modality("stsb")
    model = classification.load_model()
    examples = examples_of(classification)
    alone = predicted(classification, model, examples, 1)
    original = model.forward
    monkeypatch.setattr(model, "forward", lambda attention_mask, **rest: original(**rest))
    assert predicted(classification, model, examples, 100) != pytest.approx(alone, abs=1e-2)


def test_predictions_follow_the_order_of_the_examples(modality):
    classification = modality("stsb")
    model = classification.load_model()
    examples = examples_of(classification)
    there = predicted(classification, model, examples, 8)
    back = predicted(classification, model, examples[::-1], 8)
    assert there == pytest.approx(back[::-1], abs=1e-5)


def test_prediction_leaves_dropout_out(modality):
    classification = modality("stsb")
    model = classification.load_model().train()
    examples = examples_of(classification)
    assert predicted(classification, model, examples, 8) == predicted(classification, model, examples, 8)


@pytest.mark.parametrize("subset", ["cola", "rte", "mnli"])
def test_the_loss_of_classes_is_the_mean_cross_entropy(modality, subset):
    classification = modality(subset)
    model = classification.load_model().eval()
    batch = classification.collate(classification.rows(examples_of(classification)[:6]))
    output = model(**batch)
    assert output.logits.shape == (6, classification.task.num_classes)
    own = -output.logits.log_softmax(-1)[torch.arange(6), batch["labels"]].mean()
    assert float(output.loss.detach()) == pytest.approx(float(own.detach()), rel=1e-5)


@pytest.mark.parametrize("n", [1, 6])
def test_the_loss_of_values_is_the_mean_squared_error(modality, n):
    classification = modality("stsb")
    model = classification.load_model().eval()
    batch = classification.collate(classification.rows(examples_of(classification)[:n]))
    assert batch["labels"].dtype == torch.float32
    output = model(**batch)
    own = ((output.logits[:, 0] - batch["labels"]) ** 2).mean()
    assert output.logits.shape == (n, 1)
    assert float(output.loss.detach()) == pytest.approx(float(own.detach()), rel=1e-5)


def test_logits_become_classes_or_values(modality):
    classes = modality("mnli").predictions_of(np.array([[0.1, 0.3, 0.2], [3.0, 1.0, 2.0]], dtype=np.float32))
    assert classes == [1, 0] and {type(c) for c in classes} == {int}
    values = modality("stsb").predictions_of(np.array([[0.5], [-1.25]], dtype=np.float32))
    assert values == [0.5, -1.25] and {type(v) for v in values} == {float}


def test_gold_is_the_label(modality):
    assert modality("stsb").gold(ClassExample("1", "a", "b", 3.5)) == 3.5
