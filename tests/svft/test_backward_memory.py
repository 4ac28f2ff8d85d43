"""What an adapted layer keeps: between forward and backward, resident beside the base model, and in the adapter's file.

Shapes: T tokens, O out_features, I in_features, K = min(O, I), N = |Ω|.
"""

import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, GemmaConfig

from svft import SvftConfig, SvftLinear
from svft.arithmetic.cost import FORMS
from svft.patterns import num_coefficients

PATTERNS = {
    "plain": {"pattern": "plain"},
    "banded": {"pattern": "banded", "d": 2},
    "random": {"pattern": "random", "d": 2},
    "topk": {"pattern": "topk", "d": 2},
    "block": {"pattern": "block", "d": 2, "scaled": True},
    "gradient": {"pattern": "gradient", "d": 2},
    "truncated": {"pattern": "banded", "d": 2, "rank": 20, "truncate_base": True},
}
SHAPES = [(48, 48), (48, 64), (64, 48)]
TOKENS = 5  # T max(O, I) is far below O I and K K

pytestmark = pytest.mark.filterwarnings("ignore:pattern='topk'")
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_pattern = pytest.mark.parametrize("name", PATTERNS)
kept_or_dropped = pytest.mark.parametrize("keep_weight", [True, False], ids=["kept", "dropped"])


def storages(tensors) -> dict[int, torch.Tensor]:
    """One tensor of each distinct storage."""
    return {tensor.untyped_storage().data_ptr(): tensor for tensor in tensors}


def kept_for_backward(model: nn.Module, x: torch.Tensor) -> list[int]:
    """Numbers in each storage that the graph of a forward pass holds, and that is no parameter, buffer or input."""
    saved = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x)
    y.float().sum().backward()
    there = storages([x, *model.parameters(), *model.buffers()])
    new = {address: tensor for address, tensor in storages(saved).items() if address not in there}
    return [tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in new.values()]


@kept_or_dropped
@each_shape
@each_pattern
@pytest.mark.parametrize("form", ["auto", *FORMS])
def test_nothing_of_a_weights_size_is_kept_for_the_backward_pass(adapt, form, name, shape, keep_weight):
    """At most T numbers for each feature, and some for each coefficient; not even a K x K matrix."""
    model, layer = adapt(*shape, torch.float32, form=form, keep_weight=keep_weight, gate=True, **PATTERNS[name])
    x = torch.randn(TOKENS, shape[1], requires_grad=True)
    largest = max(kept_for_backward(model, x))
    assert largest <= max(TOKENS * max(shape), len(layer.svft_m["default"])) < 48 * 48


@each_shape
@each_pattern
@pytest.mark.parametrize("form", ["auto", *FORMS])
def test_under_autocast_no_weight_is_kept_that_the_bare_layer_would_not_keep(adapt, base, form, name, shape):
    """torch keeps a 16-bit copy of a frozen fp32 weight; a dropped weight has none."""
    bare = base(*shape, torch.float32).requires_grad_(False)
    for keep_weight in (True, False):
        model, _ = adapt(*shape, torch.float32, form=form, keep_weight=keep_weight, **PATTERNS[name])
        x = torch.randn(TOKENS, shape[1], requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            large = [size for size in kept_for_backward(model, x) if size >= 48 * 48]
            allowed = [size for size in kept_for_backward(bare, x) if size >= 48 * 48] if keep_weight else []
        assert len(large) <= len(allowed)


@kept_or_dropped
@each_shape
@each_pattern
def test_no_positions_are_held_as_64_bit_integers(adapt, name, shape, keep_weight):
    model, layer = adapt(*shape, torch.float32, keep_weight=keep_weight, **PATTERNS[name])
    N = len(layer.svft_m["default"])
    model(torch.randn(TOKENS, shape[1])).sum().backward()
    held = [*model.buffers(), *(value for value in vars(layer).values() if isinstance(value, torch.Tensor))]
    assert not [tensor.shape for tensor in held if tensor.dtype == torch.int64 and tensor.numel() >= N]
    index = layer.index("default")
    assert index is None or (index.dtype, index.shape) == (torch.int32, (N,))


@kept_or_dropped
@each_shape
@pytest.mark.parametrize("name", ["plain", "banded", "random", "topk", "block", "gradient"])
def test_a_file_holds_the_coefficients_and_what_finds_the_basis_again(adapt, tmp_path, name, shape, keep_weight):
    """4 N bytes of coefficients, 28 of a print, K / 2 of signs; 4 N for Ω of topk and gradient, 16 for random."""
    model, _ = adapt(*shape, torch.float32, keep_weight=keep_weight, **PATTERNS[name])
    model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    held = {key.removeprefix("base_model.model.lin."): tensor.dtype for key, tensor in load_file(file).items()}
    expected = {"svft_m": torch.float32, "basis_print": torch.uint8}
    N = 15**2 if name == "block" else num_coefficients(48, PATTERNS[name].get("d", 0))
    omega, of_print = 0, {"plain": 28, "block": 28 + 16 // 2}.get(name, 28 + 48 // 2)  # signs in whole bytes
    if name == "random":
        expected["svft_omega"], omega = torch.int64, 16
    elif name == "gradient":
        expected["svft_selected"], omega = torch.int32, 4 * N
    elif name == "topk" and shape == (48, 48):  # a band stands in for it elsewhere
        expected["svft_topk"], omega = torch.int32, 4 * N
    assert held == expected
    header = 8 + 200 * len(held)
    assert 4 * N + of_print + omega <= file.stat().st_size <= 4 * N + of_print + omega + header


MODELS = {
    "gemma-2b": {  # arXiv:2403.08295, Table 1; blocks are equal, so 3 of 18 and a sixth of the vocabulary
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "vocab_size": 256_000 // 6,
    },
    "block": {
        "hidden_size": 512,
        "intermediate_size": 4096,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 8,
    },
}


def distinct_bytes(model: nn.Module) -> int:
    tensors = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


@kept_or_dropped
@pytest.mark.parametrize(
    "fields", [{"pattern": "plain"}, {"pattern": "banded", "d": 16}, {"pattern": "random", "d": 16}]
)
@pytest.mark.parametrize("name", MODELS)
def test_adapted_weights_take_at_most_a_quarter_more_than_the_base_model(name, fields, keep_weight):
    """On the meta device, where all rectangular weights are taken to have no singular value near 0.

    A kept square weight takes three times its room. In the one block such weights are a larger part than in the model.
    """
    dtype = torch.bfloat16 if name == "gemma-2b" else torch.float32
    with torch.device("meta"):
        config = GemmaConfig(num_key_value_heads=1, head_dim=256, **MODELS[name])
        model = AutoModelForCausalLM.from_config(config).to(dtype)
    bare = distinct_bytes(model)
    targets = r".*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing on the meta device is initialised
        adapted = peft.get_peft_model(model, SvftConfig(target_modules=targets, keep_weight=keep_weight, **fields))
    layers = [module for module in adapted.modules() if isinstance(module, SvftLinear)]
    assert len(layers) == 7 * MODELS[name]["num_hidden_layers"]
    assert distinct_bytes(adapted) <= (4 / 3 if keep_weight and name == "block" else 5 / 4) * bare


@each_shape
def test_a_second_adapter_that_truncates_keeps_no_factor_of_its_own_either(adapt, shape):
    """It cannot be computed from W0 and one factor, as the first one is."""
    model, _ = adapt(*shape, torch.float32, **PATTERNS["plain"])
    model.add_adapter("other", SvftConfig(target_modules=["lin"], **PATTERNS["truncated"]))
    model.set_adapter("other")
    x = torch.randn(TOKENS, shape[1], requires_grad=True)
    assert max(kept_for_backward(model, x)) < 48 * 48
