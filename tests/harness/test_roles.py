"""Role letters, given in a yaml or found in an architecture."""

import copy
import re

import pytest
import torch
from torch import nn

from errors import RoleError
from harness.models import architectures, roles


def tower(blocks: int = 2, **layers: nn.Module) -> nn.Module:
    """A model with linear layers of these names in each block; `__` in a name is a dot."""
    model = nn.Module()
    model.layers = nn.ModuleList()
    for _ in range(blocks):
        block = nn.Module()
        for name, layer in layers.items():
            *parents, leaf = name.split("__")
            node = block
            for parent in parents:
                if not hasattr(node, parent):
                    node.add_module(parent, nn.Module())
                node = getattr(node, parent)
            node.add_module(leaf, copy.deepcopy(layer))
        model.layers.append(block)
    return model


def linear() -> nn.Linear:
    return nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("path", "letter"),
    [
        ("self_attn.q_proj", "Q"),
        ("attention.self.query", "Q"),
        ("attention.self.key_proj", "K"),
        ("attention.v_lin", "V"),
        ("attention.query_key_value", "A"),
        ("attn.Wqkv", "A"),
        ("attention.output.dense", "O"),  # and not D, though it ends in output.dense
        ("output.dense", "D"),
        ("attention.dense", "O"),
        ("intermediate.dense", "U"),
        ("attn.Wo", "O"),
        ("mlp.Wo", "D"),
        ("mlp.gate_proj", "G"),
        ("mlp.gate_up_proj", "F"),
        ("dense", None),
        ("mlp.wq_proj", None),  # no name is matched in part
    ],
)
def test_a_layers_letter_is_that_of_the_longest_name_that_ends_its_path(path, letter):
    assert architectures.letter_of(path) == letter


def test_each_letter_names_one_layer_in_each_block_and_layers_outside_have_none():
    model = tower(self_attn__q_proj=linear(), mlp__fc1=linear(), pos_proj=linear())
    model.embeddings_project = linear()
    found = architectures.find_roles(model, "mine")
    assert found == {"Q": "layers.*.self_attn.q_proj", "U": "layers.*.mlp.fc1"}
    assert architectures.count_blocks(model, found, "mine") == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (tower(attn__q_proj=linear(), mixer=linear()), "no role letter is known for layers.*.mixer of mine"),
        (tower(a__q_proj=linear(), b__q_proj=linear()), "Q fits layers.*.a.q_proj and layers.*.b.q_proj of mine"),
        (tower(experts=nn.ModuleList([linear()])), "no role letter is known for layers.*.experts.* of mine"),
        (nn.Sequential(), "mine has no linear layers in numbered blocks"),
    ],
)
def test_what_no_letter_can_name_is_refused_with_the_remedy(model, message):
    with pytest.raises(RoleError, match=re.escape(message) + ".*model.roles='{Q: "):
        architectures.find_roles(model, "mine")


def test_stacked_experts_are_refused():
    experts = nn.Module()
    experts.gate_up_proj = nn.Parameter(torch.zeros(4, 2, 2))
    with pytest.raises(RoleError, match=r"layers\.\*\.experts of mine is a Module, not a torch.nn.Linear"):
        architectures.find_roles(tower(attn__q_proj=linear(), experts=experts), "mine")


def test_letters_given_by_hand_that_name_nothing_are_refused():
    model = tower(attn__q_proj=linear())
    by_hand = {"Q": "layers.*.attn.q"}
    blocks = architectures.count_blocks(model, by_hand, "mine")
    with pytest.raises(RoleError, match=r"names 0 layers .*its linear layers are layers\.\*\.attn\.q_proj"):
        roles.check(model, by_hand, blocks, "mine")


def test_a_letter_in_some_blocks_only_is_refused():
    model = tower(attn__q_proj=linear(), fc1=linear())
    del model.layers[1].attn
    found = architectures.find_roles(model, "mine")
    with pytest.raises(RoleError, match="'Q' of mine names 1 layers .* not 2"):
        roles.check(model, found, architectures.count_blocks(model, found, "mine"), "mine")


def test_the_head_is_the_module_that_grows_with_the_classes():
    def build(labels: int) -> nn.Module:
        return nn.ModuleDict({"pre_classifier": linear(), "body": linear(), "score": nn.Linear(2, labels)})

    assert architectures.find_head(build, "mine") == "score"


def test_a_model_whose_head_cannot_be_told_asks_for_its_name():
    with pytest.raises(RoleError, match="not one module .found: none.; name it: model.head=NAME"):
        architectures.find_head(lambda labels: linear(), "mine")
