"""Trained parameters of Spectral Adapter (arXiv:2405.13952), VectorFit (arXiv:2503.19530), MiLoRA (arXiv:2406.09044),
SSVD (arXiv:2509.02830) and PiCa (arXiv:2505.20211), against printed numbers and the formulas of their cards.

Models are built on the meta device, the method is attached as its yaml says, and what is trained is counted.
"""

import csv
import warnings
from functools import cache

import peft
import pytest
import torch
from omegaconf import open_dict
from torch import nn
from transformers import BartConfig, BartForConditionalGeneration

import baselines
from harness.adapters.adapt import Adapted
from harness.plan import config, experiments
from harness.plan.counting import adapted_without_weights
from papers import recount
from tests.conftest import ROOT

REFERENCE = ROOT / "analysis" / "reference"
EXPERIMENTS = {"Table 1": "spectral_table1", "Table 2": "spectral_table2"}
MODELS = {"DeBERTaV3-base": "deberta_v3_base", "ViT-B/16": "vit_b16", "LLaMA-3-8B": "llama3_8b", "Gemma-7B": "gemma7b"}
CLASSIFIER = 2 * 768 + 2  # two classes
SHARED_BLOCK = 192  # of OFT: 768 / 4


def rows(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


SPECTRAL = rows("spectral_param_counts.csv")
FIGURE_6 = [row for row in SPECTRAL if row["where"] == "Figure 6"]
TEXT = [row for row in SPECTRAL if row["where"] != "Figure 6"]
VECTORFIT = rows("vectorfit_param_counts.csv")


def name(row: dict[str, str]) -> str:
    return "-".join(
        filter(None, (row["model"], row["method"], row.get("variant"), row.get("config"), row.get("vectors")))
    )


def run_of(row: dict[str, str]) -> str:
    """Overrides of a row: its experiment's, or (Figure 1 has none) those of the same method at the same rank."""
    if row["where"] not in EXPERIMENTS:
        method = {"LoRA": "lora", "Spectral-A": "spectral_additive"}[row["method"]]
        rank = f"method.adapter.{row['config']} method.targets={row['target_modules']}"
        return f"model={MODELS[row['model']]} method={method} {rank}"
    wanted = (row["method"], row["variant"], row["config"])
    listed = experiments.read(EXPERIMENTS[row["where"]])["rows"]
    return next(r["run"] for r in listed if (r["method"], r.get("variant", ""), r.get("config", "")) == wanted)


def adapted(overrides: str, **adapter) -> Adapted:
    """Of DeBERTa the classifier alone is trained with the method: the released scripts leave the pooler as drawn."""
    cfg = recount.composed(overrides)
    with open_dict(cfg):
        cfg.model.head = cfg.model.head and "classifier"
        cfg.method.adapter.update(adapter)
    return adapted_without_weights(cfg, "")


@pytest.mark.parametrize("row", [row for row in TEXT if row["method"] != "OFT"], ids=name)
def test_a_method_trains_as_many_parameters_as_the_released_script_prints(row):
    trained, every = adapted(run_of(row)).model.get_nb_trainable_parameters()
    assert trained == int(row["params_computed"])
    assert f"{100 * trained / every:.4f}" == row["percent"]


@pytest.mark.parametrize("row", TEXT, ids=name)
def test_a_printed_share_is_the_counted_one_rounded(row):
    assert f"{float(row['percent']):.2f}%" == row["params_printed"].removeprefix("~")


def test_oft_counted_full_matrices_then_and_counts_their_upper_triangles_today():
    """PEFT stored 192 x 192 numbers for a rotation of 192 dimensions; today the 192 x 191 / 2 that determine it."""
    [row] = [row for row in TEXT if row["method"] == "OFT"]
    assert int(row["params_computed"]) == 36 * SHARED_BLOCK**2 + CLASSIFIER
    trained, _ = adapted(run_of(row), block_share=True).model.get_nb_trainable_parameters()
    assert trained == 36 * SHARED_BLOCK * (SHARED_BLOCK - 1) // 2 + CLASSIFIER == 661_634
    assert str(trained) in row["note"]


# --- Figure 6: Stable Diffusion v1 -----------------------------------------------------------------------------------

TEXT_BLOCKS, TEXT_WIDTH = 12, 768  # CLIP ViT-L/14's text encoder
# Transformer blocks of the UNet by width: two in each of three levels down, three up, and one between at the widest.
UNET_BLOCKS = {320: 2 + 3, 640: 2 + 3, 1280: 2 + 3 + 1}


def attention(width: int, context: int) -> nn.ModuleDict:
    """The four linear layers of an attention whose keys and values come from `context` numbers a token."""
    sizes = {"q": (width, width), "k": (context, width), "v": (context, width), "out": (width, width)}
    return nn.ModuleDict({letter: nn.Linear(*size, bias=letter == "out") for letter, size in sizes.items()})


def stable_diffusion() -> nn.Module:
    """The attention layers alone; a block of the UNet attends to itself and to the text."""
    with torch.device("meta"):
        text = [attention(TEXT_WIDTH, TEXT_WIDTH) for _ in range(TEXT_BLOCKS)]
        widths = [width for width, blocks in UNET_BLOCKS.items() for _ in range(blocks)]
        unet = [attention(width, context) for width in widths for context in (width, TEXT_WIDTH)]
        return nn.ModuleDict({"text": nn.ModuleList(text), "unet": nn.ModuleList(unet)})


def linears(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def attached(adapter: peft.PeftConfig) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing on the meta device is initialised
        return peft.get_peft_model(stable_diffusion(), adapter).get_nb_trainable_parameters()[0]


def rank(row: dict[str, str]) -> int:
    return int(row["config"].removeprefix("r="))


@cache
def spectral_rotation(r: int, scale: bool) -> int:
    return attached(
        baselines.SpectralAdapterConfig(mode="rotation", r=r, scale=scale, block="top", target_modules=EVERY)
    )


EVERY = r".*\.(q|k|v|out)"
COUNTS = {
    "Spectral-R": lambda row: spectral_rotation(rank(row), scale=True),
    "LoRA": lambda row: attached(peft.LoraConfig(r=rank(row), target_modules=EVERY)),
    "VeRA": lambda row: attached(peft.VeraConfig(r=rank(row), target_modules=EVERY)),
    "SVDiff": lambda row: attached(baselines.VectorFitConfig(train_bias=False, target_modules=EVERY)),
    # Methods that this project does not have, by their formulas.
    "OFT": lambda row: sum((layer.in_features // rank(row)) ** 2 for layer in linears(stable_diffusion())),
    "LiDB": lambda row: (100 + 50) * rank(row) * len(linears(stable_diffusion())),
}


def test_stable_diffusion_has_48_attention_layers_for_text_and_128_for_images():
    model = stable_diffusion()
    assert [len(linears(model[part])) for part in ("text", "unet")] == [48, 128]


@pytest.mark.parametrize("row", FIGURE_6, ids=name)
def test_a_method_trains_as_many_parameters_as_its_column_of_figure_6_says(row):
    count = COUNTS[row["method"]](row)
    assert count == int(row["params_computed"])
    assert column(count) == row["params_printed"] or name(row) == "Chilloutmix-Spectral-R-r=40"


def column(count: int) -> str:
    """Of Figure 6: the first digit, the others cut off."""
    digit = 10 ** (len(str(count)) - 1)
    return ">800K" if count > 800_000 else f"{count // digit * digit // 1000}K"


@pytest.mark.parametrize("r", [2, 8, 24, 32])
def test_the_papers_formula_and_the_released_codes_fall_into_the_same_column_of_figure_6(r):
    paper, code = spectral_rotation(r, scale=False), spectral_rotation(r, scale=True)
    assert (paper, code) == (176 * 2 * r**2, 176 * (2 * r**2 + r))
    assert column(paper) == column(code)


def test_rank_40_of_figure_6_is_not_in_the_column_it_is_printed_in():
    [row] = [row for row in FIGURE_6 if row["config"] == "r=40"]
    assert (column(int(row["params_computed"])), row["params_printed"]) == ("500K", ">800K")


# --- MiLoRA, SSVD, PiCa ---------------------------------------------------------------------------------------------

GEMMA_2B = {"Q": (2048, 2048), "K": (256, 2048), "V": (256, 2048), "O": (2048, 2048), "G": (16384, 2048),
            "U": (16384, 2048), "D": (2048, 16384)}  # fmt: skip


@pytest.mark.parametrize("r", [4, 32])
@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("milora", lambda m, n, r: r * (m + n)),
        ("ssvd", lambda m, n, r: r * (r + 1) // 2),
        ("pica method.adapter.share=null", lambda m, n, r: r * m),
        ("pica method.adapter.share=null method.adapter.mode=left", lambda m, n, r: r * n),
    ],
)
def test_each_layer_trains_what_the_formula_says(method, count, r):
    trained = adapted(f"model=gemma2b method={method} method.adapter.r={r}").parameters["adapter"]
    assert trained == 18 * sum(count(m, n, r) for m, n in GEMMA_2B.values())


# Table 2 of PiCa: model, targets, rank, printed.
PICA = [
    ("gemma2b", "QKVUD", 32, "0.67M"),
    ("gemma2b", "QKVUD", 256, "5.37M"),
    ("llama3_8b", "QKVUDOG", 32, "1.38M"),
    ("llama3_8b", "QKVUDOG", 256, "11.01M"),
]


@pytest.mark.parametrize(("model", "targets", "r", "printed"), PICA)
def test_pica_prints_the_count_of_one_matrix_for_each_role_on_the_output_side(model, targets, r, printed):
    run = f"model={model} method=pica method.adapter.r={r} method.targets={targets}"
    assert f"{adapted(run).parameters['adapter'] / 1e6:.2f}M" == printed
    left = adapted(f"{run} method.adapter.mode=left").parameters["adapter"]
    assert f"{left / 1e6:.2f}M" != printed


@pytest.mark.parametrize("cells", [4, 32])
def test_ditask_trains_a_number_less_than_cells_whatever_the_layer(cells):
    trained = adapted(f"model=gemma2b method=ditask method.adapter.cells={cells}").parameters["adapter"]
    assert trained == 18 * len(GEMMA_2B) * (cells - 1)


# --- VectorFit -------------------------------------------------------------------------------------------------------


def vectorfit(model: str, targets: str, bias: bool) -> int:
    """Scalars of all trained vectors; without AVF, which trains the same ones by turns."""
    if model == "BART-large":
        layers = r".*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
        with torch.device("meta"):
            bart = BartForConditionalGeneration(BartConfig())
        adapter = baselines.VectorFitConfig(train_bias=bias, target_modules=layers)
        return peft.get_peft_model(bart, adapter).get_nb_trainable_parameters()[0]
    run = f"model={MODELS[model]} method=vectorfit method.targets={targets} method.adapter.train_bias={bias}"
    return adapted(run).parameters["adapter"]


@pytest.mark.parametrize(
    ("model", "targets"), dict.fromkeys((row["model"], row["target_modules"]) for row in VECTORFIT)
)
def test_vectorfit_trains_one_number_for_each_singular_value_and_bias(model, targets):
    stated = {
        row["vectors"]: int(row["params_computed"])
        for row in VECTORFIT
        if (row["model"], row["target_modules"]) == (model, targets)
    }
    sigma, both = vectorfit(model, targets, bias=False), vectorfit(model, targets, bias=True)
    assert stated == {"sigma": sigma, "bias": both - sigma, "sigma and bias": both}


def test_the_smallest_size_that_vectorfit_plots_is_its_singular_values_of_q_k_v_and_the_largest_is_no_count():
    printed = {row["params_printed"]: int(row["params_computed"]) for row in VECTORFIT if row["params_printed"]}
    assert {tick: f"{count / 1e6:.2f}M" for tick, count in printed.items()} == {"0.03M": "0.03M", "0.15M": "0.14M"}


@pytest.fixture(scope="module", autouse=True)
def resolvers():
    config.register_resolvers()
