"""Wrong inputs: one sentence that says what is wrong and what may be there, an exit code, and nothing else.

What is on the disk stays as it is, byte for byte, and nothing comes to it.
"""

import importlib
import json
import re
import shutil
import sys

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from baselines import SpectralAdapterConfig, VectorFitConfig
from cluster import sweep
from errors import SettingError
from harness.console import told
from harness.plan import config, overview
from harness.run import tracking
from harness.store import files
from svft import SvftConfig
from tests import processes
from tests.conftest import ROOT

MICRO = ROOT / "assets" / "micro_gemma"
OWN = "task=generation task.source.train={data}"
CLASSES = "task=classification model=micro_deberta task.source.train={data}"
IMAGES = "task=image_folder model=micro_vit task.source.root={data}"
VIT = "task=digits model=micro_vit"
PAPERS = "task=gsm8k task.source.train_source={data}"
QUICK = "train.max_steps=1 task.source.train_size=4 task.source.validation_size=2 task.source.test_size=2"

# What is typed, with {data} for the folder of wrong files, and the sentence that answers it, a regular expression.
CASES = {
    # names
    "method=svft_randm": "error: there is no method 'svft_randm'; .*waveft; did you mean 'svft_random'",
    f"method=svft_gradient method.callbacks.support=null {VIT}": "error: this method needs its trainer callback Grad",
    f"method=lora_dash ~method.callbacks {VIT}": "error: this method needs its trainer callback DashDirections",
    f"method=ditask method.adapter.cells=null {VIT}": "error: method.adapter.cells=null is not a whole number, 2",
    "task=gsm9k": "error: there is no task 'gsm9k'; .*; did you mean 'gsm8k'",
    "model=gema2b": "error: there is no model 'gema2b'; .*; did you mean 'gemma2b'",
    "recipe=cleen": "error: there is no recipe 'cleen'; .*; did you mean 'clean'",
    "experiment=tabel1": "error: there is no experiment 'tabel1'; .*; did you mean 'table1'",
    "train.lrr=1": "error: there is no 'train.lrr'; train has lr, .*; did you mean 'lr'",
    "experiment=micro_table1 trian.lr=1": "error: there is no 'trian.lr'; .*; did you mean 'train'",
    "experiment=micro_table1,micro_table2": "error: experiment=micro_table1,micro_table2: one experiment at a time",
    "experiment=table1 experiment=table2": "error: experiment=table1 experiment=table2: one experiment at a time",
    "experiment=micro_table1 plan=maybe": "error: plan=maybe is neither true, false nor a device: a100, ",
    "-m method=lora,nope": "^error: there is no method 'nope'; there are adalora, ",
    "-m plan=true method=lora,nope": "error: there is no method 'nope'; there are adalora, ",
    "-m plan=true method=lora,svft_banded method.adapter.d=8": "error: .*lora .*: there is no 'method.adapter.d'",
    "--resolved": "^error: unrecognized arguments: --resolved$",
    "seed=0,1": "error: seed=0,1 is several values, and so several runs: python run.py -m seed=0,1 ...$",
    # values
    "seed=": "error: seed= is not a whole number from 0 to 4294967295$",
    "train.lr=nan": "error: train.lr=nan is not a finite number, 0 or more$",
    f"method=hra method.adapter.apply_GS=off {VIT}": "error: method.adapter.apply_GS=off is not true or false$",
    f"method=lokr method.adapter.decompose_both=No {VIT}": "error: method.adapter.decompose_both=No is not true or fa",
    f"{CLASSES} task.source.regression=off": "error: task.source.regression=off is not true or false$",
    "threads=-3": "error: threads=-3 is not a whole number from 1 to 1024, or null$",
    "train.batch_size=10 train.micro_batch_size=4": r"error: train.batch_size=10 is not a multiple of 4 \(train.micro",
    "model=micro_gemma train.select_best={by:score}": r"takes by \(loss, or score of a classifier\)",
    "device=tpu": "error: device=tpu is not one of auto, cpu, cuda$",
    "evaluate.splits=[tset]": "error: evaluate.splits: task micro_gsm has validation, test, not 'tset'$",
    "evaluate.benchmarks=[nope]": "error: evaluate.benchmarks: task micro_gsm has micro_gsm, micro_math, not 'nope'$",
    "evaluate.engine=vllm": "error: evaluate.engine=vllm is none of auto, generate, refill$",
    "runs_dir={data}/good.csv": "error: {data}/good.csv/.* cannot be written: Not a directory; move away",
    "+train.sharding=ddp": "error: train.sharding=ddp is unknown; it is fsdp2, or left out$",
    # methods
    "method.targets=XYZ": "error: role letter 'X', 'Y', 'Z' matches no layer of micro_gemma; its letters are Q, K, V,",
    "method.targets=QQ": "error: role letter 'Q' is twice in 'QQ'; once is enough$",
    "method.targets=null": "error: None are no role letters; those of micro_gemma are Q, K, V, ",
    "+method.adapter.rnak=4": "error: svft.SvftConfig: there is no 'rnak'; it has .*; did you mean 'rank'",
    "method=fusion": "error: method.parts has to be given: method.parts=",
    "method=fusion method.parts={}": "error: harness.fusion.Fusion: parts={} is not {task: variant of the run",
    "method=fusion method.parts={micro_gsm:r4}": "error: no finished run in .* is called r4 with seed=0; run it first:",
    "method=vera method.adapter.r=0": "error: method.adapter.r=0 is not a whole number, 1 or more$",
    "method=head": "error: head-only training needs",
    # data
    f"{OWN}/nowhere.csv": "error: no file {data}/nowhere.csv; paths are taken from",
    f"{OWN}/latin.csv": "error: {data}/latin.csv cannot be read as csv: byte 14 is not UTF-8; save it as UTF-8$",
    f"{OWN}/good.csv task.source.stop=END": r"error: tasks.own_text.OwnGeneration: stop is a list, as \[END\], not",
    f"{OWN}/good.csv task.source.prompt=[]": r"error: tasks.own_text.OwnGeneration: prompt=\[\] names no column; it is",
    f"{CLASSES}/one_label.csv": "error: {data}/one_label.csv has one class in 'label', {'1'}; two or more are needed$",
    f"{CLASSES}/one_label.csv task.source.regression=true": "error: {data}/one_label.csv has one value in 'label'",
    f"{PAPERS}/good.csv": "error: {data}/good.csv has the columns prompt, target; expected type, query, response$",
    f"{PAPERS}/broken.jsonl": "error: {data}/broken.jsonl cannot be read as jsonl: line 2: Expecting value$",
    f"{PAPERS}/no.parquet": "error: {data}/no.parquet cannot be read as parquet: Parquet magic bytes not found",
    "task.source.train_size=0": "error: micro_gsm has no train examples; what task.source says leaves none$",
    "task.source.test_size=-1": "error: task.source.test_size=-1 is not a whole number, 0 or more$",
    f"{IMAGES}/nowhere": "error: no folder {data}/nowhere; task.source.root names one with a folder of images for",
    f"{IMAGES}/one_class": "error: {data}/one_class has 1 folders; expected one for each of two classes or more$",
    # checkpoints
    "model.checkpoint={data}/nowhere": "error: there is no folder '{data}/nowhere'; model.checkpoint of model micro",
    "model.checkpoint={data}/empty": "error: checkpoint '{data}/empty' of model micro_gemma has no config.json; name a",
    "model.checkpoint={data}/no_tokenizer": "error: checkpoint '{data}/no_tokenizer' .* has no tokenizer; add",
    "model.checkpoint={data}/truncated": "error: the weights of checkpoint '{data}/truncated' .* are truncated or dama",
    "model.checkpoint={data}/wider": "error: the weights of checkpoint '{data}/wider' .*: their shapes are others",
    "model.checkpoint={data}/pickled": "error: checkpoint '{data}/pickled' .*`python -m harness.convert {data}/pickled",
    "model.checkpoint={data}/deberta": "error: checkpoint '{data}/deberta' of model micro_gemma could not be loaded",
    "task=micro_sst2 model=encoder model.checkpoint={data}/gutted": "error: checkpoint '{data}/gutted' .* of different",
    "model=decoder": "error: model.checkpoint has to be given: model.checkpoint=",
    "model=decoder model.checkpoint=nobody/nothing": "error: checkpoint 'nobody/nothing' .* `hf download nobody/",
    # what does not fit together
    "task=micro_shapes": "error: model micro_gemma is of family decoder; a task of kind 'image_class.*' needs family",
    f"{CLASSES}/classes.csv model=micro_gemma": "error: model micro_gemma is of family decoder; .* family encoder$",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Files and folders that are wrong, each in one way. As they were, when all is done."""
    folder = tmp_path_factory.mktemp("data")
    texts = {
        "good.csv": "prompt,target\n" + "".join(f"{i} plus 1,{i + 1}\n" for i in range(20)),
        "classes.csv": "text,label\n" + "a,1\nb,0\n" * 10,
        "one_label.csv": "text,label\n" + "a,1\n" * 10,
        "broken.jsonl": '{"type": "a", "query": "b", "response": "c"}\n{"type": \n',
        "no.parquet": "no parquet",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "latin.csv").write_bytes("prompt,target\nä,ö\n".encode("latin-1"))
    (folder / "one_class" / "a").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "one_class" / "a" / "0.png")
    (folder / "empty").mkdir()
    for name in ("no_tokenizer", "truncated", "wider", "pickled", "deberta"):
        shutil.copytree(MICRO, folder / name)
    for path in (folder / "no_tokenizer").glob("token*"):
        path.unlink()
    weights = folder / "truncated" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    described = folder / "wider" / "config.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"intermediate_size": 640}))
    (folder / "pickled" / "model.safetensors").unlink()
    torch.save({}, folder / "pickled" / "pytorch_model.bin")
    shutil.copytree(ROOT / "assets" / "micro_deberta", folder / "gutted")
    shutil.copyfile(folder / "gutted" / "config.json", folder / "deberta" / "config.json")
    shutil.copyfile(MICRO / "model.safetensors", folder / "gutted" / "model.safetensors")
    before = files.sums(folder)
    yield folder
    assert files.sums(folder) == before


@pytest.mark.parametrize("typed", CASES)
def test_a_wrong_input_is_answered_by_one_sentence_and_leaves_nothing(tmp_path, data, typed):
    runs = tmp_path / "runs"
    arguments = typed.replace("{data}", str(data)).split(" ")
    given = {argument.partition("=")[0] for argument in arguments}
    arguments += [item for item in (f"runs_dir={runs}", "wandb.mode=disabled") if item.partition("=")[0] not in given]
    done = processes.call(*arguments, cwd=tmp_path)
    sentence = CASES[typed].replace("{data}", str(data))
    assert done.returncode not in (0, None)
    assert len(re.findall(sentence, done.stderr, re.MULTILINE)) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {".cache"}  # Hydra's, of a sweep


def test_a_wrong_run_of_a_sweep_stops_no_other(tmp_path):
    typed = f"-m method=lora train.lr=nan,1e-3,fast evaluate.splits=[validation] {QUICK}".split(" ")
    done = processes.call(*typed, f"runs_dir={tmp_path}/runs", "wandb.mode=disabled", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert re.findall("^error: .*", done.stderr, re.MULTILINE) == [
        f"error: train.lr={value} is not a finite number, 0 or more" for value in ("nan", "fast")
    ]
    [record] = (tmp_path / "runs").rglob("record.json")
    content = json.loads(record.read_text())
    assert (content["status"], content["config"]["train"]["lr"]) == ("done", 1e-3)


WRONG_VALUES = {
    "seed": ("abc", -1, 1.5, 2**32, None, True),
    "threads": (0, 1.5, "two", 100_000),
    "runs_dir": (None, ""),
    "force": ("maybe", 1),
    "plan": ("", 3),
    "evaluate.batch_size": (0, -1, "x"),
    "evaluate.splits": ([], "test", [1]),
    "evaluate.benchmarks": ([], "gsm8k"),
    "evaluate.merged": ("perhaps",),
    "wandb.mode": ("of", None),
    "wandb.project": ("", "a/b", "50%", "x" * 129, 3),
    "wandb.group": ("", 3),
    "train.lr": ("fast", -1, float("inf"), None, True),
    "train.head_lr": (-1e-3,),
    "train.weight_decay": (-0.1, None),
    "train.betas": ([0.9], [2, 0.9], 0.9),
    "train.max_grad_norm": (-1,),
    "train.schedule": ("spiral", "reduce_lr_on_plateau"),
    "train.warmup_ratio": (-1, 1.5, float("nan")),
    "train.epochs": (0, -2, "many"),
    "train.max_steps": (0, 1.5),
    "train.batch_size": (0, "ten"),
    "train.micro_batch_size": (0,),
    "train.max_length": (0, "long"),
    "train.precision": ("fp8", "fp16"),
    "train.select_best": ("maybe", 1, {"by": "accuracy"}, {"by": "loss", "every": 0}, {"evry": 3}),
    "train.checkpoint_every": (0,),
    "train.log_every": (0,),
    "task.name": ("", "a/b", "..", None),
    "model.name": ("../x",),
    "model.roles": ("Q", 3, None, {}, {"Q": 3}, ["Q"]),
    "task.data_seed": (-1, "x"),
    "task.max_new_tokens": (0,),
    "method.lr": (-1,),
    "method.adapter.lora_alpha": ("x", 0, None),
    "method.adapter.boft_block_size": ("x", -1),
    "method.adapter.boft_n_butterfly_factor": (0,),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG_VALUES.items() for value in values])
def test_a_value_that_cannot_be_is_refused_by_its_key(composed, key, value):
    cfg = composed("method=svft_banded")
    OmegaConf.update(cfg, key, value, merge=False, force_add=True)
    with pytest.raises(SettingError, match=rf"^{re.escape(key)}=.* is not \S+ "):
        config.resolve(cfg)


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 2**32 - 1, "threads": None, "plan": "a100", "wandb": {"project": "svft (2)", "group": None}},
        {"threads": 1024, "method": {"adapter": {"lora_alpha": 0.5}}},
        {"train": {"lr": 0, "select_best": {"by": "loss", "every": 500}, "max_grad_norm": None, "warmup_ratio": 100}},
        {"train": {"epochs": 0.5, "max_steps": None, "select_best": {"by": "score"}, "betas": [0, 0.999]}},
        {"task": {"name": "mine_2.1"}, "evaluate": {"benchmarks": ["micro_gsm"], "splits": ["validation"]}},
    ],
)
def test_values_at_the_edge_of_what_can_be_are_taken(composed, settings):
    cfg = composed()
    OmegaConf.set_struct(cfg, False)
    cfg.merge_with(settings)
    assert config.resolve(cfg)["seed"] == cfg.seed


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pattern": "spiral"}, "pattern='spiral' is not one of plain, banded, random, topk"),
        ({"preset": "dirty"}, "preset='dirty' is not one of clean, authors_code"),
        ({"pattern": "banded"}, "pattern='banded' needs d, an integer >= 0 .*, not None"),
        ({"pattern": "random", "d": -1}, "needs d, an integer >= 0 .*, not -1"),
        ({"d": 3}, "pattern='plain' is the diagonal and takes no d=3"),
        ({"rank": 0}, "rank=0 is neither None nor an integer >= 1"),
        ({"seed": "a"}, "seed='a' is not an integer"),
        ({"form": "fast"}, "form='fast' is not one of auto, "),
        ({"pattern": "topk", "d": 1, "topk_score": "released", "rank": 4}, "topk_score='released' .* use topk_score="),
        ({"target_modules": "q", "layers_to_transform": [0]}, "layers_to_transform goes with a list"),
        ({"gate": "off"}, "gate='off' is none of True, False and None"),
        ({"keep_weight": None}, "keep_weight=None is neither True nor False"),
    ],
)
def test_svft_names_the_setting_and_its_choices(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        SvftConfig(**settings)


@pytest.mark.parametrize(
    ("config_class", "name"),
    [
        *((SvftConfig, name) for name in ("keep_weight", "gate", "replacement", "truncate_base", "init_weights")),
        *((VectorFitConfig, name) for name in ("train_bias", "multiplicative", "save_basis")),
        *((SpectralAdapterConfig, name) for name in ("scale", "init_weights", "inference_mode")),
    ],
)
@pytest.mark.parametrize("value", ["no", 0])
def test_what_is_true_or_false_takes_no_word_and_no_number(config_class, name, value):
    sizes = {"mode": "rotation", "r": 1} if config_class is SpectralAdapterConfig else {}
    with pytest.raises(ValueError, match=f"{name}={value!r} is "):
        config_class(**sizes, **{name: value})
    assert getattr(config_class(**sizes, **{name: True}), name) is True


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("nope.Nope", r"nope.Nope: it cannot be imported \(No module named 'nope'\)"),
        ("peft.Nope", r"peft.Nope: it cannot be imported \(.*Nope.*\)"),
        ("svft", "svft: Expected a callable target"),
    ],
)
def test_a_class_that_is_none_is_refused_with_its_name(target, sentence):
    with pytest.raises(SettingError, match=f"^{sentence}"):
        config.instantiate(OmegaConf.create({"_target_": target}))


def test_a_plan_with_a_run_that_cannot_be_ends_as_that_run_would(composed, monkeypatch, tmp_path):
    monkeypatch.setattr(told, "failures", [])
    sound, wrong = (composed("method=svft_plain", f"runs_dir={tmp_path}") for _ in range(2))
    overview.show([sound], 1)
    assert told.failures == []
    wrong.seed = "x"
    found = overview.show([wrong, sound], 2)
    assert [run.state for run in found] == ["refused", "to do"]
    assert told.failures == ["seed=x is not a whole number from 0 to 4294967295"]


def test_a_mode_of_weights_and_biases_that_is_none_is_refused_with_where_it_is_from(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "of")
    assert tracking.wandb_mode("offline") == "offline"
    with pytest.raises(SettingError, match="^WANDB_MODE=of is none of online, offline, disabled, "):
        tracking.wandb_mode("auto")


def test_a_folder_of_sweeps_that_is_a_file_has_none_and_is_not_called_damaged(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=f"^there is no sweep 'nope' in {tmp_path}/file; there are: none$"):
        sweep.read(tmp_path / "file" / "nope")


# Other programs, by module, and the sentence.
PROGRAMS = {
    "harness.doctor.__main__ model=gema2b": "error: there is no model 'gema2b'; .*; did you mean 'gemma2b'",
    "papers.manifests table1 tabel2 --out {out}": "error: there is no table or figure 'tabel2'; .* mean 'table2'",
    "papers.recount table1": "error: unrecognized arguments: table1$",
    "analysis.program tables --runs {out} --out {out}": "error: there is no folder {out}; --runs names the one with",
    "analysis.program search --family x --task n --model n --out {out}": "no method was run at two learning rates",
    "bench.block --methods nope --out {out}": "error: argument --methods: method 'nope' is not one of svft_plain, ",
    "cluster.__main__ status NOPE --folder {out}": "error: there is no sweep 'NOPE' in {out}; there are: none$",
}


@pytest.mark.parametrize("typed", PROGRAMS)
def test_other_programs_answer_in_a_sentence_too(tmp_path, monkeypatch, capsys, typed):
    out = tmp_path / "out"
    module, *arguments = typed.format(out=out).split(" ")
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    try:
        code = importlib.import_module(module).main()
    except SystemExit as stop:
        code = stop.code
    said = f"{capsys.readouterr().err}{code if isinstance(code, str) else ''}"
    assert code not in (0, None)
    assert len(re.findall(PROGRAMS[typed].format(out=out), said, re.MULTILINE)) == 1, said
    assert not any(tmp_path.iterdir())
