"""What a model's yaml states, found in the checkpoint's configuration: role letters, blocks, head.

Letters: Q K V O G U D as in the paper; A is a matrix that holds Q, K and V together, F one that holds G and U.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from torch import nn

from errors import RoleError
from harness.layers import linear
from harness.models.roles import generic, path_pattern

# How transformers' models name them, by the end of a layer's path inside its block; the longest that fits counts.
NAMES = {
    "Q": ("q_proj", "query_proj", "query", "q_lin", "attn.q"),
    "K": ("k_proj", "key_proj", "key", "k_lin", "attn.k"),
    "V": ("v_proj", "value_proj", "value", "v_lin", "attn.v"),
    "A": ("query_key_value", "qkv_proj", "qkv", "Wqkv", "attn.c_attn", "attention.self.in_proj"),
    "O": (
        "o_proj", "out_proj", "out_lin", "attn.o", "Wo", "attn.c_proj", "attention.output.dense",
        "attention.dense", "self_attn.dense", "self_attention.dense",
    ),
    "U": ("up_proj", "fc1", "fc_in", "c_fc", "lin1", "dense_h_to_4h", "intermediate.dense"),
    "D": ("down_proj", "fc2", "fc_out", "mlp.c_proj", "lin2", "dense_4h_to_h", "output.dense", "mlp.Wo"),
    "G": ("gate_proj",),
    "F": ("gate_up_proj", "mlp.Wi"),
}  # fmt: skip
ORDER = "QKVAOUDGF"

_LETTERS = {ending: letter for letter, endings in NAMES.items() for ending in endings}


def letter_of(path: str) -> str | None:
    """The letter of a layer by its path inside the block; None where no known name fits."""
    parts = path.split(".")
    endings = (".".join(parts[start:]) for start in range(len(parts)))  # longest first
    return next((_LETTERS[ending] for ending in endings if ending in _LETTERS), None)


def find_roles(model: nn.Module, model_name: str) -> dict[str, str]:
    """Letter -> module path with `*` for the block, over every linear layer inside the blocks.

    Layers outside the blocks (embeddings, pooler, head) and projections of positions (`pos_*`) get no letter.

    Raises RoleError where a layer has no known name, two share a letter, or the blocks hold matrices of other kinds.
    """
    paths = sorted({generic(name) for name in linear.layers(model) if generic(name) != name})
    paths = [path for path in paths if not path.rpartition(".")[2].startswith("pos_")]
    _refuse_other_matrices(model, model_name)
    if not paths:
        raise RoleError(f"{model_name} has no linear layers in numbered blocks; {_by_hand()}")
    by_letter: dict[str | None, list[str]] = defaultdict(list)
    for path in paths:
        by_letter[None if path.count("*") > 1 else letter_of(path.partition("*.")[2])].append(path)
    if unknown := by_letter.pop(None, []):
        raise RoleError(f"no role letter is known for {', '.join(unknown)} of {model_name}; {_by_hand()}")
    for letter, found in by_letter.items():
        if len(found) > 1:
            raise RoleError(f"role letter {letter} fits {' and '.join(found)} of {model_name}; {_by_hand()}")
    return {letter: by_letter[letter][0] for letter in ORDER if letter in by_letter}


def _refuse_other_matrices(model: nn.Module, model_name: str) -> None:
    """The stacked experts of a mixture are weights that no letter can name."""
    for name, module in model.named_modules():
        experts = any(p.ndim == 3 for p in module.parameters(recurse=False)) and not isinstance(module, nn.Conv1d)
        if generic(name) != name and experts:
            raise RoleError(
                f"{generic(name)} of {model_name} is a {type(module).__name__}, not a torch.nn.Linear, "
                f"so no role letter can name it; {_by_hand()}"
            )


def count_blocks(model: nn.Module, roles: Mapping[str, str], model_name: str) -> int:
    """Layers of the letter that names most; at least 1, so that `roles.check` refuses letters that name none."""
    names = linear.layers(model)
    patterns = [re.compile(path_pattern(roles, letter, model_name)) for letter in roles or {}]
    return max([1, *(sum(bool(pattern.fullmatch(name)) for name in names) for pattern in patterns)])


def find_head(build: Callable[[int], nn.Module], model_name: str, absent: Collection[str] = ()) -> str | list[str]:
    """The top-level module whose shapes follow the number of classes, and what else is as new as it is.

    That may be other top-level modules without blocks, and the pooler of the base model: pre-training does without
    them, so that a checkpoint may hold none of their tensors. Of the rest of a model it holds all, or it is not whole.
    build: number of classes -> model without weights.  absent: names of tensors that the checkpoint lacks.

    Raises RoleError where the shapes of not exactly one such module follow the number of classes.
    """
    model, more = build(2), dict(build(3).named_parameters())
    shapes = {name: p.shape for name, p in model.named_parameters()}
    modules = [f"{getattr(model, 'base_model_prefix', '')}.pooler", *(name for name, _ in model.named_children())]
    tensors = {module: [name for name in shapes if name.startswith(f"{module}.")] for module in modules}
    classify = [each for each in modules[1:] if any(more[name].shape != shapes[name] for name in tensors[each])]
    if len(classify) != 1:
        found = ", ".join(classify) or "none"
        raise RoleError(
            f"the classification head of {model_name} is not one module (found: {found}); name it: model.head=NAME"
        )
    new = [each for each in modules if each in classify or _is_new(tensors[each], absent)]
    return new[0] if len(new) == 1 else new


def _is_new(tensors: Sequence[str], absent: Collection[str]) -> bool:
    has_blocks = any(generic(name) != name for name in tensors)
    return bool(tensors) and not has_blocks and all(name in absent for name in tensors)


def _by_hand() -> str:
    return "name the layers to adapt, `*` for the block: model.roles='{Q: path.*.to.layer, ...}'"
