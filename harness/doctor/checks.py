"""Checks of a machine: each gives findings, and none can crash the page, keep it waiting or show a secret."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from huggingface_hub import get_token

Verdict = Literal["ok", "note", "problem"]
SECONDS = 15  # for one check; its own calls to the outside end after 3
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY")
HIDDEN = "***"


@dataclass(frozen=True)
class Finding:
    """`what` is a sentence; `remedy` says what to do where the verdict is no "ok", as a command if there is one."""

    verdict: Verdict
    what: str
    remedy: str = ""


Check = Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Section:
    title: str
    checks: Sequence[Check]


def examine(section: Section, seconds: float = SECONDS) -> list[Finding]:
    return [_without_secrets(finding) for check in section.checks for finding in _run(check, seconds)]


def _run(check: Check, seconds: float) -> list[Finding]:
    """What the check finds; or a note that it failed, or has not ended in time."""
    found: list[Finding] = []

    def run() -> None:
        try:
            found.extend(check())
        except Exception as error:  # whatever it is, the other lines are still wanted
            reason = " ".join(str(error).split()) or "without a message"
            found.append(_failed(check, f"failed ({type(error).__name__}: {reason[:200]})"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found) if not thread.is_alive() else [*found, _failed(check, f"has not ended in {seconds:g} seconds")]


def _failed(check: Check, how: str) -> Finding:
    name = getattr(check, "__name__", "of this section").replace("_", " ")
    return Finding("note", f"the check '{name}' {how}", "nothing is known of what it looks at")


def _without_secrets(finding: Finding) -> Finding:
    known = {os.environ.get(name) for name in SECRETS} | {get_token()}
    what, remedy = finding.what, finding.remedy
    for secret in filter(None, known):
        what, remedy = what.replace(secret, HIDDEN), remedy.replace(secret, HIDDEN)
    return replace(finding, what=what, remedy=remedy)
