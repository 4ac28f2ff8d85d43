"""What training changed, on disk: a PEFT adapter, or the trained weights of a model without one.

Some of PEFT's own tuners work out a part of the adapter wherever it is loaded, from the base weights (PSOFT: singular
vectors) or a seed (RandLoRA: random matrices). Another library or precision can give another part, and so another
function without a word. Beside such an adapter lies a print: what it does to a few inputs, and has to do when reloaded.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, set_peft_model_state_dict
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import CONFIG_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from errors import Damaged, ModelError
from harness.layers import linear

WEIGHTS = "trained.safetensors"
PEFT_WEIGHTS = "adapter_model.safetensors"
PRINT = "print.safetensors"
PROBES = 4  # numbers of a print in a layer
SAME = 0.1  # share of what an adapter does by which a reload can be off, beside the rounding of the layer's own output:
ROUNDING, ROUNDING_OF_16_BITS = 1e-3, 1e-2


def save(model: nn.Module, folder: Path) -> None:
    if isinstance(model, PeftModel):
        # False: no embedding is trained, and PEFT would ask the hub about the vocabulary otherwise.
        model.save_pretrained(str(folder), save_embedding_layers=False)
        _sort_sets(model.active_peft_config, folder / CONFIG_NAME)
        if _lacks_something(model):
            save_file(_print(model)[0], str(folder / PRINT))
        return
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(tensors, str(folder / WEIGHTS))


def _sort_sets(config: PeftConfig, path: Path) -> None:
    """In the adapter_config.json that PEFT wrote, whose sets are in the order of hashes that differ by process."""
    content = json.loads(path.read_text(encoding="utf-8"))
    sets = {name: sorted(value) for name, value in vars(config).items() if isinstance(value, set)}
    if sets:
        path.write_text(json.dumps(content | sets, indent=2, sort_keys=True), encoding="utf-8")


def save_configuration(model: nn.Module, folder: Path) -> None:
    """Write config.json beside a classifier, so that the base model can be loaded with its number and names of classes.

    A PEFT adapter contains the classifier's weights but not the number of classes, so it cannot be loaded alone.
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if isinstance(base, PreTrainedModel) and base.config.problem_type is not None:
        config = copy.deepcopy(base.config)
        config.architectures = [type(base).__name__]  # a checkpoint may have been another kind of model
        config.save_pretrained(folder)


def load(model: nn.Module, folder: Path) -> None:
    """Load into a model that was adapted in the same way.

    Raises Damaged if the tensors are not those of this model, and ModelError where it does not do what its print says.
    """
    if isinstance(model, PeftModel):
        result = set_peft_model_state_dict(model, tensors(folder / PEFT_WEIGHTS))
        if result.unexpected_keys:
            raise Damaged(folder / PEFT_WEIGHTS, f"this model has no {result.unexpected_keys[0]}")
        if (folder / PRINT).exists():
            _check_print(model, folder)
        return
    found = tensors(folder / WEIGHTS)
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in wanted.items():
        if name not in found or found[name].shape != parameter.shape:
            raise Damaged(folder / WEIGHTS, f"{name} is not in it, or has another shape than in this model")
        parameter.data.copy_(found[name])


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises Damaged if it is truncated or its header cannot be read."""
    try:
        return load_file(str(path))
    except (SafetensorError, FileNotFoundError, IsADirectoryError) as error:
        raise Damaged(path, str(error)) from error


@torch.no_grad()
def effects(model: nn.Module, rows: int) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Of each adapted linear layer its name, dW x and W x in float32, (rows, outputs), for white noise x.

    Weights that an adapter changed when it was attached, as PiSSA does, count as they are now.
    """
    generator, training = torch.Generator().manual_seed(0), [(module, module.training) for module in model.modules()]
    model.eval()  # dropout would draw random numbers that training is to draw
    try:
        for name, layer in model.named_modules():
            if isinstance(layer, BaseTunerLayer) and type(base := layer.get_base_layer()) in linear.KINDS:
                x = torch.randn(rows, linear.inputs(base), generator=generator).to(base.weight)
                without = nn.functional.linear(x, linear.matrix(base)).float()
                bias = 0 if base.bias is None else base.bias.float()
                yield name, layer(x).float() - bias - without, without
    finally:
        for module, was in training:
            module.training = was


def _lacks_something(model: PeftModel) -> bool:
    """Whether a tuner of PEFT's own keeps out of its file what the adapter needs. Ours have prints in their files."""
    if type(model.active_peft_config).__module__.partition(".")[0] != "peft":
        return False
    kept_out = (each for each in model.modules() if isinstance(each, BufferDict) and not each.persistent)
    return any(len(each) > 0 for each in kept_out) and not _is_sharded(model)


def _is_sharded(model: nn.Module) -> bool:
    return any(hasattr(parameter, "to_local") for parameter in model.parameters())


def _print(model: nn.Module) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What the adapter does to random inputs, seen from random directions, by layer; and the size of what W does."""
    done, sizes = {}, []
    for name, moved, without in effects(model, PROBES):
        signs = torch.randn(moved.shape, generator=torch.Generator().manual_seed(1)).sign().to(moved)
        done[name] = (moved * signs).sum(dim=1).cpu()
        sizes.append((without * signs).sum(dim=1).norm().cpu())
    return done, torch.stack(sizes).norm()


def _check_print(model: nn.Module, folder: Path) -> None:
    if _is_sharded(model):
        return
    expected, (found, size) = tensors(folder / PRINT), _print(model)
    there = torch.cat([expected[name] for name in found])
    off = (torch.cat(list(found.values())) - there).norm()
    in_16_bits = next(model.parameters()).dtype.itemsize < 4
    if not off <= SAME * there.norm() + size * (ROUNDING_OF_16_BITS if in_16_bits else ROUNDING):
        raise ModelError(
            f"{folder}: loaded here, this {model.active_peft_config.peft_type.value} adapter is off by "
            f"{off / there.norm():.0%} of what it does where it was trained, as a part that its file lacks is another "
            "here; load it with the libraries, the device, the number of threads, the seed and the "
            "data type of the training"
        )
