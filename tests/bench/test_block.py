"""A block of width 32 through the whole path: every key of the file, and counts by hand."""

import json
from dataclasses import replace

import pytest

from bench import block, targets

METHODS = ("lora_r32", "svft_random", "svft_random_dropped", "svft_plain", "svft_released", "full", "head")
HIDDEN, WIDE, HEAD, TOKENS = 32, 128, 16, 8
#          Q: 2 heads, K and V: one head, O            G, U, D
WEIGHTS = {"Q": (32, 32), "K": (16, 32), "V": (16, 32), "O": (32, 32), "G": (128, 32), "U": (128, 32), "D": (32, 128)}
BASE = sum(out * inp for out, inp in WEIGHTS.values()) + 2 * HIDDEN  # and two norms


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    block.main(
        f"--shape gemma_tiny --tokens {TOKENS} --methods {','.join(METHODS)} --repeats 2 --warm-up 0 --threads 1 "
        f"--out {out}".split()
    )
    (path,) = out.iterdir()
    assert path.name.startswith("block_gemma_tiny-cpu-")
    return json.loads(path.read_text())


def rows(result, part="rows"):
    return {row["method"]: row for row in result[part]}


def test_the_file_says_where_what_and_how_often(result):
    expected = {
        "schema", "bench", "device", "threads", "torch", "packages", "dtype", "commit", "dirty", "shape", "layers",
        "reference", "released", "repeats", "methods", "rows", "linear",
    }  # fmt: skip
    assert expected <= set(result)
    assert (result["schema"], result["bench"], result["threads"], result["layers"]) == (1, "block", 1, 1)
    assert result["shape"] == {"hidden": 32, "intermediate": 128, "heads": 2, "kv_heads": 1, "head_dim": 16}
    assert (result["reference"], result["released"]) == ("lora_r32", "svft_released")


def test_every_method_has_a_row_with_all_columns(result):
    assert list(rows(result)) == list(METHODS) == list(result["methods"])
    columns = {
        "method", "tokens", "seconds", "tokens_per_second", "ratio", "ratio_low", "ratio_high", "ratio_released",
        "saved_bytes", "peak_bytes",
    }  # fmt: skip
    for row in result["rows"]:
        assert columns <= set(row)
        assert row["tokens_per_second"] == pytest.approx(TOKENS / row["seconds"])
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert rows(result)["lora_r32"]["ratio"] == rows(result)["svft_released"]["ratio_released"] == 1


def test_trained_and_base_numbers_are_counted_in_the_block_alone(result):
    trained = {name: entry["trained"] for name, entry in result["methods"].items()}
    assert trained["lora_r32"] == 32 * sum(sum(WEIGHTS[letter]) for letter in "QKVUD")
    ranks = [min(shape) for shape in WEIGHTS.values()]
    d = [min(16, K - 1) for K in ranks]
    assert trained["svft_random"] == sum(K * (2 * d + 1) - d * (d + 1) for K, d in zip(ranks, d, strict=True))
    assert trained["svft_released"] == trained["svft_random"] + 7  # gates
    assert (trained["svft_plain"], trained["full"], trained["head"]) == (sum(ranks), BASE, 0)
    assert {entry["base_bytes"] for entry in result["methods"].values()} == {4 * BASE}
    assert result["methods"]["full"]["resident_bytes"] == 4 * BASE
    assert result["methods"]["lora_r32"]["resident_bytes"] == 4 * (BASE + trained["lora_r32"])
    assert result["methods"]["svft_random"]["label"] == "SVFT-R (d=16)"
    assert result["methods"]["svft_random"]["targets"] == "QKVUDOG"


def test_a_block_in_which_nothing_is_trained_keeps_nothing(result):
    head, full = rows(result)["head"], rows(result)["full"]
    assert head["saved_bytes"] == head["largest_saved_bytes"] == 0
    # Gradients of all weights are alive at the end, besides the weights.
    assert full["peak_bytes"] > 8 * BASE > 4 * BASE + full["saved_bytes"]


def test_the_released_layer_keeps_weights_for_backward(result):
    """W_eff of every layer, which is what it is known for."""
    kept = rows(result)["svft_released"]
    assert kept["largest_saved_bytes"] >= 4 * HIDDEN * WIDE
    assert kept["saved_bytes"] > 4 * (BASE - 2 * HIDDEN) > rows(result)["lora_r32"]["saved_bytes"]


def test_the_linear_part_counts_the_products_of_every_svft_layer(result):
    linear = rows(result, "linear")
    assert list(linear) == ["svft_random", "svft_random_dropped", "svft_plain"]
    for row in linear.values():
        assert {"method", "tokens", "measured_seconds", "gemm_seconds", "ratio", "flops", "forms"} <= set(row)
        assert len(row["forms"]) == 7
        # No form does with less than two products of W0's size in all, forward and backward of x.
        assert row["flops"] >= 4 * TOKENS * (BASE - 2 * HIDDEN)


def test_targets_are_the_worst_of_their_methods_with_w0_kept_and_dropped(result):
    found = targets.check(result)
    saved = next(target for target in found if target.what.startswith("Bytes saved"))
    other = rows(result)["lora_r32"]["saved_bytes"]
    assert saved.kept == max(rows(result)[name]["saved_bytes"] for name in ("svft_random", "svft_plain")) / other
    assert saved.dropped == rows(result)["svft_random_dropped"]["saved_bytes"] / other
    at_1024 = next(target for target in found if "random, 1024" in target.what)
    assert (at_1024.kept, at_1024.dropped) == (None, None)
    assert not at_1024.is_missed("kept")
    at, beyond = (replace(at_1024, kept=at_1024.wanted + more) for more in (0, 0.01))
    assert (at.is_missed("kept"), beyond.is_missed("kept")) == (False, True)
    resident = next(target for target in found if target.what.startswith("Resident"))  # wanted with W0 dropped alone
    far = replace(resident, kept=9.0, dropped=9.0)
    assert (far.is_missed("kept"), far.is_missed("dropped")) == (False, True)


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--methods lora,full", "method 'lora' is not one of svft_plain, "),
        ("--tokens 700", "700 tokens are more than 512 and no multiple of it"),
        ("--repeats 0", "'0' is not an integer above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(argument, sentence, capsys):
    with pytest.raises(SystemExit) as stop:
        block.main(argument.split())
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_whole_model_is_counted_by_shapes_alone():
    """Of Gemma-2B's 18 blocks: LoRA r=32 on Q K V U D, and SVFT's stored vectors, V of tall and U of wide weights."""
    told = {name: block.whole(name) for name in ("lora_r32", "svft_plain", "svft_random_half")}
    (base,) = {entry["whole_base_bytes"] for entry in told.values()}
    assert 0 < base - 4 * 2_506_172_416 < 4096  # the frequencies of rotary positions besides
    added = {name: entry["whole_resident_bytes"] - entry["whole_base_bytes"] for name, entry in told.items()}
    assert added["lora_r32"] == 4 * 18 * 32 * (2 * 2048 + 2 * (2048 + 256) + 2 * (2048 + 16384))
    vectors = 18 * (2 * 2 * 2048**2 + 2 * 256**2 + 3 * 2048**2)  # Q and O both; K, V; G, U, D
    assert 4 * vectors < added["svft_plain"] < 1.01 * 4 * vectors
    pattern = added["svft_random_half"] - 2 * vectors
    assert 0 < pattern < 0.1 * 2 * vectors
