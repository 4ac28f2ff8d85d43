"""What every task must do, over every conf/task/*.yaml. A new task is held to all of this by having a yaml."""

import sys
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf, open_dict

from errors import SettingError
from harness.modality import modalities
from harness.models.bases import AUTO_CLASS
from harness.plan import config, data_files
from harness.run import data_report
from harness.train import scores
from tasks.base import Benchmark, ClassExample, ImageExample, Task, TextExample, ValueScorer
from tasks.reading import sources
from tests.conftest import ROOT

TASKS = sorted(path.stem for path in (ROOT / "conf" / "task").glob("*.yaml"))
DATA = ROOT / "tests" / "tasks" / "data"
EXAMPLE = {
    "generation": TextExample, "text_classification": ClassExample, "image_classification": ImageExample,
}  # fmt: skip


def few_shot(file: str, validation: list[str] | None = None) -> dict:
    files = {"train": [file], "validation": validation, "test": [file]}
    return {"folder": str(DATA / "vision"), "files": files, "num_classes": 3, "train_per_class": 2}


def glue(subset: str) -> dict[str, Any]:
    sources = {"train_source": f"glue_{subset}_train.jsonl", "dev_source": f"glue_{subset}_dev.jsonl"}
    if subset == "mnli":
        sources["mismatched_source"] = "glue_mnli_dev_mm.jsonl"
    return {key: str(DATA / name) for key, name in sources.items()}


METAMATH = {
    "train_source": str(DATA / "metamathqa.json"), "gsm8k_source": str(DATA / "gsm8k_test.jsonl"),
    "math_source": str(DATA / "math_test.jsonl"), "validation_size": 2,
}  # fmt: skip
DRAWN = {"drawn": {"train": 2, "validation": 1}}
APART = {"drawn": {"train": 2, "validation": 1, "apart": True}}
SHARES = {"validation_share": 0.2, "test_share": 0.3}
LOCAL = {  # small files with the real columns, in the place of what would be downloaded
    "gsm8k": METAMATH, "math": METAMATH, "metamath": METAMATH,
    "commonsense": {"root": str(DATA / "commonsense"), "validation_size": 3},
    **{f"glue_{subset}": glue(subset) for subset in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")},
    "sst2_1600": glue("sst2") | DRAWN, "mrpc_1600": glue("mrpc") | DRAWN, "cola_1600": glue("cola") | APART,
    "rte_1600": glue("rte") | APART, "stsb_1600": glue("stsb") | APART, "sst2_text": glue("sst2") | DRAWN,
    "mawps": SHARES | {
        "train": str(DATA / "own_generation.jsonl"), "validation": None, "test": None, "target": "answer",
        "gold": None, "scorers": ["exact"],
        "more": {"svamp": {"test": str(DATA / "own_generation.jsonl"), "prompt": "hint"}},
    },
    "cifar100": few_shot("img_fine_label.parquet"), "food101": few_shot("image_label.parquet"),
    "flowers102": few_shot("image_label.parquet", ["image_label.parquet"]),
    "resisc45": few_shot("image_label.parquet", ["image_label.parquet"]),
    "vader_movies": {
        "folder": str(DATA / "vader_movies"), "train_per_class": 2, "validation_per_class": 1, "test_per_class": 1,
    },
    "image_folder": {"root": str(DATA / "vision" / "folder")},
    "generation": SHARES | {"train": str(DATA / "own_generation.jsonl"), "prompt": "question", "target": "answer"},
    "classification": SHARES | {"train": str(DATA / "own_classification.csv"), "text": "review", "label": "stars"},
    "gsm8k_few_shot": {
        "train_source": str(DATA / "gsm8k_few_shot_train.jsonl"),
        "gsm8k_source": str(DATA / "gsm8k_few_shot_test.jsonl"), "validation_size": 2,
    },
}  # fmt: skip


@cache
def make(composed, name: str, *overrides: str) -> Task:
    """The task of the yaml, on the small files. The tests only look at it, so it is made once."""
    cfg = composed(f"task={name}", *overrides)
    with open_dict(cfg):
        for key, value in LOCAL.get(name, {}).items():
            cfg.task.source[key] = value
    return config.instantiate(cfg.task.source)


def splits(task: Task) -> list[tuple[Benchmark, str]]:
    return [(benchmark, split) for benchmark in task.benchmarks.values() for split in benchmark.splits]


def right(example):
    """What a model that knows the answer would predict."""
    if not isinstance(example, TextExample):
        return example.label
    return ranked(example.target, example) if example.choices else example.target


def ranked(answer: str, example) -> dict[str, Any]:
    """The prediction of a model that writes `answer` and finds it certain, and each choice else nearly impossible."""
    likelihoods = {choice: 0.0 if choice == answer else -9.0 for choice in example.choices}
    return {"text": answer, "likeliest": answer, "log_likelihoods": likelihoods}


def wrong(task: Task, example):
    if isinstance(example, TextExample):
        return ranked("I do not know.", example) if example.choices else "I do not know."
    return -example.label if isinstance(example.label, float) else (example.label + 1) % task.num_classes


def gold(example):
    return example.gold if isinstance(example, TextExample) else example.label


@pytest.fixture(params=TASKS)
def name(request):
    return request.param


def test_a_task_has_what_the_harness_relies_on(composed, name):
    task = make(composed, name)
    assert isinstance(task, Task)
    assert task.name == composed(f"task={name}").task.name
    assert task.kind in {kind for _, kind in AUTO_CLASS}
    assert all(isinstance(benchmark, Benchmark) for benchmark in task.benchmarks.values())
    assert [benchmark.name for benchmark in task.benchmarks.values()] == list(task.benchmarks)
    assert all(benchmark.scorers and benchmark.metric for benchmark in task.benchmarks.values())
    if task.kind != "generation":
        assert task.num_classes >= 1


def test_examples_are_of_the_kind_that_the_task_states_and_no_split_is_empty(composed, name):
    task = make(composed, name)
    held = [task.examples("train"), task.examples("validation")]
    for examples in [*held, *(benchmark.examples(split) for benchmark, split in splits(task))]:
        assert len(examples) > 0
        assert all(isinstance(example, EXAMPLE[task.kind]) for example in examples)


def test_training_examples_are_in_no_split_that_is_scored(composed, name):
    task = make(composed, name)
    train = {example.id for example in task.examples("train")}
    assert len(train) == len(task.examples("train"))
    for benchmark, split in splits(task):
        ids = [example.id for example in benchmark.examples(split)]
        assert len(set(ids)) == len(ids)
        assert not train & set(ids)


def shown(example):
    return example.prompt if isinstance(example, TextExample) else (example.text, example.pair)


def test_scored_examples_that_are_trained_on_word_for_word_are_counted_and_told(composed, name):
    task = make(composed, name)
    report = data_report.of(task, splits(task), {})
    told = "\n".join(data_report.sentences(report))
    if task.kind == "image_classification":
        assert report["also_trained_on"] == {}
        return
    trained = set(map(shown, task.examples("train")))
    for benchmark, split in splits(task):
        again = sum(shown(example) in trained for example in benchmark.examples(split))
        assert report["also_trained_on"].get(f"{benchmark.name} {split}", 0) == again
        assert (
            f"{again:,} of the {len(benchmark.examples(split)):,} examples of {benchmark.name} {split}" in told
        ) == (again > 0)


def test_validation_and_test_of_a_benchmark_are_disjoint(composed, name):
    task = make(composed, name)
    for benchmark in task.benchmarks.values():
        if {"validation", "test"} <= set(benchmark.splits):
            validation, test = ({e.id for e in benchmark.examples(split)} for split in ("validation", "test"))
            assert not validation & test


def test_every_task_has_a_benchmark_with_validation_data_so_that_a_rate_can_be_picked(composed, name):
    if name == "math":  # its training is that of gsm8k, whose held-out problems serve both
        name = "metamath"
    task = make(composed, name)
    assert any("validation" in benchmark.splits for benchmark in task.benchmarks.values())
    assert any("test" in benchmark.splits for benchmark in task.benchmarks.values())


def test_the_same_configuration_gives_the_same_examples_and_fingerprints(composed, name):
    first, second = (make.__wrapped__(composed, name) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    assert [e.id for e in first.examples("train")] == [e.id for e in second.examples("train")]
    for (benchmark, split), (again, _) in zip(splits(first), splits(second), strict=True):
        assert benchmark.fingerprint() == again.fingerprint()
        assert [e.id for e in benchmark.examples(split)] == [e.id for e in again.examples(split)]


def test_another_data_seed_gives_another_fingerprint(composed, name):
    assert make(composed, name).fingerprint() != make(composed, name, "task.data_seed=1").fingerprint()


def test_what_cannot_be_drawn_by_chance_does_not_depend_on_the_seed_of_the_training(composed, name):
    assert make(composed, name).fingerprint() == make(composed, name, "seed=7").fingerprint()


def test_right_answers_score_1_and_wrong_ones_less_by_every_scorer(composed, name):
    task = make(composed, name)
    for benchmark in task.benchmarks.values():
        examples = [e for e in list(benchmark.examples(benchmark.splits[0]))[:20] if e.id not in NEVER_SOLVED]
        golds = [gold(example) for example in examples]
        for scorer in benchmark.scorers.values():
            constant = len(set(golds)) == 1  # a correlation with a constant is 0 by definition
            best = scores.mean_score(scorer, [right(e) for e in examples], golds)
            worst = scores.mean_score(scorer, [wrong(task, e) for e in examples], golds)
            if isinstance(scorer, ValueScorer):
                assert best == 0 < worst
                continue
            assert best == pytest.approx(1) or (constant and scores.is_corpus(scorer))
            assert worst < best or (constant and scores.is_corpus(scorer))


NEVER_SOLVED = ("math-2", "math-3")  # golds that the released scoring of MATH cannot read


def test_classes_have_a_name_each_or_none(composed, name):
    task = make(composed, name)
    names = task.class_names
    assert len(names) in (0, task.num_classes) and len(set(names)) == len(names)
    assert isinstance(names, tuple) and all(isinstance(each, str) and each for each in names)


MINE = """
from tasks.base import OwnBenchmark

class Mine(OwnBenchmark):
    kind, name, metric, scorers = "generation", "mine", "accuracy", {}
    BODY
    def fingerprint(self):
        return ""
    def examples(self, split):
        return []
"""


def mine(tmp_path, monkeypatch, body: str) -> Task:
    """A user's task, in a module of its own, as a yaml names it."""
    (tmp_path / "mine.py").write_text(MINE.replace("BODY", body))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return config.instantiate(OmegaConf.create({"_target_": "mine.Mine"}))


def test_what_a_task_leaves_out_is_as_the_interface_says(tmp_path, monkeypatch):
    task = mine(tmp_path, monkeypatch, "trains_on_prompt = True")
    assert (task.trains_on_prompt, task.tokenised_as_released, task.class_names, task.watched) == (
        True,
        False,
        (),
        None,
    )
    assert (task.stop, task.beams, task.max_new_tokens, list(task.notes), list(task.files())) == ((), 1, None, [], [])
    assert task.fetch() is None
    with pytest.raises(SettingError, match="task mine does not say how rows of a file are asked"):
        task.questions([])


@pytest.mark.parametrize(
    ("body", "wrong", "right"),
    [
        ("train_on_prompt = True", "train_on_prompt", "trains_on_prompt"),
        ("trains_on_promt: bool", "trains_on_promt", "trains_on_prompt"),
        ("tokenized_as_released = True", "tokenized_as_released", "tokenised_as_released"),
        ("def __init__(self): self.class_name = ('a', 'b')", "class_name", "class_names"),
        ("def __init__(self): self.max_new_token = 3", "max_new_token", "max_new_tokens"),
        ("def question(self, rows): return []", "question", "questions"),
        ("def __init__(self): self.stops = ('.',)", "stops", "stop"),
    ],
)
def test_a_misspelt_attribute_is_an_error_and_no_other_training(tmp_path, monkeypatch, body, wrong, right):
    with pytest.raises(SettingError, match=f"Mine has an attribute '{wrong}', and the harness reads '{right}'"):
        mine(tmp_path, monkeypatch, body)


def test_attributes_of_ones_own_are_welcome(tmp_path, monkeypatch):
    task = mine(tmp_path, monkeypatch, "def __init__(self): self.seed, self.template, self._stops = 3, 'Q:', ('.',)")
    assert (task.seed, task.stop) == (3, ())


def test_every_training_budget_is_of_a_family_that_a_task_names():
    """Hydra composes conf/train/<recipe>/<family>.yaml where there is one; a file of another name would be unread."""
    named = set()
    for path in (ROOT / "conf" / "task").glob("*.yaml"):
        choices = OmegaConf.load(path).get("defaults", [])
        named |= {each["override /family@_global_.family"] for each in choices if not isinstance(each, str)}
    budgets = {path.stem for path in (ROOT / "conf" / "train").glob("*/*.yaml")}
    assert budgets <= named, f"no task is of the family {budgets - named}"


def test_what_only_looks_like_a_task_is_refused():
    with pytest.raises(SettingError, match="SimpleNamespace does not derive from tasks.base.Task"):
        modalities.look(SimpleNamespace(), [])


def test_files_that_a_task_reads_are_told_and_are_there(composed, name):
    files = data_files.of(make(composed, name))
    assert all(file.present and not file.remedy for file in files)
    assert (len(files) > 0) == (name in LOCAL)


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_files_that_are_absent_are_told_with_the_way_to_get_them(composed, name, monkeypatch):
    monkeypatch.setattr(sources, "try_to_load_from_cache", lambda *_, **__: None)
    cfg = composed(f"task={name}")
    absent = {key: "/absent" for key in ("train", "root", "folder") if key in set(cfg.task.source)}
    with open_dict(cfg):
        absent |= {"more": {"svamp": {"test": "/absent"}}} if "more" in LOCAL[name] else {}
        for key, value in (LOCAL[name] | absent).items():
            if not key.endswith("_source"):  # the hub's own file then
                cfg.task.source[key] = value
    files = data_files.of(config.instantiate(cfg.task.source))
    assert files and all(file.remedy and not file.present for file in files)
