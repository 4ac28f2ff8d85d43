"""The tables of Spectral Adapter (arXiv:2405.13952) as experiments: their cells, and what the preset sets for runs."""

import csv
import itertools
from functools import cache
from statistics import fmean

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from harness.models import bases
from harness.plan import config, counting, experiments
from tests.conftest import ROOT

REFERENCE = ROOT / "analysis" / "reference"
TABLES = ("spectral_table1", "spectral_table2")
GLUE = ("mnli", "sst2", "mrpc", "cola", "qnli", "qqp", "rte", "stsb")

# deberta_tune/*/glue_tune.py of pilancilab/spectral_adapter at 3c18280, tasks in the order of GLUE.
RATES = {
    "lora": (1e-4, 6e-5, 2e-4, 1e-4, 1e-4, 1e-4, 2e-4, 2e-4),
    "dora": (1e-4, 6e-5, 2e-4, 1e-4, 1e-4, 1e-4, 2e-4, 2e-4),
    "oft": (8e-5, 2e-4, 9e-4, 4e-4, 2e-4, 3e-4, 3e-4, 7e-4),
    "adalora": (5e-4, 8e-4, 1e-3, 5e-4, 1.2e-3, 5e-4, 1.2e-3, 2.2e-3),
    "spectral_additive": (1e-4, 1e-4, 7e-4, 3e-4, 1e-4, 1e-4, 3e-4, 5e-4),
}
EPOCHS = (1, 5, 13, 8, 1, 10, 10, 30)
EPOCHS_OF = {"adalora": (1, 5, 13, 8, 1, 10, 13, 30)}
ORTHOGONALITY = (0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.3, 0.1)
ALPHA_AND_DROPOUT = {"spectral_table1": (32, 0.01), "spectral_table2": (16, 0.05)}


def reference(name: str) -> list[dict[str, str]]:
    with (REFERENCE / experiments.read(name)["reference"]).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keys(row: dict) -> tuple[str, ...]:
    return tuple(row.get(k, "") for k in ("model", "method", "variant", "config"))


@cache
def composed_once(overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def composed_run(name: str, method: str, task: str = "") -> DictConfig:
    """The configuration of the run of one method, on one task where the experiment has several."""
    runs = experiments.runs(experiments.read(name))
    [run] = [run for run in runs if f"method={method}" in run and task in (*run, "")]
    return composed_once(run)


@pytest.mark.parametrize("name", TABLES)
def test_an_experiment_lists_exactly_the_cells_that_its_table_prints(name):
    experiment = experiments.read(name)
    listed = [(*keys(row), c["metric"]) for row, c in itertools.product(experiment["rows"], experiment["columns"])]
    assert sorted(listed) == sorted((*keys(line), line["metric"]) for line in reference(name))
    targets = {(keys(line), line["target_modules"]) for line in reference(name)}
    assert {(keys(row), row["targets"]) for row in experiment["rows"]} == targets


def test_a_printed_average_is_the_mean_of_the_eight_printed_scores():
    lines = reference("spectral_table1")
    for row in {keys(line) for line in lines}:
        values = {line["metric"]: float(line["value"]) for line in lines if keys(line) == row}
        assert abs(values.pop("Average") - fmean(values.values())) <= 0.005 + 1e-9
        assert len(values) == len(GLUE)


@pytest.mark.parametrize("name", TABLES)
def test_the_micro_twin_has_the_same_methods_on_the_same_layers(name):
    original, twin = experiments.read(name), experiments.read(f"micro_{name}")
    assert twin["twin_of"] == name
    assert [row["method"] for row in twin["rows"]] == [row["method"] for row in original["rows"]]
    assert [row["targets"] for row in twin["rows"]] == [row["targets"] for row in original["rows"]]
    assert len(twin["columns"]) == len(original["columns"])


@pytest.mark.parametrize("method", RATES)
def test_a_run_of_glue_has_the_rate_and_the_epochs_of_the_released_script(method):
    trains = [composed_run("spectral_table1", method, f"task=glue_{task}").train for task in GLUE]
    assert tuple(train.lr for train in trains) == RATES[method]
    assert tuple(train.head_lr for train in trains) == RATES[method]
    assert tuple(train.epochs for train in trains) == EPOCHS_OF.get(method, EPOCHS)


@pytest.mark.parametrize("method", RATES)
def test_runs_of_glue_share_what_the_released_scripts_share(method):
    cfg = composed_run("spectral_table1", method, "task=glue_rte")
    wanted = {
        "batch_size": 32, "weight_decay": 0.01, "schedule": "linear", "warmup_ratio": 0, "max_grad_norm": 1.0,
        "precision": "fp32", "betas": [0.9, 0.999], "select_best": {"by": "loss", "every": 500},
    }  # fmt: skip
    train = config.resolve(cfg)["train"]
    assert {key: train[key] for key in wanted} == wanted
    assert experiments.read("spectral_table1")["seeds"] == [0]


@pytest.mark.parametrize("method", ["lora", "dora", "spectral_additive"])
def test_a_run_of_gsm8k_is_set_as_the_released_script_sets_it(method):
    cfg = composed_run("spectral_table2", method)
    train = config.resolve(cfg)["train"]
    wanted = {
        "lr": 2.5e-5, "epochs": 2, "batch_size": 4, "weight_decay": 0.01, "schedule": "linear", "warmup_ratio": 0,
        "max_length": 512, "select_best": False,
    }  # fmt: skip
    assert {key: train[key] for key in wanted} == wanted
    assert cfg.task.source.validation_size == 0
    assert cfg.method.adapter.r == 8


@pytest.mark.parametrize(("name", "method"), itertools.product(TABLES, ["lora", "dora"]))
def test_alpha_and_dropout_are_those_of_the_released_scripts(name, method):
    adapter = composed_run(name, method, "task=glue_rte" if name == TABLES[0] else "").method.adapter
    assert (adapter.lora_alpha, adapter.lora_dropout) == ALPHA_AND_DROPOUT[name]


def test_the_preset_says_of_a_method_what_its_table_prints_without_being_told(composed):
    """Rank and layers are those of the row, whether or not they are named on the command line."""
    glue, gsm8k = ("task=glue_mrpc", "model=deberta_v3_base"), ("task=gsm8k_few_shot", "model=mistral_7b")
    for name, place in zip(TABLES, (glue, gsm8k), strict=True):
        for row in experiments.read(name)["rows"]:
            chosen = [item for item in row["run"].split() if item.startswith("method=")]
            short = composed("recipe=spectral_adapter", *place, *chosen)
            whole = composed("recipe=spectral_adapter", *place, *row["run"].split()[1:])
            assert OmegaConf.to_container(short, resolve=True) == OmegaConf.to_container(whole, resolve=True)


def test_adalora_is_regularised_by_task_and_keeps_its_first_rank():
    """The released script never allocates: HF's Trainer does not call what prunes, and the script adds no callback."""
    cfgs = [composed_run("spectral_table1", "adalora", f"task=glue_{task}") for task in GLUE]
    assert tuple(cfg.method.adapter.orth_reg_weight for cfg in cfgs) == ORTHOGONALITY
    assert {(cfg.method.adapter.target_r, cfg.method.adapter.init_r) for cfg in cfgs} == {(24, 36)}
    assert not any(cfg.method.callbacks.budget.allocate for cfg in cfgs)


def test_the_preset_trains_the_classifier_and_leaves_the_pooler_as_drawn():
    cfg = composed_run("spectral_table1", "lora", "task=glue_mrpc")
    adapted = counting.adapted_without_weights(cfg, "")
    assert adapted.parameters["head"] == 2 * 768 + 2
    pooler = [p for path, p in adapted.model.named_parameters() if ".pooler." in path]
    assert pooler and not any(p.requires_grad for p in pooler)


def test_mistral_7b_without_weights_has_the_parameters_of_the_real_one(composed):
    """7,241,732,096: the sum of the sizes in the checkpoint's index (14,483,464,192 bytes of bf16)."""
    cfg = composed("model=mistral_7b").model
    model = bases.build(cfg)
    assert sum(p.numel() for p in model.parameters()) == 14_483_464_192 // 2
    assert set(cfg.linear) == set(cfg.roles)
