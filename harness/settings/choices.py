"""Settings that no group of the configuration can check by itself."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def no_choice(group: str, choice: str, there: Sequence[str]) -> str:
    return f"there is no {group} {choice!r}; there are {', '.join(there)}{meant(choice, there)}"


def meant(name: str, choices: Iterable[str]) -> str:
    """The end of a sentence that has named the choices; empty where none of them is near."""
    near = get_close_matches(name, list(choices), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
