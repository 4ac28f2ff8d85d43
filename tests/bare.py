"""A task and benchmark of which only what a test states is other than the interface's defaults."""

from typing import Any

from tasks.base import OwnBenchmark


class Bare(OwnBenchmark):
    def __init__(self, **attributes: Any):
        vars(self).update(attributes)

    def fingerprint(self) -> str:
        raise NotImplementedError

    def examples(self, split: str) -> list[Any]:
        raise NotImplementedError
