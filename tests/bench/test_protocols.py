"""What others published of SVFT's cost, as it is asked for: the sizes are theirs, and tiny ones go the whole way."""

import json

import pytest
import torch

from bench import model, training
from bench.protocols import PROTOCOLS
from harness.plan.counting import trained_and_memory


def composed(protocol: str, method: str):
    one = PROTOCOLS[protocol]
    own = {"precision": "bf16", "device": torch.device("cpu"), "seed": 0}
    return training.composed(one.methods[method], one.model, **own)


def test_llama_with_a_band_of_8_on_four_letters_trains_what_was_printed():
    cfg = composed("llama3_8b_udog", "svft_banded")
    assert trained_and_memory(cfg)[0] == 8_903_680  # 4 x 32 (17 x 4096 - 72)
    assert composed("llama3_8b_udog", "lora_r64").method.adapter.r == 64
    assert cfg.model.dtype == "bfloat16"


def test_the_shapes_of_3b_are_those_of_its_published_size():
    """Llama-3.2-3B has 3,212,749,824 parameters, its output being its embedding; LoRA of rank 1 is counted by hand."""
    cfg = composed("llama3_3b_all", "lora_r1")
    trained, memory = trained_and_memory(cfg)
    assert trained == 28 * (2 * (3072 + 3072) + 2 * (3072 + 1024) + 3 * (3072 + 8192))
    rotary = memory.weights - 2 * 3_212_749_824 - 4 * trained
    assert 0 <= rotary < 2**10  # the base in 16 bits and the adapter in 32; the frequencies beside them
    assert trained_and_memory(composed("llama3_3b_all", "svft_plain"))[0] == 28 * (2 * 3072 + 2 * 1024 + 3 * 3072)


def test_a_protocol_on_tiny_shapes_goes_the_whole_way_in_16_bits(tmp_path):
    asked = "--protocol llama3_3b_all --tiny --device cpu --tokens 16 --repeats 1 --warm-up 0 --threads 1"
    model.main([*asked.split(), "--out", str(tmp_path)])
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("model-llama3_3b_all_tiny-cpu-")
    found = json.loads(path.read_text())
    assert (found["reference"], found["dtype"], found["layers"]) == ("lora_r1", "bfloat16", 2)
    assert found["shape"]["hidden"] == 64 and found["interleaved"]
    assert [row["method"] for row in found["rows"]] == ["lora_r1", "svft_plain", "svft_plain_dropped"]
    assert all(row["failed"] is None and row["ratio"] > 0 and row["peak_bytes"] > 0 for row in found["rows"])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--protocol llama", "argument --protocol: protocol 'llama' is not one of llama3_8b_udog, llama3_3b_all"),
        ("--protocol llama3_3b_all --model gemma2b", "not allowed with argument --"),
        ("--protocol llama3_3b_all --methods lora_r64", "error: method 'lora_r64' is not one of llama3_3b_all, which"),
        ("--methods lora_r64", "error: method 'lora_r64' is not one of gemma2b, which has svft_plain, "),
        ("--model micro_gemma --tiny", "error: model 'micro_gemma' has its sizes from a checkpoint; --tiny is for"),
    ],
)
def test_what_a_protocol_does_not_have_is_refused_in_a_sentence(capsys, typed, said):
    with pytest.raises(SystemExit) as left:
        model.main(typed.split())
    assert left.value.code == 2
    assert said in capsys.readouterr().err
