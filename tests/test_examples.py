"""The scripts in examples/ run as they stand, with few steps, in this process."""

import runpy
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "examples"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """run(name, argument, ...) -> what the script printed; its adapter is in tmp_path/out."""
    monkeypatch.setenv("SVFT_CACHE_DIR", "off")

    def example(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments, "--out", str(tmp_path / "out")])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        assert (tmp_path / "out" / "adapter_model.safetensors").exists()
        return capsys.readouterr().out

    return example


def test_examples_have_at_most_forty_lines():
    lengths = {path.name: len(path.read_text().splitlines()) for path in FOLDER.glob("*.py")}
    assert len(lengths) == 3
    assert max(lengths.values()) <= 40


def test_the_trainer_of_transformers_trains_svft(run):
    printed = run("trainer.py", "--steps", "10")
    assert float(printed.rpartition("accuracy on 797 other images: ")[2]) > 0.3  # by chance: 0.1


def test_a_plain_loop_trains_svft_and_merging_keeps_the_function(run):
    printed = run("plain_loop.py", "--steps", "2")
    assert float(printed.rpartition("differ by at most ")[2]) < 1e-3


@pytest.mark.parametrize(
    "bits", [pytest.param("4", marks=pytest.mark.skipif(not find_spec("bitsandbytes"), reason="no bitsandbytes")), "16"]
)
def test_an_adapter_on_a_base_of_few_bits_learns_and_is_reloaded(run, bits):
    printed = run("four_bit_base.py", "--bits", bits, "--steps", "4")
    losses = [float(line.rpartition("loss ")[2]) for line in printed.splitlines() if line.startswith("step ")]
    assert losses[-1] < losses[0]
    assert "the reloaded model has the same logits: True" in printed
