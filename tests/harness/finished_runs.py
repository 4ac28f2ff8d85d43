"""Small runs on data of one's own that have ended: what is predicted with and exported. Made once, when asked for."""

import csv
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

import run
from harness.run import command_line
from tests.conftest import ROOT, _composition

DATA = ROOT / "tests" / "tasks" / "data"
CLASSES = ("bad", "good", "so, so")
WORDS = ["dull", "fine", "plain", *"a b c d e f g h".split()]  # the first three tell the class
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
TINY = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def write_texts(path: Path, rows: int = 30) -> None:
    """Columns text and label."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for row in range(rows):
            words = [WORDS[row % 3], *(WORDS[3 + (row * k) % 8] for k in range(1, 2 + row % 7))]
            table.writerow([" ".join(words), CLASSES[row % 3]])


def write_bert(folder: Path) -> None:
    """A checkpoint of two classes, whose classifier has none of the task's shape."""
    vocabulary = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    names = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "CLS", "SEP", "UNK")}
    PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", **TINY, vocab_size=len(vocabulary), initializer_range=0.3)
    config.id2label = {0: "NEGATIVE", 1: "POSITIVE"}
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)


def done(folder: Path, *overrides: str) -> Path:
    """The folder of the run, which is new in `folder`."""
    before = set(folder.rglob("seed=*"))
    command_line.failures.clear()
    run.main(_composition((f"runs_dir={folder}/runs", "wandb.mode=disabled", *overrides)).copy())
    assert not command_line.failures
    (found,) = set(folder.rglob("seed=*")) - before
    return found


class Finished:
    """finished.texts(), ... -> the folder of a run. Each is trained once, in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.texts, self.images, self.questions = map(cache, (self._texts, self._images, self._questions))

    @property
    def csv(self) -> Path:
        return self.folder / "texts.csv"

    def _texts(self, *method: str) -> Path:
        if not self.csv.exists():
            write_texts(self.csv)
            write_bert(self.folder / "bert")
        return done(
            self.folder, "task=classification", f"task.source.train={self.csv}", "model=encoder",
            f"model.checkpoint={self.folder}/bert", "train.max_steps=20", "train.lr=0.03", "train.head_lr=0.03",
            "evaluate.batch_size=4", *method,
        )  # fmt: skip

    def _images(self, *overrides: str) -> Path:
        return done(
            self.folder, "task=image_folder", f"task.source.root={DATA}/vision/folder", "model=micro_vit",
            "train.max_steps=20", *overrides,
        )  # fmt: skip

    def _questions(self) -> Path:
        return done(
            self.folder, "task=generation", f"task.source.train={DATA}/own_generation.jsonl", "method=lora",
            "task.source.prompt=question", "task.source.target=solution", "task.max_new_tokens=6", "train.max_steps=2",
            "evaluate.splits=[test]",
        )  # fmt: skip
