"""Plugin of the suite: keeps the tests that take the tuner's configuration, and counts by kind what became of them."""

import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import cases
import jinja2
import tiny_models
from transformers.utils import logging

TALLY: dict[str, Counter] = defaultdict(Counter)  # kind (name of the suite's file) -> outcome -> number of tests
IDLE: list[str] = []  # what is to be left out, and matches no test


def pytest_sessionstart():
    logging.disable_progress_bar()
    # The hub compiles the template of a model card anew each time that PEFT saves an adapter.
    jinja2.Environment.compile = cache(jinja2.Environment.compile)
    tiny_models.save(Path.cwd())


def pytest_collection_modifyitems(config, items):
    tuner = cases.of_tuner()
    ours = [item for item in items if _takes(item, tuner)]
    dropped = {part: [item for item in ours if part in item.nodeid] for part in tuner.left_out}
    IDLE[:] = [part for part, found in dropped.items() if not found]
    out = {item for found in dropped.values() for item in found}
    for item in out:
        TALLY[item.path.stem]["left out"] += 1
    config.hook.pytest_deselected(items=[item for item in items if item in out or item not in ours])
    items[:] = [item for item in ours if item not in out]


def _takes(item, tuner) -> bool:
    """A test that takes no configuration, or another tuner's, says nothing about this one."""
    config_cls = item.callspec.params.get("config_cls") if hasattr(item, "callspec") else None
    return isinstance(config_cls, type) and issubclass(config_cls, tuner.config)


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        TALLY[Path(report.nodeid.split("::")[0]).stem][report.outcome] += 1


def pytest_sessionfinish():
    Path("tally.json").write_text(json.dumps({"outcomes": TALLY, "idle": IDLE}))
