"""Fusion of finished runs: what is added, which head answers, and what is refused."""

import re
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from peft import PeftModel

import run
from errors import SettingError
from harness.adapters import adapt
from harness.models import bases
from harness.plan import config
from harness.run import command_line
from harness.store import record
from tests import processes

BLOCKS = {"micro_sst2": 0, "micro_cola": 4}
COMMON = ("model=micro_deberta", "wandb.mode=disabled", "seed=3")
SMALL = (
    "train.max_steps=3",
    "train.select_best=false",
    "train.lr=1e-2",
    "task.source.train_size=32",
    "task.source.dev_size=16",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of runs: an additive Spectral Adapter and a LoRA for each task, a PiSSA and a DoRA for the first."""
    from hydra import compose, initialize_config_dir

    from tests.conftest import ROOT

    runs = tmp_path_factory.mktemp("fusion") / "runs"
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for task, block in BLOCKS.items():
            spectral = ("method=spectral_additive", "method.adapter.r=4", f"method.adapter.block={block}")
            for method in (spectral, ("method=lora", "method.adapter.r=4")):
                overrides = [f"runs_dir={runs}", f"task={task}", "method.targets=QK", *method, *COMMON, *SMALL]
                run.main(compose("config", overrides=overrides))
        for method in ("pissa", "dora"):
            overrides = [f"runs_dir={runs}", "task=micro_sst2", f"method={method}", "method.adapter.r=4",
                         "method.targets=QK", *COMMON, *SMALL]  # fmt: skip
            run.main(compose("config", overrides=overrides))
    return runs


PARTS = {
    "spectral_additive": {"micro_sst2": "r4-0-QK", "micro_cola": "r4-4-QK"},
    "lora": {"micro_sst2": "r4-QK", "micro_cola": "r4-QK"},
}


def fusion(composed, runs, *, of="spectral_additive", mode="sum", task="micro_sst2", parts=None):
    named = ", ".join(f"{name}: {variant}" for name, variant in (parts or PARTS[of]).items())
    return composed(
        f"runs_dir={runs}", f"task={task}", "method=fusion", f"method.of={of}", f"method.mode={mode}",
        f"method.parts={{{named}}}", *COMMON, *SMALL[2:],
    )  # fmt: skip


def fused(cfg):
    base = bases.load(cfg.model, "text_classification", num_labels=2)
    return adapt.adapt(base, config.instantiate(cfg.method.adapter), cfg.model.head)


def deltas(folder) -> dict[str, torch.Tensor]:
    base = bases.load(OmegaConf.load(folder / "config.yaml").model, "text_classification", num_labels=2)
    model = PeftModel.from_pretrained(base, folder / "adapter")
    return {n: m.get_delta_weight("default") for n, m in model.named_modules() if hasattr(m, "get_delta_weight")}


@pytest.mark.parametrize("of", PARTS)
@pytest.mark.parametrize(("mode", "weight"), [("sum", 1.0), ("mean", 0.5)])
def test_the_fused_update_is_the_sum_or_the_mean_of_the_parts(composed, trained, of, mode, weight):
    folders = [next(trained.glob(f"{task}/micro_deberta/{of}/*/seed=3")) for task in BLOCKS]
    first, second = (deltas(folder) for folder in folders)
    model = fused(fusion(composed, trained, of=of, mode=mode)).model
    found = {n: m.get_delta_weight("default") for n, m in model.named_modules() if hasattr(m, "get_delta_weight")}
    assert len(found) == 8
    for name, delta in found.items():
        assert first[name].norm() > 1e-3
        torch.testing.assert_close(delta, weight * (first[name] + second[name]), atol=1e-6, rtol=1e-5)


def test_a_part_that_was_trained_with_dropout_is_fused_without_it(composed, tmp_path):
    lora = ("method=lora", "method.adapter.r=4", "method.targets=QK", "method.adapter.lora_dropout=0.5")
    run.main(composed(f"runs_dir={tmp_path}", "task=micro_sst2", *lora, *COMMON, *SMALL))
    model = fused(fusion(composed, tmp_path, of="lora", parts={"micro_sst2": "r4-QK"})).model
    dropouts = [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p == 0.5]
    assert len(dropouts) == 8 and not any(module.training for module in dropouts)
    inputs = {"input_ids": torch.randint(5, 100, (2, 7), generator=torch.Generator().manual_seed(0))}
    assert torch.equal(model(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize("task", BLOCKS)
def test_the_head_is_that_of_the_part_trained_on_the_task(composed, trained, task):
    from safetensors.torch import load_file

    (folder,) = trained.glob(f"{task}/micro_deberta/spectral_additive/*/seed=3")
    expected = load_file(folder / "adapter" / "adapter_model.safetensors")["base_model.model.classifier.weight"]
    model = fused(fusion(composed, trained, task=task)).model
    assert torch.equal(model.get_submodule("base_model.model.classifier").weight, expected)


def test_parts_on_one_block_of_columns_are_fused_by_their_factors_alone(composed, trained, capsys):
    same = {"micro_sst2": "r4-0-QK", "micro_cola": "r4-0-QK"}
    command_line.failures.clear()
    run.main(composed(f"runs_dir={trained}", "task=micro_cola", "method=spectral_additive", "method.adapter.r=4",
                      "method.adapter.block=0", "method.targets=QK", *COMMON, *SMALL))  # fmt: skip
    cfg = fusion(composed, trained, parts=same)
    with pytest.raises(SettingError, match="share columns"):
        fused(cfg)
    cfg.method.combination = "linear"
    assert any((p != 0).any() for name, p in fused(cfg).model.named_parameters() if "spectral_A_U" in name)


def test_nothing_is_trained_and_the_record_says_so(composed, trained, capsys):
    cfg = fusion(composed, trained)
    run.main(cfg)
    run.main(cfg)
    assert capsys.readouterr().out.count("done before: ") == 1
    (path,) = trained.glob("micro_sst2/micro_deberta/fusion/*/seed=3/record.json")
    done = record.read(path)
    assert done.status == "done"
    assert (done.num_trainable_params, done.train["steps"]) == (0, 0)
    assert len(done.scores["micro_sst2"]["test"]["scorers"]["accuracy"]["items"]) == 8
    fusion_of = config.instantiate(cfg.method.adapter)
    assert done.fingerprints["adapter"] == fusion_of.fingerprint(done.fingerprints["model"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"parts": {"micro_sst2": "r4-0-QK", "micro_cola": "r5-QK"}}, "no finished run in .* is called r5-QK with"),
        ({"task": "micro_rte"}, "the head is that of the part trained on micro_rte, and the parts are micro_sst2"),
        ({"mode": "product"}, "mode='product' is not one of sum, mean"),
    ],
)  # fmt: skip
def test_what_cannot_be_fused_is_refused_in_one_sentence(composed, trained, capsys, change, sentence):
    command_line.failures.clear()
    run.main(fusion(composed, trained, **change))
    error = capsys.readouterr().err
    command_line.failures.clear()
    assert re.search(sentence, error), error


def test_a_part_whose_adapter_was_not_kept_is_refused(composed, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "runs")
    for folder in tmp_path.rglob("adapter"):
        shutil.rmtree(folder)
    with pytest.raises(SettingError, match="its adapter was not kept"):
        fused(fusion(composed, tmp_path / "runs"))


def test_a_fusion_alone_in_its_process_knows_the_tuner_of_its_parts(trained):
    """It is the only one to import that tuner: PEFT does not know it before."""
    parts = ",".join(f"{task}:{variant}" for task, variant in PARTS["spectral_additive"].items())
    done = processes.call(f"runs_dir={trained}", "task=micro_cola", "method=fusion", f"method.parts={{{parts}}}",
                          *COMMON, *SMALL[2:])  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("combination", ["cat", "linear"])
def test_a_fusion_of_one_pissa_run_is_that_run(composed, trained, combination):
    """PiSSA's adapter is stored relative to weights that attaching it changes."""
    (folder,) = trained.glob("micro_sst2/micro_deberta/pissa/*/seed=3")
    cfg = fusion(composed, trained, of="pissa", parts={"micro_sst2": "r4-QK"})
    cfg.method.combination = combination
    inputs = {"input_ids": torch.randint(5, 100, (2, 7), generator=torch.Generator().manual_seed(0))}
    base = bases.load(cfg.model, "text_classification", num_labels=2)
    expected = PeftModel.from_pretrained(base, folder / "adapter").eval()(**inputs).logits
    found = fused(cfg).model.eval()(**inputs).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        ("dora", "method.of=dora: the adapter of micro_sst2 alone, fused with combination=cat, is off by"),
        ("vectorfit", "method.of=vectorfit: PEFT has no way to add the updates of such adapters"),
        ("head", "has weights of the model itself and no adapter: runs of that method are not fused"),
    ],
)
def test_what_has_no_sum_of_updates_is_refused(composed, trained, of, sentence):
    folder = trained / "micro_sst2" / "micro_deberta" / of
    if not folder.exists():
        targets = "" if of == "head" else "method.targets=QK"
        run.main(composed(f"runs_dir={trained}", "task=micro_sst2", f"method={of}", *filter(None, [targets]), *COMMON,
                          *SMALL))  # fmt: skip
    [variant] = (path.name for path in folder.iterdir())
    with pytest.raises(SettingError, match=sentence):
        fused(fusion(composed, trained, of=of, parts={"micro_sst2": variant}))


def test_a_part_of_another_base_is_refused(composed, trained):
    """Its folder says the same: a model yaml of one's own has one name for whatever checkpoint."""
    adapter = config.instantiate(fusion(composed, trained).method.adapter)
    with pytest.raises(SettingError, match="the run of micro_sst2 in .* was trained on another micro_deberta "):
        adapter.fingerprint("0" * 64)
