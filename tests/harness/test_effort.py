"""What a run computes, against counts by hand; how long it takes, against planted records; and the plan with both."""

import itertools
import math

import pytest
import torch
from omegaconf import OmegaConf, open_dict

from errors import SettingError
from harness.plan import config, counting, devices, effort, overview, work
from harness.store import files
from tests.processes import call

# A decoder of two blocks whose products can be counted on paper.
h, ff, heads, kv, dim, vocabulary, layers = 32, 48, 4, 2, 8, 100, 2
ARCHITECTURE = {
    "model_type": "llama", "hidden_size": h, "intermediate_size": ff, "num_hidden_layers": layers,
    "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": dim, "vocab_size": vocabulary,
}  # fmt: skip
SHAPES = {"Q": (heads * dim, h), "K": (kv * dim, h), "V": (kv * dim, h), "O": (h, heads * dim),
          "G": (ff, h), "U": (ff, h), "D": (h, ff)}  # fmt: skip
BATCH, LENGTH = 3, 16
TOKENS = BATCH * LENGTH
WEIGHTS = layers * sum(o * i for o, i in SHAPES.values()) + vocabulary * h
SCORES = layers * 2 * 2 * BATCH * heads * LENGTH**2 * dim  # Q K^T and its product with V, forward


@pytest.fixture
def tiny(composed):
    def made(*overrides, blocks=layers):
        cfg = composed("task=micro_gsm", "model=llama3_8b", *overrides)
        with open_dict(cfg):
            cfg.model.architecture, cfg.model.blocks = ARCHITECTURE | {"num_hidden_layers": blocks}, blocks
            cfg.model.dtype = "float32"
            cfg.train.micro_batch_size, cfg.train.batch_size, cfg.train.max_length = BATCH, BATCH, LENGTH
        return cfg

    return made


def test_full_fine_tuning_computes_six_operations_a_weight_and_token(tiny):
    found = work.of_run(tiny("method=full"), 5)
    assert found.forward.operations == 2 * WEIGHTS * TOKENS + SCORES
    # The products with the input of the first block are computed too: the embedding is trained.
    assert found.micro_step.operations == 3 * found.forward.operations
    assert found.decode.operations == 2 * WEIGHTS * 5 + layers * 2 * 2 * 5 * heads * dim
    assert found.cache_bytes == 2 * layers * kv * dim * 4
    assert found.forward.launches < found.micro_step.launches


def test_lora_computes_no_gradient_of_a_frozen_weight(tiny):
    r, letters = 4, "QKVUD"
    found = work.of_run(tiny("method=lora", f"method.adapter.r={r}", f"method.targets={letters}"), 5)
    adapter = layers * sum(r * sum(SHAPES[letter]) for letter in letters)
    assert found.forward.operations == 2 * (WEIGHTS + adapter) * TOKENS + SCORES
    # Backward: through every weight but the three that meet the frozen embedding; of A and B their own gradients too,
    # and through A but for those three.
    first = sum(math.prod(SHAPES[letter]) for letter in "QKV")
    through_a = adapter + layers * r * sum(sum(SHAPES[letter]) for letter in letters) - r * 3 * h
    backward = 2 * (WEIGHTS - first) * TOKENS + 2 * through_a * TOKENS + 2 * SCORES
    assert found.micro_step.operations == found.forward.operations + backward


def test_svft_computes_what_its_layers_say(tiny):
    """Where all layers but the first three are alike: `gemms` says what each layer multiplies in both passes."""
    cfg = tiny("method=svft_plain", "method.targets=UDOG")
    found = work.of_run(cfg, 5)
    model = counting.adapted_without_weights(cfg, "present").model
    adapted = [layer for layer in model.modules() if hasattr(layer, "gemms")]
    products = sum(2 * math.prod(shape) for layer in adapted for shape in layer.gemms(TOKENS))
    rest = sum(math.prod(SHAPES[letter]) for letter in "QKV")
    others = 2 * TOKENS * (layers * rest + (layers - 1) * rest + 2 * vocabulary * h)
    assert len(adapted) == 4 * layers
    first = SCORES / layers * 2  # of the first block's attention nothing is trained, so it has no backward pass
    unused = found.micro_step.operations - (products + others + 3 * SCORES - first)
    o = 2 * TOKENS * math.prod(SHAPES["O"])  # nor is the gradient of what goes into its output layer
    assert -3 * o <= unused <= 0


def test_a_model_is_counted_from_one_and_two_of_its_blocks(tiny):
    cfg = tiny("method=boft", "method.targets=QV", blocks=4)
    whole = work._whole(OmegaConf.create(config.resolve(cfg)), BATCH, LENGTH, "fp32", 7)
    assert work.of_run(cfg, 7) == whole
    assert whole.micro_step.operations > work.of_run(tiny("method=boft", "method.targets=QV"), 7).micro_step.operations


def test_the_extensions_kernel_is_replaced_by_the_same_matrix():
    blocks = torch.randn(2, 3, 4, 4)
    wanted = torch.stack([torch.block_diag(*each) for each in blocks])
    assert torch.equal(counting._BlockDiagonal.apply(blocks), wanted)


def test_a_head_alone_has_next_to_no_backward_pass(composed):
    found = work.of_run(composed("task=digits", "model=micro_vit", "method=head"), 5)
    assert found.forward.operations < found.micro_step.operations < 1.01 * found.forward.operations
    assert found.decode == work.Work(0, 0)


DEVICE = devices.Device("toy", "Toy", "Toy", bf16=2e12, fp32=1e12, bandwidth=1e9, bytes=1e9, source="")


def test_counted_seconds_are_steps_of_operations_at_the_stated_share_of_the_peak(tiny, monkeypatch):
    monkeypatch.setattr(effort, "LAUNCH", 0)
    cfg = tiny("method=full", "train.max_steps=10", "evaluate.splits=[test]",
               "evaluate.benchmarks=[micro_gsm]", "task.source.test_size=12")  # fmt: skip
    cfg.train.batch_size, cfg.evaluate.batch_size = 4 * BATCH, 5
    found = effort.counted(cfg, DEVICE)
    done = work.of_run(cfg, 5)
    second = 1e12 * effort.UTILISATION
    assert found.train == pytest.approx(10 * 4 * done.micro_step.operations / second)
    cached = done.cache_bytes * 5 * (LENGTH + 64 / 2)
    token = max(done.decode.operations / second, (done.weight_bytes + cached) / 1e9)
    reading = done.forward.operations / second * 5 / BATCH
    assert found.evaluate == pytest.approx(3 * (reading + 64 * token))
    assert (found.device, found.measured) == ("Toy", False)


def test_small_models_take_the_time_of_launching(tiny):
    cfg = tiny("method=full", "train.max_steps=10")
    found = effort.counted(cfg, devices.known()["h100"])
    assert found.train == pytest.approx(
        10 * work.of_run(cfg, cfg.evaluate.batch_size).micro_step.launches * effort.LAUNCH
    )


@pytest.mark.parametrize(
    ("overrides", "benchmark", "split", "number"),
    [
        (["task=metamath", "model=gemma2b"], None, "train", 39_500),
        (["task=metamath", "model=gemma2b", "recipe=authors_code"], None, "train", 40_000),
        (["task=metamath", "model=gemma2b"], "math", "test", 5_000),
        (["task=metamath", "model=gemma2b"], "gsm8k", "validation", 500),
        (["task=metamath", "model=gemma2b", "task.source.limit=7"], "gsm8k", "test", 7),
        (["task=commonsense", "model=gemma2b"], None, "train", 14_880),
        (["task=glue_rte", "model=deberta_v3_base"], "glue_rte", "validation", 139),
        (["task=glue_rte", "model=deberta_v3_base"], "glue_rte", "test", 138),
        (["task=resisc45", "model=vit_b16"], None, "train", 450),
        (["task=resisc45", "model=vit_b16"], "resisc45", "test", 6_300),
        (["task=micro_gsm"], None, "train", 2_000),
        (["task=digits", "model=micro_vit"], None, "train", 100),
    ],
)
def test_the_number_of_examples_is_known_without_the_files(composed, overrides, benchmark, split, number):
    task = config.instantiate(composed(*overrides).task.source)
    assert effort.examples(task, task.benchmarks[benchmark] if benchmark else task, split) == (number, "")


def test_files_of_ones_own_that_are_absent_leave_the_hours_unknown(composed):
    cfg = composed("task=classification", "model=micro_deberta", "task.source.train=absent.csv", "method=lora")
    found = effort.counted(cfg, DEVICE)
    assert found.train is None and "absent.csv is not at hand" in found.problem


@pytest.fixture
def records(tmp_path, composed):
    """Writes a record as a run would; the time is of training, in seconds."""
    numbers = itertools.count()

    def write(*overrides, seconds, device="Toy GPU", status="done"):
        cfg = composed(f"runs_dir={tmp_path}", *overrides)
        resolved = config.resolve(cfg)
        names = ("task", "model", "method")
        folder = tmp_path.joinpath(*(resolved[group]["name"] for group in names), f"v-{next(numbers)}")
        folder = folder / f"seed={cfg.seed}"
        folder.mkdir(parents=True)
        values = {
            "status": status, "key": "k", "run": config.names(cfg, resolved), "config": resolved,
            "fingerprints": {}, "provenance": {"device": {"type": "cuda", "name": device}},
            "train": {"step_seconds": seconds, "steps": 300},
            "scores": {"b": {"validation": {"seconds": 5}, "test": {"seconds": 20}}},
        }  # fmt: skip
        files.write_sealed(folder / "record.json", values)

    return write


def measured(composed, tmp_path, *overrides, elsewhere=None) -> effort.Effort:
    return effort.of_run(composed(f"runs_dir={tmp_path}", *overrides), effort.Records(), DEVICE, elsewhere)


def test_a_record_of_the_same_configuration_is_taken_before_one_of_another_rate(composed, tmp_path, records):
    records("method=lora", "seed=1", seconds=100)
    for lr, seconds in (("0.5", 600), ("0.25", 700), ("0.125", 900)):
        records("method=lora", f"train.lr={lr}", seconds=seconds)
    assert measured(composed, tmp_path, "method=lora") == effort.Effort(100, 25, "Toy GPU", True)
    assert measured(composed, tmp_path, "method=lora", "train.lr=0.1").train == 650  # the median of all


@pytest.mark.parametrize("other", ["train.max_steps=7", "train.batch_size=64", "method.adapter.r=3",
                                   "task.source.train_size=50", "model.dtype=bfloat16"])  # fmt: skip
def test_a_record_of_other_work_is_not_taken(composed, tmp_path, records, other):
    records("method=lora", seconds=100)
    assert not measured(composed, tmp_path, "method=lora", other).measured


def test_a_record_of_another_device_or_unfinished_or_damaged_is_not_taken(composed, tmp_path, records):
    records("method=lora", seconds=100, device="Abacus")
    records("method=lora", seconds=100, status="failed")
    records("method=lora", seconds=100)
    (tmp_path / "micro_gsm/micro_gemma/lora/v-2/seed=0/record.json").write_text('{"schema": 1, ')
    assert not measured(composed, tmp_path, "method=lora").measured
    assert measured(composed, tmp_path, "method=lora", elsewhere="Abacus").device == "Abacus"


def test_a_device_is_chosen_by_name_and_known_by_the_name_cuda_gives_it(monkeypatch):
    assert devices.chosen("H200").label == "H200"
    with pytest.raises(SettingError, match=r"plan=abacus .* a100, a100_40g, h100"):
        devices.chosen("abacus")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, wanted in (("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA A100-SXM4-40GB", "a100_40g"),
                         ("NVIDIA GeForce RTX 4090", "rtx4090"), ("Abacus", devices.REFERENCE)):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda name=name: name)
        assert devices.chosen(True).name == wanted


def test_what_fits_depends_on_the_device():
    memory = counting.Memory(60 * 10**9, 15 * 10**9, 10**9)
    fits = {name: overview.fits(memory, device) for name, device in devices.known().items()}
    assert (fits["h100"], fits["h200"], fits["l40s"]) == ("yes", "yes", "no")
    assert overview.fits(None, devices.known()["h100"]) == overview.UNKNOWN


@pytest.mark.parametrize(("seconds", "said"), [(None, "?"), (0, "0"), (47, "0.013"), (3600 * 4.21, "4.2"),
                                               (3600 * 34.4, "34"), (3600 * 1234, "1,234")])  # fmt: skip
def test_hours_have_two_digits_that_count(seconds, said):
    assert overview._hours(seconds) == said


def test_the_plan_of_one_run_on_a_named_device_says_hours_and_where_they_are_from(tmp_path):
    done = call("plan=l40s", "method=svft_plain", f"runs_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "1 to do" in done.stdout and "counted" in done.stdout and "48 GB of one L40S" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_unknown_ends_the_plan_with_a_sentence():
    done = call("plan=abacus")
    assert done.returncode == 1 and "plan=abacus is neither" in done.stderr and "Traceback" not in done.stderr
