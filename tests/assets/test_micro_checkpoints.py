import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaForCausalLM,
    ViTForImageClassification,
)

from assets.make_micro_gemma import make_tokenizer
from assets.make_micro_vit import GLYPHS, preprocess
from assets.manifest import MANIFEST, file_hashes
from assets.pretraining_text import document
from tests.conftest import task_of_yaml

ASSETS = Path(__file__).parents[2] / "assets"
GEMMA, VIT = ASSETS / "micro_gemma", ASSETS / "micro_vit"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("folder", [GEMMA, VIT], ids=lambda folder: folder.name)
def test_shipped_files_are_those_of_the_manifest(folder: Path) -> None:
    assert json.loads((folder / MANIFEST).read_text())["sha256"] == file_hashes(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000


def test_micro_gemma_loads_as_gemma() -> None:
    model = AutoModelForCausalLM.from_pretrained(GEMMA, dtype=torch.float32)
    assert isinstance(model, GemmaForCausalLM)
    names = {
        name.rpartition(".")[2] for name, module in model.model.named_modules() if isinstance(module, torch.nn.Linear)
    }
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(GEMMA))


def test_micro_gemma_calculates() -> None:
    model = AutoModelForCausalLM.from_pretrained(GEMMA, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(GEMMA)
    questions = {"12 + 30 =": " 42.", "50 - 14 =": " 36.", "8 * 6 =": " 48.", "24 / 2 =": " 12."}
    batch = tokenizer(list(questions), padding=True, padding_side="left", return_tensors="pt")
    answers = model.generate(**batch, max_new_tokens=3, do_sample=False)[:, -3:]
    assert tokenizer.batch_decode(answers) == list(questions.values())


def test_every_problem_comes_back_from_the_tokenizer_unchanged() -> None:
    tokenizer = AutoTokenizer.from_pretrained(GEMMA)
    for example in task_of_yaml("micro_gsm", train_size=300).examples("train"):
        ids = tokenizer(example.prompt + example.target)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == example.prompt + example.target
        # Prompt and target may be tokenised apart, as the trainer does.
        assert (
            ids
            == tokenizer(example.prompt)["input_ids"] + tokenizer(example.target, add_special_tokens=False)["input_ids"]
        )


def test_the_shipped_tokenizer_is_the_one_that_the_script_makes() -> None:
    assert AutoTokenizer.from_pretrained(GEMMA).get_vocab() == make_tokenizer().get_vocab()


def test_pretraining_text_has_no_problem_and_no_prompt_of_the_task() -> None:
    rng = random.Random(0)
    text = "\n".join(document(rng) for _ in range(20_000))
    assert "###" not in text
    task = task_of_yaml("micro_gsm")
    for split in ("train", "validation", "test"):
        for example in task.examples(split):
            assert example.prompt.partition("### Instruction:\n")[2].partition("\n\n### Response:")[0] not in text


def test_micro_vit_loads_as_vit_with_a_new_head() -> None:
    model = ViTForImageClassification.from_pretrained(VIT, num_labels=10, dtype=torch.float32)
    assert model.classifier.out_features == 10
    linears = {name for name, module in model.vit.layers[0].named_modules() if isinstance(module, torch.nn.Linear)}
    assert linears == {f"attention.{letter}_proj" for letter in "qkvo"} | {"mlp.fc1", "mlp.fc2"}


def test_the_saved_image_processor_does_what_pretraining_did() -> None:
    images = np.stack([example.image for example in task_of_yaml("digits").examples("validation")])
    processor = AutoImageProcessor.from_pretrained(VIT)
    pixels = processor([image[:, :, None] for image in images], input_data_format="channels_last", return_tensors="pt")[
        "pixel_values"
    ]
    # The processor rounds the resized image to whole grey levels.
    torch.testing.assert_close(pixels, preprocess(images), atol=1.1 / 127.5, rtol=0)


def test_no_digit_is_among_the_glyphs() -> None:
    assert not [glyph for glyph in GLYPHS if unicodedata.numeric(glyph, None) is not None]
    assert len(set(GLYPHS)) == len(GLYPHS)
