"""Every test runs without network, without W&B, on one thread, with a cache of its own, and with the same numbers."""

import copy
import gc
import os
import random
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import omegaconf
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from harness.plan import config
from harness.store.record import Record
from tests import one_block

ROOT = Path(__file__).resolve().parents[1]
FEW = (
    "task.source.train_size=48",
    "task.source.validation_size=8",
    "task.source.test_size=12",
    "train.max_steps=6",
)
TINY = (*one_block.GEMMA, *FEW)

# Files that take longest begin first, the longest of all at the head; each is run by one worker (see pyproject.toml).
FIRST = (
    "peft_matrix/test_peft_matrix.py",
    "test_method_contract.py",
    "harness/test_experiments.py",
    "distributed/test_same_as_one.py",
    "faults/test_damage.py",
    "harness/test_interruption.py",
    "harness/test_run.py",
    "test_wrong_inputs.py",
)

# What is drawn without a generator of its own. No test gives this seed to one, whose numbers would be the same.
SEED = 240519597

sys.dont_write_bytecode = False  # test files take seconds to compile, as pytest rewrites their assertions
config.register_resolvers()


def pytest_collection_modifyitems(items):
    places = {ROOT / "tests" / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(FIRST)))


def _seed() -> None:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(SEED)


def pytest_fixture_setup(fixturedef):
    """What a fixture of several tests draws does not depend on the tests before it."""
    if fixturedef.scope != "function":
        _seed()


@pytest.fixture(autouse=True)
def _seeded():
    """Nor does what a test draws."""
    _seed()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _imports_are_no_garbage():
    """HF's Trainer collects garbage when it begins; most of its time went into looking at what was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _configuration_is_parsed_once():
    """A third of what composing takes, which is done some thousand times: reading yaml, and parsing interpolations."""
    read, parse = FileConfigSource.load_config, omegaconf.base.parse

    @cache
    def read_at(folder: str, path: str, modified: int) -> ConfigResult:
        return read(FileConfigSource("tests", folder), path)

    def load_config(source: FileConfigSource, config_path: str) -> ConfigResult:
        file = Path(source.path, source._normalize_file_name(config_path))
        if not file.is_file():
            return read(source, config_path)
        found = copy.deepcopy(read_at(source.path, config_path, file.stat().st_mtime_ns))
        found.provider = source.provider
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileConfigSource, "load_config", load_config)
        patch.setattr(omegaconf.base, "parse", cache(parse))
        yield


@pytest.fixture(autouse=True, scope="session")
def _own_svd_cache(tmp_path_factory):
    os.environ["SVFT_CACHE_DIR"] = str(tmp_path_factory.mktemp("svd"))


@pytest.fixture(autouse=True, scope="session")
def _small_models():
    one_block.make("micro_gemma")


def task_of_yaml(name: str, **changes):
    """The task that conf/task/<name>.yaml describes, with other values for some of its arguments."""
    source = OmegaConf.load(ROOT / "conf" / "task" / f"{name}.yaml").source
    return config.instantiate(OmegaConf.merge(source, {"data_seed": 0}, changes))


@cache
def _composition(overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides))


@pytest.fixture(scope="session")
def composed():
    """composed("method=lora", ...) -> the configuration that run.py would get, and the caller's own to change."""
    return lambda *overrides: copy.deepcopy(_composition(overrides))


def without_clocks(value: Record) -> dict:
    """What two records of one run have in common, whenever and wherever they were made."""
    values = asdict(value)
    values["config"].pop("runs_dir")
    values["provenance"].pop("code")  # somebody may commit, or edit a file, between two runs
    values["adapter"].pop("decomposition_seconds")
    for name in ("step_seconds", "step_times", "peak_bytes"):
        values["train"].pop(name)
    for splits in values["scores"].values():
        for entry in splits.values():
            entry.pop("seconds")
    return values
