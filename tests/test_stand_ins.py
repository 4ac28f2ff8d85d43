"""One row of every experiment of the papers, end to end: its own overrides over a small local checkpoint and small
local files with the real columns. Nothing of the path is replaced but weights and data."""

import json
import re

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, ViTConfig, ViTModel

import run
from harness.plan import experiments
from harness.run import command_line
from harness.store import record
from tests.conftest import ROOT
from tests.test_task_contract import LOCAL

PAPER = [name for name in experiments.names() if re.fullmatch(r"(spectral_)?(table|figure)\d+", name)]
SHORT = ("train.max_steps=1", "train.batch_size=4", "train.micro_batch_size=2", "evaluate.batch_size=64",
         "wandb.mode=disabled", "threads=1")  # fmt: skip
FEW_TOKENS = {
    "commonsense": ("task.max_new_tokens=4",),
    "gsm8k_few_shot": ("task.max_new_tokens=4",),
    "metamath": ("task.source.max_new_tokens={gsm8k:4,math:4}",),
}


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """By model yaml: overrides that put a small checkpoint of the same architecture in the place of the real one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "assets" / "micro_gemma")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    llama = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=512, **small))
    llama.save_pretrained(folder / "llama")
    tokenizer.save_pretrained(folder / "llama")
    ViTModel(ViTConfig(image_size=32, **small)).save_pretrained(folder / "vit")
    gemma = ("model.checkpoint=assets/micro_gemma", "model.blocks=4")
    vit = (f"model.checkpoint={folder}/vit", "model.blocks=2", "model.image.size=32")
    return {
        "gemma2b": gemma, "gemma7b": gemma, "llama3_8b": (f"model.checkpoint={folder}/llama", "model.blocks=2"),
        "mistral_7b": (f"model.checkpoint={folder}/llama", "model.blocks=2"),
        "pythia_2_8b": (f"model.checkpoint={_late(ROOT / 'assets' / 'micro_pythia')}", "model.blocks=4"),
        "deberta_v3_base": ("model.checkpoint=assets/micro_deberta", "model.blocks=4"), "vit_b16": vit, "vit_l16": vit,
    }  # fmt: skip


def _late(folder):
    return max(folder.iterdir(), key=lambda path: int(path.name.removeprefix("step")))


def local_data(task: str) -> list[str]:
    """Overrides that name the small files."""
    return [f"task.source.{key}={_written(value)}" for key, value in LOCAL[task].items()]


def _written(value) -> str:
    """As Hydra's command line has it: keys of a mapping are not quoted."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_written(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def first_own_cell(name: str) -> experiments.Cell:
    """Of the method that the paper is about."""
    cells = experiments.cells(experiments.read(name))
    rows = {("SVFT", "P"), ("SVFT", None), ("Spectral-A", None)}
    return next(cell for cell in cells if (cell.row["method"], cell.row.get("variant")) in rows)


@pytest.mark.parametrize("name", PAPER)
def test_a_row_of_the_experiment_runs_from_checkpoint_to_scores(composed, stand_ins, tmp_path, name):
    cell = first_own_cell(name)
    chosen = dict(item.lstrip("+").split("=", 1) for item in cell.overrides)
    task, model = chosen["task"], chosen["model"]
    few = FEW_TOKENS.get(composed(f"task={task}").task.name, ())
    command_line.failures.clear()
    run.main(composed(*cell.overrides, *stand_ins[model], *local_data(task), *SHORT, *few, f"runs_dir={tmp_path}"))
    assert not command_line.failures
    (done,), broken = record.find(tmp_path)
    assert not broken and done.status == "done"
    score = done.scores[cell.column["benchmark"]][cell.column["split"]]["scorers"][cell.column["scorer"]]
    assert -1 <= score["mean"] <= 1
    if cell.column.get("watched"):
        assert done.train["watched"]
