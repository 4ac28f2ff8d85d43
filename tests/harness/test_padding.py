"""A model whose rows depend on what fills them up, or on what they are to predict, is refused before training."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from errors import SettingError
from harness.modality import fitting, modalities
from harness.modality.padding import require_alone, require_alone_in_class, require_causal
from harness.plan.config import instantiate
from tests.conftest import task_of_yaml
from tests.harness.test_fitting import GPT, OPT
from tests.harness.test_generation import Generation, settings
from tests.harness.test_own_models import DEBERTA, GROUPED, TEXT

ROW, FILLER = [5, 6, 7, 8, 9, 12, 20], 0
POSITIONS = {"max_position_embeddings": 64}
BART = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 40}
RWKV = {"hidden_size": 16, "num_hidden_layers": 2, "attention_hidden_size": 16, "context_length": 64, "vocab_size": 40}
ALONE = {
    "gpt2": GPT | {"n_positions": 64},
    "opt": OPT | POSITIONS,
    "llama": GROUPED | POSITIONS,
    "mistral": GROUPED | POSITIONS | {"sliding_window": 4},
    "bloom": {"hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40},
}
TOGETHER = {"bart": BART | POSITIONS, "rwkv": RWKV}
CLASSIFIERS = {"bert": TEXT, "roberta": TEXT, "deberta-v2": DEBERTA}


def built(kind: str, auto, sizes: dict) -> nn.Module:
    """With weights so large that positions count."""
    torch.manual_seed(0)
    model = auto.from_config(AutoConfig.for_model(kind, **sizes))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.train()


def padded() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A text alone, and in the first row of a batch."""
    alone, ids = torch.tensor([ROW]), torch.tensor([ROW + [FILLER] * 4, [*ROW, 5, 6, 7, 8]])
    mask = torch.ones_like(ids)
    mask[0, len(ROW) :] = 0
    return {"input_ids": alone, "attention_mask": torch.ones_like(alone)}, {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("kind", ALONE)
def test_a_decoder_that_heeds_the_mask_and_the_positions_is_taken(kind):
    model = built(kind, AutoModelForCausalLM, ALONE[kind])
    for dtype in (torch.float32, torch.bfloat16):
        require_causal(model.to(dtype), ROW)
        require_alone(model, ROW, FILLER)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("kind", TOGETHER)
def test_a_decoder_whose_texts_depend_on_what_fills_them_up_is_refused(kind):
    model = built(kind, AutoModelForCausalLM, TOGETHER[kind])
    require_causal(model, ROW)
    with pytest.raises(SettingError, match="depends on the longer texts in its batch.*evaluate.batch_size=1"):
        require_alone(model, ROW, FILLER)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_that_is_loaded_as_a_decoder_is_refused(kind):
    """Its loss falls to nothing, for it reads what it is to predict."""
    with pytest.raises(SettingError, match="depends on the tokens that follow it"):
        require_causal(built(kind, AutoModelForCausalLM, TEXT | POSITIONS), ROW)
    require_causal(built(kind, AutoModelForCausalLM, TEXT | POSITIONS | {"is_decoder": True}), ROW)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_that_heeds_the_mask_is_taken(kind):
    require_alone_in_class(built(kind, AutoModelForSequenceClassification, CLASSIFIERS[kind] | POSITIONS), *padded())


def test_a_classifier_that_knows_no_mask_is_refused():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "vocab_size": 40}
    with pytest.raises(SettingError, match=r"train\.micro_batch_size=1 and evaluate\.batch_size=1"):
        require_alone_in_class(built("fnet", AutoModelForSequenceClassification, sizes | POSITIONS), *padded())


def test_what_is_refused_of_batches_is_taken_row_by_row():
    task = task_of_yaml("micro_gsm", train_size=8, validation_size=4, test_size=8)
    modality = Generation(settings(), task)
    sizes = BART | {"vocab_size": len(modality.tokenizer), "max_position_embeddings": 512}
    model = built("bart", AutoModelForCausalLM, sizes)
    modality.cfg.evaluate.batch_size = 8
    with pytest.raises(SettingError, match=r"evaluate\.batch_size=1"):
        fitting.look(modality, model, [(task, "test")], to_train=False)
    modality.cfg.evaluate.batch_size = 1
    fitting.look(modality, model, [(task, "test")], to_train=False)


def test_texts_to_classify_are_tried_beside_longer_ones(composed):
    cfg = composed("task=micro_rte", "model=micro_deberta", "task.source.train_size=16", "task.source.dev_size=4")
    modality = modalities.choose(cfg, instantiate(cfg.task.source))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "max_position_embeddings": 512}
    model = built("fnet", AutoModelForSequenceClassification, sizes | {"vocab_size": len(modality.tokenizer)})
    with pytest.raises(SettingError, match="depends on the longer texts in its batch"):
        modality.require_rows_alone(model, [])
    cfg.evaluate.batch_size = cfg.train.micro_batch_size = 1
    modality.require_rows_alone(model, [])
