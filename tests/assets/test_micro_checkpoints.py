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
    GPTNeoXForCausalLM,
    ViTForImageClassification,
)

from assets import commonsense_text, make_micro_pythia
from assets.make_micro_gemma import make_tokenizer
from assets.make_micro_vit import GLYPHS, preprocess
from assets.manifest import MANIFEST, file_hashes
from assets.pretraining_text import document
from harness.models import bases, pretrained
from tasks.micro.questions import KINDS
from tests.conftest import task_of_yaml

ASSETS = Path(__file__).parents[2] / "assets"
GEMMA, VIT = ASSETS / "micro_gemma", ASSETS / "micro_vit"
PYTHIA = {step: ASSETS / "micro_pythia" / f"step{step}" for step in (1000, 5000)}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("folder", [GEMMA, VIT, *PYTHIA.values()], ids=lambda folder: folder.name)
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


# --- micro-Pythia: two steps of one pre-training ---


@pytest.fixture(params=PYTHIA)
def step(request) -> int:
    return request.param


def pythia(step: int) -> GPTNeoXForCausalLM:
    return AutoModelForCausalLM.from_pretrained(PYTHIA[step], dtype=torch.float32)


def test_micro_pythia_has_no_other_folders_and_is_small() -> None:
    assert sorted(path.name for path in (ASSETS / "micro_pythia").iterdir()) == ["step1000", "step5000"]
    assert sum(path.stat().st_size for folder in PYTHIA.values() for path in folder.iterdir()) < 5_000_000


def test_the_step_picks_the_checkpoint_and_the_harness_loads_it(composed, step: int) -> None:
    cfg = composed("model=micro_pythia", f"model.step={step}").model
    model = bases.load(cfg, "generation")  # checks the role letters
    assert isinstance(model, GPTNeoXForCausalLM)
    assert model.config.use_parallel_residual
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), pythia(step).parameters(), strict=True))
    assert model.config.vocab_size == len(bases.load_tokenizer(cfg))
    assert json.loads((PYTHIA[step] / MANIFEST).read_text())["step"] == step


def test_the_default_step_is_the_late_one_and_the_steps_are_other_models(composed) -> None:
    late = composed("model=micro_pythia").model
    assert late.step == max(PYTHIA)
    assert pretrained.fingerprint(late) != pretrained.fingerprint(
        composed("model=micro_pythia", "model.step=1000").model
    )


def test_the_real_pythia_takes_the_step_from_the_branch_of_the_hub(composed) -> None:
    assert composed("model=pythia_2_8b").model.revision == "step143000"
    assert composed("model=pythia_2_8b", "model.step=39000").model.revision == "step39000"


@pytest.mark.parametrize("text", [document, commonsense_text.document], ids=["numbers", "facts"])
def test_the_late_checkpoint_predicts_new_pretraining_text_better(text) -> None:
    tokenizer = AutoTokenizer.from_pretrained(PYTHIA[5000])
    rng = random.Random("new documents")
    batch = tokenizer([text(rng) for _ in range(32)], padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with torch.no_grad():
        losses = {step: pythia(step)(**batch, labels=labels).loss.item() for step in PYTHIA}
    assert losses[5000] < losses[1000]


def test_the_tokenizer_of_both_steps_is_the_one_that_the_script_makes() -> None:
    made = make_micro_pythia.make_tokenizer().get_vocab()
    for folder in PYTHIA.values():
        assert AutoTokenizer.from_pretrained(folder).get_vocab() == made


def test_every_text_of_both_micro_tasks_comes_back_from_the_pythia_tokenizer(step: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(PYTHIA[step])
    sums, facts = task_of_yaml("micro_gsm"), task_of_yaml("micro_commonsense")
    examples = [e for split in ("train", "validation", "test") for e in sums.examples(split)]
    examples += facts.examples("train")
    examples += [e for b in facts.benchmarks.values() for split in b.splits for e in b.examples(split)]
    texts = {prompt + e.target: prompt for e in examples for prompt in (e.prompt, e.eval_prompt)}
    together = tokenizer(list(texts))["input_ids"]
    assert tokenizer.batch_decode(together, skip_special_tokens=True) == list(texts)
    assert not any(tokenizer.unk_token_id in ids for ids in together)
    assert max(map(len, together)) < 120
    # Prompt and target may be tokenised apart, as the trainer does.
    prompts = tokenizer(list(texts.values()))["input_ids"]
    targets = tokenizer([text.removeprefix(prompt) for text, prompt in texts.items()], add_special_tokens=False)[
        "input_ids"
    ]
    assert [a + b for a, b in zip(prompts, targets, strict=True)] == together


def test_training_and_evaluation_prompts_of_commonsense_are_spelt_with_the_same_tokens(step: int) -> None:
    """The released templates differ in white space; no token of the one that is asked may be new to the model."""
    tokenizer = AutoTokenizer.from_pretrained(PYTHIA[step])
    example = task_of_yaml("micro_commonsense").examples("train")[0]
    trained, asked = (set(tokenizer(prompt)["input_ids"]) for prompt in (example.prompt, example.eval_prompt))
    assert example.prompt != example.eval_prompt
    assert asked == trained


def test_a_word_that_the_tokenizer_does_not_know_is_spelt(step: int) -> None:
    tokenizer = AutoTokenizer.from_pretrained(PYTHIA[step])
    ids = tokenizer("Quokkas? 42", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == "Quokkas? 42"


def test_text_about_facts_has_no_question_and_no_prompt_of_the_task() -> None:
    rng = random.Random(0)
    text = "\n".join(commonsense_text.document(rng) for _ in range(10_000))
    assert "?" not in text
    assert "###" not in text
    assert "correct" not in text
    for kind in KINDS.values():
        assert kind.opening not in text
        assert kind.ending not in text
