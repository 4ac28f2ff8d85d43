"""Role letters: the paper's Q K V O G U D, resolved to exact module paths of one model."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from errors import RoleError

if TYPE_CHECKING:  # role letters are resolved where torch is not needed
    from torch import nn


def require_names(roles: Any, model_name: str) -> None:
    """Raise RoleError where `roles` is something else than names of modules by letter, or nothing."""
    if roles is not None and not (isinstance(roles, Mapping) and all(isinstance(p, str) for p in roles.values())):
        raise RoleError(
            f"model.roles={roles!r} of {model_name} is not names of modules, as {{Q: model.layers.*.q_proj}}"
        )


def path_pattern(roles: Mapping[str, str], letters: str, model_name: str) -> str:
    """Regular expression for the full module paths of `letters`; `*` in a role stands for one component (the block)."""
    require_names(roles, model_name)
    if not isinstance(letters, str):  # as method.targets=null or a number
        raise RoleError(f"{letters!r} are no role letters; those of {model_name} are {', '.join(roles)}, as in QV")
    if twice := next((letter for letter in letters if letters.count(letter) > 1), None):
        raise RoleError(f"role letter {twice!r} is twice in {letters!r}; once is enough")
    there = roles or {}
    unknown = [letter for letter in letters if letter not in there]
    if unknown or not letters:
        named = ", ".join(repr(letter) for letter in unknown) or "''"
        raise RoleError(f"role letter {named} matches no layer of {model_name}; its letters are {', '.join(there)}")
    return "|".join(re.escape(roles[letter]).replace(r"\*", r"[^.]+") for letter in letters)


def generic(path: str) -> str:
    """`path` with `*` for each number in it."""
    return ".".join("*" if part.isdecimal() else part for part in path.split("."))


def check(model: "nn.Module", roles: Mapping[str, str], blocks: int, model_name: str) -> None:
    """Every letter names exactly `blocks` linear layers of `model`; raises RoleError listing the layers otherwise."""
    from harness.layers import linear

    names = linear.layers(model)
    for letter in roles or {}:  # model.roles=null
        pattern = re.compile(path_pattern(roles, letter, model_name))
        found = [name for name in names if pattern.fullmatch(name)]
        if len(found) != blocks:
            kinds = sorted({generic(name) for name in names})
            raise RoleError(
                f"role letter {letter!r} of {model_name} names {len(found)} layers ({roles[letter]}), "
                f"not {blocks}; its linear layers are {', '.join(kinds)}"
            )


def head(model: "nn.Module", names: str | Sequence[str] | None, model_name: str) -> list[str]:
    """The modules that model.head names. Raises RoleError where one names none with tensors: it would train nothing."""
    listed = [names] if isinstance(names, str) else names or []
    if not isinstance(listed, Sequence):
        raise RoleError(f"model.head={names!r} of {model_name} is no name of a module, nor a list of names")
    for name in listed:
        if not any(each.startswith(f"{name}.") for each, _ in model.named_parameters()):
            there = sorted({each.partition(".")[0] for each, _ in model.named_parameters()})
            raise RoleError(f"model.head: no module of {model_name} is named {name!r}; it has {', '.join(there)}")
    return list(listed)
