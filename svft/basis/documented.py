"""What is said of each field of a configuration, once: for HfArgumentParser in its metadata, for help() in Args."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import Field, fields

from peft.config import PeftConfig


def described(text: str) -> dict[str, str]:
    return {"help": text}


def documented(cls: type[PeftConfig]) -> type[PeftConfig]:
    """Adds all fields to the docstring of a dataclass, its own first, as PEFT's configurations list theirs."""
    of_peft = {each.name for each in fields(PeftConfig)}
    of_bases = {name for base in cls.__mro__[1:] for name in getattr(base, "__dataclass_fields__", ())}
    ordered = sorted(fields(cls), key=lambda each: (each.name in of_peft, each.name in of_bases))
    cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__), "", "Args:", *map(_entry, ordered)])
    return cls


def _entry(each: Field) -> str:
    kind = each.type if isinstance(each.type, str) else inspect.formatannotation(each.type)
    said = textwrap.fill(
        each.metadata["help"], 110, initial_indent=8 * " ", subsequent_indent=8 * " ", break_on_hyphens=False
    )
    return f"    {each.name} (`{kind}`, defaults to `{each.default!r}`):\n{said}"
