import json
import random
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DebertaV2ForSequenceClassification
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Model

from assets.glue_text import document
from assets.make_micro_deberta import MASKED, MAX_LENGTH, SPECIAL_TOKENS, make_tokenizer, mask
from assets.manifest import MANIFEST, file_hashes
from harness.models import bases
from tasks.micro_glue import DRAWS, MicroRows

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "assets" / "micro_deberta"
SIZES = {  # in which the micro model differs from DeBERTaV3-base
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
    "max_position_embeddings", "position_buckets", "pooler_hidden_size",
}  # fmt: skip


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


def rows(part: str, size: int) -> list[tuple]:
    return [
        row for subset in DRAWS for row in MicroRows(subset, part, train_size=size, dev_size=size, data_seed=0).rows()
    ]


def test_shipped_files_are_those_of_the_manifest() -> None:
    assert json.loads((FOLDER / MANIFEST).read_text())["sha256"] == file_hashes(FOLDER)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000


def test_every_weight_of_the_backbone_comes_from_the_checkpoint() -> None:
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        FOLDER, num_labels=3, dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    assert isinstance(model, DebertaV2ForSequenceClassification)
    assert isinstance(model.deberta, DebertaV2Model)
    assert {key.split(".")[0] for key in loading["missing_keys"]} == {"pooler", "classifier"}
    assert not loading["unexpected_keys"]
    assert not loading["mismatched_keys"]


def test_the_harness_loads_it_with_the_roles_of_its_yaml() -> None:
    cfg = OmegaConf.load(ROOT / "conf" / "model" / "micro_deberta.yaml")
    model = bases.load(cfg, "text_classification", num_labels=2)
    assert model.classifier.out_features == 2
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in model.parameters())
    assert bases.load_tokenizer(cfg).pad_token_id == model.config.pad_token_id


def test_it_differs_from_deberta_v3_base_in_sizes_alone() -> None:
    large = OmegaConf.load(ROOT / "conf" / "model" / "deberta_v3_base.yaml").architecture
    small = json.loads((FOLDER / "config.json").read_text())
    # The released configuration has the default dropout of 0.1, which the yaml does not repeat.
    assert {key for key in large if small[key] != large[key]} == SIZES


def test_the_shipped_tokenizer_is_the_one_that_the_script_makes(tokenizer) -> None:
    assert tokenizer.get_vocab() == make_tokenizer().get_vocab()


@pytest.mark.parametrize("part", ["train", "dev", "dev_mm"])
def test_every_word_of_the_tasks_is_known_and_fits(tokenizer, part: str) -> None:
    for row in rows(part, size=600):
        ids = tokenizer(*row[:-1])["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= MAX_LENGTH == tokenizer.model_max_length


def test_a_pair_is_laid_out_as_deberta_does(tokenizer) -> None:
    batch = tokenizer("Tom sees a dog.", "Is it big?")
    words = tokenizer.convert_ids_to_tokens(batch["input_ids"])
    assert words == ["[CLS]", "tom", "sees", "a", "dog", ".", "[SEP]", "is", "it", "big", "?", "[SEP]"]
    assert batch["token_type_ids"] == [0] * 7 + [1] * 5


def test_pretraining_text_has_no_pair_of_the_tasks() -> None:
    rng = random.Random(0)
    told = {" ".join(document(rng)) for _ in range(20_000)}
    for *texts, _ in rows("train", size=400) + rows("dev", size=200) + rows("dev_mm", size=200):
        if len(texts) == 2:
            assert " ".join(texts) not in told
            assert " ".join(reversed(texts)) not in told


def test_masking_hides_a_fifth_of_the_words_and_asks_for_what_was_there(tokenizer) -> None:
    ids = torch.full((200, 100), len(SPECIAL_TOKENS))
    ids[:, 0], ids[:, -1] = tokenizer.cls_token_id, tokenizer.pad_token_id
    masked, labels = mask(ids, tokenizer, torch.Generator().manual_seed(0))
    guessed = labels != -100
    assert not guessed[:, [0, -1]].any()
    assert torch.equal(masked[~guessed], ids[~guessed])
    assert torch.equal(labels[guessed], ids[guessed])
    assert guessed.sum() / (200 * 98) == pytest.approx(MASKED, abs=0.01)
    assert (masked[guessed] == tokenizer.mask_token_id).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (masked[guessed] == ids[guessed]).float().mean() == pytest.approx(0.1, abs=0.02)
