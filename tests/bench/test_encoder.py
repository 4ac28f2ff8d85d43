"""A tiny encoder through the whole program, and the counts of a step against counts by hand."""

import csv
import json

import pytest
import torch
from torch import nn

from bench import counts, encoder, targets, timing
from bench import methods as block_methods
from svft.arithmetic import cost
from tests.svft.test_forms import adapted, drawn

TINY = ("vocab_size=64", "hidden_size=32", "intermediate_size=64", "num_attention_heads=2", "num_hidden_layers=1")
METHODS = ("svft_plain", "svft_random_dropped", "lora_r8")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    overrides = ["model.blocks=1", *(f"model.architecture.{each}" for each in TINY)]
    arguments = f"--batches 2x4,3x5 --methods {','.join(METHODS)} --repeats 2 --warm-up 0 --threads 1 --clock process"
    encoder.main([*arguments.split(), "--out", str(out), "--set", *overrides])
    (path,) = out.iterdir()
    assert path.name.startswith("encoder-cpu-")
    return json.loads(path.read_text())


def test_every_method_has_a_row_for_each_batch_with_times_bytes_and_counts(result):
    assert [(row["batch"], row["method"]) for row in result["rows"]] == [
        (batch, method) for batch in ("2x4", "3x5") for method in METHODS
    ]
    for row in result["rows"]:
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["saved_bytes"] > 0 and row["kernels"] > 0
        assert 0 < row["least"] <= row["counted"] + 1e-9
    for row in result["rows"][2::3]:
        assert row["ratio"] == row["counted"] == row["least"] == 1 and row["kernels"] == row["reference_kernels"]


def test_resident_bytes_are_held_against_the_references(result):
    found = {target.what: target for target in targets.check(result)}
    held = {name: entry["resident_bytes"] for name, entry in result["methods"].items()}
    worst = next(target for what, target in found.items() if "worst" in what)
    assert worst.kept == held["svft_plain"] / held["lora_r8"]
    assert all("MiniLM" in what for what in found)


def test_every_target_is_of_a_measure_and_of_methods_that_a_benchmark_has():
    known = {measure: of.METHODS for bench, of in (("block", block_methods), ("encoder", encoder))
             for measure in targets.MEASURES[bench]}  # fmt: skip
    others = {"svd", *targets.MEASURES["runs"]}  # of shapes, and of parts, which test_runs.py looks at
    lines = [line for line in csv.DictReader(targets.TARGETS.open(encoding="utf-8")) if line["measure"] not in others]
    assert {line["measure"] for line in lines} == known.keys()
    for line in lines:
        assert set(line["of"].split()) <= known[line["measure"]].keys()
        assert line["bound"] == "at most" and line["weight"] in ("kept", "dropped", "either")


def test_a_sparse_m_is_counted_beside_the_products_and_views_are_no_kernels(monkeypatch):
    monkeypatch.setattr(cost, "WIDE", 1)
    monkeypatch.setattr(cost, "OPERATIONS_PER_ENTRY", 0)
    model, layer = adapted(
        nn.Linear(9, 9, bias=False), drawn(9, 9), pattern="random", d=2, form="activations", keep_weight=False
    )
    x = drawn(5, 9).float().requires_grad_()
    counted = counts.of(timing.Step(lambda: model(x).sum().backward()), [layer], 5)
    N = len(layer.svft_m["default"])
    assert counted.operations == 2 * (4 * 5 * 9 * 9 + 3 * 5 * N)
    assert counted.least == 2 * 4 * 5 * 9 * 9
    y = torch.randn(4, 4)
    with counts.Kernels() as kernels:
        y.view(2, 8).T[0] + 1
    assert kernels.number == 1


@pytest.mark.parametrize(("kept", "O", "products"), [(True, 8, 5), (False, 8, 4), (True, 24, 3 * 2 + 4)])
def test_the_least_of_few_tokens_is_what_the_factors_take(kept, O, products):  # noqa: E741
    """In products of 8 x 8."""
    assert counts.least(O, 8, 4, kept) == 2 * products * 4 * 8 * 8


def test_rows_and_tokens_that_are_none_are_refused(capsys):
    with pytest.raises(SystemExit):
        encoder.main(["--batches", "16"])
    assert "'16' is not rows x tokens, such as 16x12" in capsys.readouterr().err
