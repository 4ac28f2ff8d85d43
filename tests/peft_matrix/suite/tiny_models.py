"""The models of PEFT's tests, tiny and random, in place of those on the hub: an id is a folder that `save` writes.

PEFT's tests skip by what is in an id ("gpt2" what a tuner without Conv1D cannot do, "llama" what
needs biases), so ours have neither.
"""

from pathlib import Path

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    DebertaV2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    RobertaConfig,
)

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 64}
# Weights of the order of one: with those of 0.02 an adapter hardly changes the output.
LARGE = {"initializer_range": 0.3, "max_position_embeddings": 32, "intermediate_size": 24}
LLAMA = LlamaConfig(**SIZES, **LARGE, num_key_value_heads=1, head_dim=6, pad_token_id=0)  # q_proj is not square
GPT2 = GPT2Config(
    n_embd=16,
    n_layer=2,
    n_head=2,
    vocab_size=64,
    n_positions=32,
    initializer_range=0.3,
    bos_token_id=2,
    eos_token_id=2,
    pad_token_id=0,
)
ROBERTA = RobertaConfig(**SIZES, **LARGE)
DEBERTA = DebertaV2Config(
    **SIZES, **LARGE, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], share_att_key=True
)

MODELS: dict[str, dict[str, PreTrainedConfig]] = {
    "decoder": {"gqa": LLAMA, "conv1d": GPT2},
    "classifier": {"gqa-score": LLAMA, "roberta-classifier": ROBERTA},
    "features": {"deberta-v2": DEBERTA},
}
CLASSES = {
    "decoder": AutoModelForCausalLM,
    "classifier": AutoModelForSequenceClassification,
    "features": AutoModel,
}
# Layers that one list names in all of them, both square and not.
TARGETS = ["q_proj", "down_proj", "c_attn", "query", "query_proj", "intermediate.dense"]


def save(folder: Path) -> None:
    for kind, configs in MODELS.items():
        for model_id, config in configs.items():
            torch.manual_seed(0)
            CLASSES[kind].from_config(config).save_pretrained(folder / model_id)
