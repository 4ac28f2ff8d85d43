"""A run's model built without weights: what it trains, and what it needs of a GPU's memory."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from omegaconf import DictConfig, OmegaConf
from peft.tuners.boft import layer as boft_layer
from torch import nn

from errors import SettingError
from harness.adapters.adapt import Adapted, adapt
from harness.models import bases, pretrained
from harness.plan import config

GRADIENT, MOMENTS = 4, 8  # bytes of a trained fp32 number beside itself: its gradient, and AdamW's two moments
_NOT_BUILT_FROM = ("architectures", "transformers_version", "id2label", "label2id", "dtype")
MADE_UP = 50_000_000  # weights up to which a model is filled with random ones, where a method looks at them
NUM_LABELS = 2  # any number: a head is counted apart


@dataclass(frozen=True)
class Memory:
    """Estimated bytes on one device at the peak of an optimiser step."""

    weights: int  # base model and adapter, decomposition included
    training: int  # gradients and optimiser state
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.training + self.activations


@contextmanager
def butterfly_extension(state: str) -> Iterator[None]:
    """Pretend that PEFT's CUDA extension is "present" or "absent"; "" leaves PEFT alone.

    Where it is absent PEFT builds one butterfly factor, whatever is asked for. Where it is present PEFT builds the
    requested ones; only their forward pass runs the extension. The frozen permutations (dense n x n, filled entry by
    entry) stay empty, on the meta device.
    """
    if not state:
        yield
        return
    layer = boft_layer.BOFTLayer
    kept = boft_layer.get_fbd_cuda, layer.block_butterfly_perm, layer.perm2mat
    boft_layer.get_fbd_cuda = lambda: state == "present"
    layer.block_butterfly_perm = lambda self, *sizes: None
    layer.perm2mat = lambda self, indices: 0.0
    try:
        with torch.device("meta"):
            yield
    finally:
        boft_layer.get_fbd_cuda, layer.block_butterfly_perm, layer.perm2mat = kept


@contextmanager
def butterfly_kernel_without_values() -> Iterator[None]:
    """Put operators of torch in the place of the extension's kernel, which has none for the meta device."""
    kept = boft_layer.FastBlockDiag
    boft_layer.FastBlockDiag = _BlockDiagonal
    try:
        yield
    finally:
        boft_layer.FastBlockDiag = kept


class _BlockDiagonal:
    @staticmethod
    def apply(blocks: torch.Tensor) -> torch.Tensor:
        """(n, D, H, H) to (n, D H, D H)."""
        n, D, H, _ = blocks.shape
        return torch.diag_embed(blocks.permute(0, 2, 3, 1)).permute(0, 3, 1, 4, 2).reshape(n, D * H, D * H)


def adapted_without_weights(cfg: DictConfig, extension: str) -> Adapted:
    """The model of `cfg` with its method attached, on the meta device, the base in its stated dtype."""
    with butterfly_extension(extension), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing on the meta device is initialised
        try:
            return adapt(_without_values(cfg), config.instantiate(cfg.method.adapter), cfg.model.head)
        except NotImplementedError:  # of torch, since FRoD and SHiRA look at values
            with torch.device("cpu"):
                return adapt(_with_any_values(cfg), config.instantiate(cfg.method.adapter), cfg.model.head)


def _without_values(cfg: DictConfig) -> nn.Module:
    model = bases.build(with_architecture(cfg.model), num_labels=NUM_LABELS if cfg.model.head else None)
    return model.to(getattr(torch, cfg.model.dtype))


def _with_any_values(cfg: DictConfig) -> nn.Module:
    """Raises SettingError for a model that is too large to make up."""
    model = _without_values(cfg)
    size = sum(parameter.numel() for parameter in model.parameters())
    if size > MADE_UP:
        raise SettingError(
            f"what {cfg.method.label} trains can be counted on weights alone, and {cfg.model.label} has {size} "
            "of them; leave it out of the plan, or take a smaller model"
        )
    generator = torch.Generator().manual_seed(0)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
    return model


def with_architecture(model: DictConfig) -> DictConfig:
    """The model section; where it leaves the architecture to the checkpoint, with what the checkpoint's config says.

    Raises ModelError.
    """
    if "architecture" in model:
        return model
    architecture = pretrained.configuration(model).to_dict()
    return OmegaConf.merge(model, {"architecture": {k: v for k, v in architecture.items() if k not in _NOT_BUILT_FROM}})


def trained_and_memory(cfg: DictConfig) -> tuple[int, Memory]:
    """Parameters trained without the head, and the memory of a step; BOFT with the factors that were asked for."""
    resolved = config.resolve(cfg)
    sections = json.dumps({group: resolved[group] for group in ("model", "method")}, sort_keys=True)
    return _trained_and_memory(sections, resolved["train"]["micro_batch_size"], resolved["train"]["max_length"])


@cache
def _trained_and_memory(sections: str, batch: int, length: int) -> tuple[int, Memory]:
    adapted = adapted_without_weights(OmegaConf.create(json.loads(sections)), "present")
    trained = adapted.parameters["adapter"] + adapted.parameters["head"]
    tensors = {id(t): t for t in [*adapted.model.parameters(), *adapted.model.buffers()]}.values()
    weights = sum(t.numel() * t.element_size() for t in tensors)
    return adapted.parameters["adapter"], Memory(
        weights, trained * (GRADIENT + MOMENTS), activation_bytes(adapted.model, batch, length)
    )


def activation_bytes(model: nn.Module, batch: int, length: int) -> int:
    """Of one forward pass kept for backward, without recomputation: s b h L (34 + 5 a s / h) at 16 bits.

    Korthikanti et al. 2022, arXiv:2205.05198, eq. 2: s tokens, b examples, h wide, L layers, a heads; written for a
    4h-wide MLP, so it is rough for other shapes. Images have their patches for tokens. Logits of a language model are
    added in fp32, twice.
    """
    text = model.config if hasattr(model, "config") else model.base_model.model.config
    tokens = (text.image_size // text.patch_size) ** 2 + 1 if hasattr(text, "patch_size") else length
    h, layers, heads = text.hidden_size, text.num_hidden_layers, text.num_attention_heads
    kept = tokens * batch * h * layers * (34 + 5 * heads * tokens / h)
    vocabulary = 0 if hasattr(text, "patch_size") else getattr(text, "vocab_size", 0)
    return int(kept + 2 * 4 * tokens * batch * vocabulary)
