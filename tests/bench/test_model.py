"""A whole model through the whole path, on a CPU and a block of micro-Gemma."""

import json

import pytest
import torch

from bench import memory, methods, model, training

SMALL = "--model micro_gemma --device cpu --precision fp32 --layers 1 --repeats 2 --warm-up 0 --threads 1"
ADAPTED = 2 * 128 * 128 + 2 * 32 * 128 + 3 * 384 * 128  # Q and O, K and V, G U D
BASE = ADAPTED + 148 * 128 + 3 * 128  # embedding, which is the head; norms


def run(out, arguments: str):
    model.main([*SMALL.split(), *arguments.split(), "--out", str(out)])
    (path,) = out.iterdir()
    assert path.name.startswith("model-micro_gemma-cpu-")
    result = json.loads(path.read_text())
    return result, {(row["method"], row["tokens"]): row for row in result["rows"]}


def test_rows_have_time_memory_and_a_ratio_in_turns_with_the_reference(tmp_path):
    result, rows = run(tmp_path, "--tokens 16,64 --methods svft_plain,lora_r32")
    said = [result[name] for name in ("bench", "model", "layers", "interleaved")]
    assert said == ["model", "micro_gemma", 1, True]
    assert list(result["methods"]) == ["svft_plain", "lora_r32"]
    assert set(rows) == {(name, tokens) for name in result["methods"] for tokens in (16, 64)}
    for (_, tokens), row in rows.items():
        assert row["failed"] is None
        assert row["tokens_per_second"] == pytest.approx(tokens / row["seconds"])
        assert row["peak_bytes"] > row["saved_bytes"] > 0
    assert rows["lora_r32", 64]["ratio"] == 1
    mine = rows["svft_plain", 64]
    assert mine["interleaved"] and mine["ratio_low"] <= mine["ratio"] <= mine["ratio_high"]
    assert result["methods"]["svft_plain"]["trained"] == 5 * 128 + 2 * 32
    # The weights, the inverse frequencies of 32-wide heads, which transformers keeps twice, and a scale.
    assert result["methods"]["svft_plain"]["base_bytes"] == 4 * (BASE + 2 * 16 + 1)


def test_what_does_not_fit_is_said_in_its_row_and_the_others_are_measured(tmp_path, monkeypatch):
    whole = training.Training.build

    def build(cfg, method, **others):
        if method is methods.METHODS["full"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(cfg, method, **others)

    def rise(step, device):
        if sizes.pop(0) == 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 0

    sizes = [16, 64]  # of the reference, whose second one fails
    monkeypatch.setattr(training.Training, "build", build)
    monkeypatch.setattr(memory, "rise", rise)
    result, rows = run(tmp_path, "--tokens 16,64 --methods full,lora_r32")
    failed = {key for key, row in rows.items() if row["failed"] == "out of memory"}
    assert failed == {("full", 16), ("full", 64), ("lora_r32", 64)}
    assert rows["full", 16]["seconds"] is None and rows["lora_r32", 16]["seconds"] > 0
    assert result["methods"]["full"] | {"label": "Full-FT", "trained": None} == result["methods"]["full"]
    assert not result["interleaved"]


def test_a_step_is_adamw_on_the_trained_tensors_and_leaves_them_where_they_are():
    method = methods.METHODS["lora_r1"]
    cfg = training.composed(method, ["model=micro_gemma"], precision="fp32", device=torch.device("cpu"), seed=0)
    one = training.Training.build(cfg, method, layers=1, device=torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    one.step(one.text.batch(16, 512)).run()
    assert {name for name, tensor in one.model.state_dict().items() if not torch.equal(tensor, before[name])} == set()
    tensors = 2 * 5
    trained = 128 + 128 + 2 * (128 + 32) + 2 * (128 + 384)  # A and B of Q, K, V, U, D
    assert one.trained == trained
    # Two moments of each number and a count of steps in each tensor, in fp32.
    assert one.standing_bytes() - memory.resident_bytes(one.model) == 4 * (2 * trained + tensors)
    assert all(parameter.grad is None for parameter in one.model.parameters())


def test_without_a_gpu_it_ends_with_a_sentence_and_code_2(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stop:
        model.main(["--model", "gemma2b"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: torch sees no CUDA device here; --device cpu takes the CPU\n"
