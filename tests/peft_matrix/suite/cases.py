"""What a tuner gives its suite: the configurations that PEFT's tests run with, and what is left out."""

import importlib
import os
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig


@dataclass(frozen=True, kw_only=True)
class Cases:
    config: type[PeftConfig]
    sized: type[PeftConfig]  # the same, or a subclass of it, with a default for every size
    custom: list[tuple[str, str, dict[str, Any]]]  # title, PEFT's name of the custom model, options
    pairs: list[tuple[str, dict[str, Any], dict[str, Any]]]  # title, options of two adapters on the custom model
    transformers: list[dict[str, Any]]  # options for the tiny transformers models
    reseed: dict[str, Any]  # options without which a second adapter of one configuration would start as the first
    left_out: dict[str, str]  # part of a test's id -> why it is left out

    def for_task(self, task_type: str) -> list[tuple[type[PeftConfig], dict[str, Any]]]:
        """The list ALL_CONFIGS of PEFT's tests of transformers models."""
        return [(self.config, {**options, "task_type": task_type}) for options in self.transformers]


def of_tuner() -> Cases:
    """Those of the tuner that $TUNER names."""
    return importlib.import_module(f"cases_{os.environ['TUNER']}").CASES
