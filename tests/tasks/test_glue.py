"""The tasks of GLUE on a few rows with the columns of the published files."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import datasets
import pytest

from errors import DataError
from harness.run import data_report
from tasks.base import Benchmark, ClassExample, CorpusScorer, Task
from tasks.glue import SUBSETS, Glue, hub_file
from tasks.reading.sources import HubFile
from tasks.splits.halves import halves
from tests.conftest import task_of_yaml

DATA = Path(__file__).parent / "data"
HALVES = ("validation", "test")
COLUMNS = {  # of nyu-mll/glue, in the order of the files
    "cola": ["sentence", "label", "idx"],
    "sst2": ["sentence", "label", "idx"],
    "mrpc": ["sentence1", "sentence2", "label", "idx"],
    "stsb": ["sentence1", "sentence2", "label", "idx"],
    "qqp": ["question1", "question2", "label", "idx"],
    "mnli": ["premise", "hypothesis", "label", "idx"],
    "qnli": ["question", "sentence", "label", "idx"],
    "rte": ["sentence1", "sentence2", "label", "idx"],
}
SCORERS = {
    "cola": ["matthews", "accuracy"],
    "sst2": ["accuracy"],
    "mrpc": ["accuracy", "f1"],
    "stsb": ["pearson", "spearman"],
    "qqp": ["accuracy", "f1"],
    "mnli": ["accuracy"],
    "qnli": ["accuracy"],
    "rte": ["accuracy"],
}


def path(subset: str, part: str) -> str:
    return str(DATA / f"glue_{subset}_{part}.jsonl")


def local(subset: str) -> dict[str, str]:
    files = {"train_source": path(subset, "train"), "dev_source": path(subset, "dev")}
    return files | ({"mismatched_source": path(subset, "dev_mm")} if subset == "mnli" else {})


def glue(subset: str, **changes) -> Glue:
    return Glue(**{"subset": subset, "data_seed": 0} | local(subset) | changes)


def records(subset: str, part: str) -> list[dict]:
    return [json.loads(line) for line in Path(path(subset, part)).read_text().splitlines()]


def ids(benchmark, split: str) -> list[str]:
    return [example.id for example in benchmark.examples(split)]


class Generated:
    """Rows from no file."""

    def __init__(self, rows, fingerprint="a"):
        self._rows, self._fingerprint = rows, fingerprint

    def rows(self):
        return self._rows

    def fingerprint(self):
        return self._fingerprint


@pytest.fixture(params=SUBSETS)
def subset(request) -> str:
    return request.param


def test_there_are_the_eight_tasks_of_table_3():
    assert list(SUBSETS) == list(COLUMNS)


def test_each_yaml_is_a_task_of_its_name_put_to_benchmarks(subset):
    task = task_of_yaml(f"glue_{subset}", **local(subset))
    assert isinstance(task, Task)
    assert task.kind == "text_classification" and task.watched == "dev"
    assert task.name == f"glue_{subset}"
    assert list(task.benchmarks) == [task.name] + ["glue_mnli_mm"] * (subset == "mnli")
    for name, benchmark in task.benchmarks.items():
        assert isinstance(benchmark, Benchmark)
        assert benchmark.name == name
        assert benchmark.splits == ("validation", "test", "dev")
        assert all(benchmark.examples(split) for split in benchmark.splits)


def test_small_files_have_the_columns_of_the_published_ones(subset):
    for part in ("train", "dev"):
        assert all(list(record) == COLUMNS[subset] for record in records(subset, part))


def test_training_examples_are_the_rows_of_the_file_in_its_order(subset):
    text, *pair = COLUMNS[subset][:-2]
    assert glue(subset).examples("train") == [
        ClassExample(f"train-{number}", record[text], record[pair[0]] if pair else None, record["label"])
        for number, record in enumerate(records(subset, "train"))
    ]


def test_dev_is_the_rows_of_the_file_and_the_halves_share_them_out(subset):
    task = glue(subset)
    for benchmark, part in zip(task.benchmarks.values(), ("dev", "dev_mm"), strict=False):
        dev = benchmark.examples("dev")
        assert [e.label for e in dev] == [record["label"] for record in records(subset, part)]
        assert [e.text for e in dev] == [record[COLUMNS[subset][0]] for record in records(subset, part)]
        validation, test = (benchmark.examples(split) for split in HALVES)
        assert sorted(ids(benchmark, "validation") + ids(benchmark, "test")) == sorted(e.id for e in dev)
        assert len(validation) - len(test) in (0, 1)
        assert set(validation + test) == set(dev)


def test_ids_of_all_files_differ():
    task = glue("mnli")
    everything = [e.id for e in task.examples("train")] + [i for b in task.benchmarks.values() for i in ids(b, "dev")]
    assert len(everything) == len(set(everything)) == 18


def test_the_task_holds_out_the_validation_half_of_its_first_benchmark():
    task = glue("mnli")
    assert task.examples("validation") == task.benchmarks["glue_mnli"].examples("validation")
    assert task.benchmarks["glue_mnli_mm"].examples("dev")[0].text == "uh-huh we have had two dogs"


def test_scorers_start_with_the_metric_of_table_3(subset):
    for benchmark in glue(subset).benchmarks.values():
        assert list(benchmark.scorers) == SCORERS[subset]
        assert benchmark.metric == SCORERS[subset][0]


def test_the_labels_themselves_score_one(subset):
    benchmark = glue(subset).benchmarks[f"glue_{subset}"]
    golds = [example.label for example in benchmark.examples("dev")]
    for scorer in benchmark.scorers.values():
        if isinstance(scorer, CorpusScorer):
            assert scorer.metric(golds, golds) == pytest.approx(1)
            assert scorer.metric([5 - g if subset == "stsb" else 1 - g for g in golds], golds) <= 0
        else:
            assert all(scorer(gold, gold).correct and not scorer(gold + 1, gold).correct for gold in golds)


def test_number_of_classes():
    expected = dict.fromkeys(SUBSETS, 2) | {"mnli": 3, "stsb": 1}
    assert {subset: glue(subset).num_classes for subset in SUBSETS} == expected
    assert {type(e.label) for e in glue("stsb").examples("train")} == {float}
    assert {e.label for e in glue("mnli").examples("train")} == {0, 1, 2}


def test_a_parquet_file_with_the_published_types_gives_the_same_examples(subset, tmp_path):
    text = {column: datasets.Value("string") for column in COLUMNS[subset][:-2]}
    label = datasets.Value("float32") if subset == "stsb" else datasets.ClassLabel(glue(subset).num_classes)
    features = datasets.Features(text | {"label": label, "idx": datasets.Value("int32")})
    file = str(tmp_path / "train-00000-of-00001.parquet")
    datasets.Dataset.from_list(records(subset, "train"), features=features).to_parquet(file)
    for read, written in zip(
        glue(subset, train_source=file).examples("train"), glue(subset).examples("train"), strict=True
    ):
        assert (read.id, read.text, read.pair) == (written.id, written.text, written.pair)
        assert read.label == pytest.approx(written.label) and type(read.label) is type(written.label)


def test_a_data_seed_gives_the_same_halves_again_and_others_give_others():
    def drawn(seed: int) -> tuple[str, ...]:
        return tuple(ids(glue("cola", data_seed=seed).benchmarks["glue_cola"], "validation"))

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(8)}) > 1


def test_halves_do_not_depend_on_the_python_process():
    # A change here changes every run: numbers made before it no longer compare.
    benchmark = glue("cola").benchmarks["glue_cola"]
    assert ids(benchmark, "validation") == ["dev-1", "dev-2", "dev-4", "dev-5", "dev-8"]


@pytest.mark.parametrize("n", [0, 1, 100, 101])
def test_halves_are_stratified(n):
    rng = random.Random(0)
    labels = [rng.choice([0, 0, 0, 1, 2]) for _ in range(n)]
    first, second = halves(labels, random.Random(1))
    assert sorted(first + second) == list(range(n))
    assert first == sorted(first) and second == sorted(second)
    one, other = (Counter(labels[row] for row in half) for half in (first, second))
    # A class can share its first pair and its last one with its neighbours.
    assert all(abs(one[label] - other[label]) <= 2 for label in range(3))


def test_halves_of_values_have_like_means_and_no_half_gets_all_the_higher_ones():
    rng = random.Random(0)
    values = [rng.uniform(0, 5) for _ in range(400)]
    first, second = halves(values, random.Random(1))
    assert abs(sum(values[row] for row in first) - sum(values[row] for row in second)) / 200 < 0.01
    ordered = sorted(range(400), key=values.__getitem__)
    higher = sum(row in set(first) for row in ordered[1::2])
    assert 70 < higher < 130  # binomial(200, 1/2): four standard deviations are 28


def test_every_row_is_drawn_about_as_often_as_every_other():
    labels = [0] * 6 + [1] * 5
    counts = Counter(row for seed in range(2000) for row in halves(labels, random.Random(seed))[0])
    in_pairs = [counts[row] / 2000 for row in range(6)]
    assert all(0.45 < share < 0.55 for share in in_pairs)


def test_limit_keeps_the_first_of_train_and_of_each_half_and_dev_is_both():
    whole, short = glue("cola"), glue("cola", limit=2)
    assert short.examples("train") == whole.examples("train")[:2]
    benchmark, complete = short.benchmarks["glue_cola"], whole.benchmarks["glue_cola"]
    for split in HALVES:
        assert benchmark.examples(split) == complete.examples(split)[:2]
    kept = set(ids(benchmark, "validation") + ids(benchmark, "test"))
    assert benchmark.examples("dev") == [e for e in complete.examples("dev") if e.id in kept]
    assert len(benchmark.examples("dev")) == 4


def test_rows_may_come_from_a_generator():
    train = [("a premise", "a hypothesis", 2), ("another", "one", 0)]
    dev = [(f"text {number}", "pair", number % 3) for number in range(6)]
    task = Glue(
        subset="mnli", data_seed=0, name="made_up", train_source=Generated(train), dev_source=Generated(dev),
        mismatched_source=Generated(dev),
    )  # fmt: skip
    assert list(task.benchmarks) == ["made_up", "made_up_mm"]
    assert task.examples("train")[0] == ClassExample("train-0", "a premise", "a hypothesis", 2)
    assert len(task.benchmarks["made_up_mm"].examples("test")) == 3


def test_fingerprint_of_the_task_follows_what_training_and_selection_depend_on(tmp_path):
    copy = tmp_path / "copy.jsonl"
    copy.write_text(Path(path("mnli", "dev")).read_text())
    base = glue("mnli").fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", base)
    assert base == glue("mnli", dev_source=str(copy)).fingerprint() == glue("mnli", name="x").fingerprint()
    assert base == glue("mnli", mismatched_source=path("mnli", "dev")).fingerprint(), "it trains and selects nothing"
    copy.write_text(copy.read_text().replace("cold", "warm"))
    changes = [
        {"train_source": str(copy)}, {"dev_source": str(copy)}, {"data_seed": 1}, {"limit": 3}, {"train_source": None},
    ]  # fmt: skip
    assert len({glue("mnli", **change).fingerprint() for change in [{}, *changes]}) == 6


def test_fingerprint_of_a_benchmark_follows_its_dev_set_alone():
    def of(name: str, **changes) -> str:
        return glue("mnli", **changes).benchmarks[name].fingerprint()

    assert of("glue_mnli") == of("glue_mnli", train_source=None) == of("glue_mnli", mismatched_source=None)
    assert of("glue_mnli") != of("glue_mnli_mm") != of("glue_mnli_mm", mismatched_source=None)
    assert of("glue_mnli_mm") != of("glue_mnli_mm", data_seed=1) != of("glue_mnli_mm", limit=1)


def test_the_same_file_read_by_other_columns_is_another_data_set():
    rows = Generated([("a", "b", 0), ("c", "d", 1)])
    made = {"data_seed": 0, "train_source": rows, "dev_source": rows}
    assert Glue(subset="rte", **made).fingerprint() != Glue(subset="qnli", **made).fingerprint()


def test_fingerprint_of_hub_files_needs_no_download(subset):
    assert re.fullmatch("[0-9a-f]{64}", Glue(subset=subset, data_seed=0).fingerprint())


def test_files_of_the_hub_are_those_of_the_published_data_set():
    assert hub_file("mnli", "validation_matched") == HubFile(
        "nyu-mll/glue",
        "mnli/validation_matched-00000-of-00001.parquet",
        "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    )
    assert [str(b._part.source).partition(" ")[0] for b in Glue(subset="mnli", data_seed=0).benchmarks.values()] == [
        "nyu-mll/glue/mnli/validation_matched-00000-of-00001.parquet",
        "nyu-mll/glue/mnli/validation_mismatched-00000-of-00001.parquet",
    ]


def test_an_absent_file_is_named_with_columns_and_command():
    with pytest.raises(DataError) as error:
        glue("stsb", train_source="no/such.parquet").examples("train")
    assert str(error.value) == (
        "no file no/such.parquet with the columns sentence1, sentence2, label or sentence1, sentence2, score; "
        "`hf download nyu-mll/glue stsb/train-00000-of-00001.parquet --repo-type dataset "
        "--revision bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c --local-dir data/glue` "
        "fetches data/glue/stsb/train-00000-of-00001.parquet"
    )


@pytest.mark.parametrize(
    ("subset", "label", "range"), [("cola", -1, "0 to 1"), ("mnli", 3, "0 to 2"), ("stsb", 5.1, "0 to 5.0")]
)
def test_a_label_outside_of_the_task_is_named_with_its_row(subset, label, range, tmp_path):
    file = tmp_path / "dev.jsonl"
    rows = records(subset, "train")[:2]
    rows[1]["label"] = label
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError) as error:
        glue(subset, dev_source=str(file)).examples("validation")
    assert str(error.value) == (
        f"row 2 of {file} has label {label}, expected {range}; "
        "the official test sets of GLUE have no labels, train and dev sets have"
    )


def test_a_file_of_another_task_is_refused():
    with pytest.raises(DataError, match="has the columns sentence, label, idx; expected question1, question2, label"):
        glue("qqp", train_source=path("cola", "train")).examples("train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "wnli"}, "no task of GLUE is named 'wnli'; there are cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte"),
        ({"limit": 0}, "limit >= 1 (or null), not 0"),
        ({"mismatched_source": "a"}, "GLUE's cola has one dev set: mismatched_source is null, not a"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        glue("cola", **changes) if "subset" not in changes else Glue(data_seed=0, **changes)


def test_drawn_splits_have_the_rows_asked_for_and_share_no_text():
    train = Generated([(f"film {number % 40}", number % 2) for number in range(50)])
    dev = [(f"dev {number}", 0) for number in range(7)]
    sizes = {"train": 20, "validation": 10, "test": 8}
    task = glue("sst2", name="small", drawn=sizes, train_source=train, dev_source=Generated(dev))
    unused = task.benchmarks["small_unused"]
    splits = [task.examples("train"), task.examples("validation"), unused.examples("test")]
    assert [len(split) for split in splits] == [20, 10, 8]
    texts = [example.text for split in splits for example in split]
    assert len(set(texts)) == len(texts)
    assert [example.text for example in task.benchmarks["small"].examples("test")] == [text for text, _ in dev]
    assert task.watched is None


def test_drawn_splits_follow_the_data_seed_and_more_rows_than_there_are_are_refused():
    rows = Generated([(f"film {number}", number % 2) for number in range(50)])
    sources = {"train_source": rows, "dev_source": rows}
    one, same, other = (
        glue("sst2", drawn={"train": 20, "validation": 10}, data_seed=seed, **sources) for seed in (0, 0, 1)
    )
    assert one.examples("train") == same.examples("train") != other.examples("train")
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    with pytest.raises(DataError, match="50 different texts.*asks for 51; lower it"):
        glue("sst2", drawn={"train": 50, "validation": 1}, **sources).examples("train")
    with pytest.raises(ValueError, match="train, validation and, if wanted, test"):
        glue("sst2", drawn={"train": 50}, **sources)


def test_drawn_rows_are_in_the_fingerprint_of_a_task_that_has_them():
    assert glue("sst2", drawn={"train": 2, "validation": 1}).fingerprint() != glue("sst2").fingerprint()


def test_drawn_rows_are_those_of_the_runs_made_with_them():
    # A change here changes every run on drawn rows. Of rows with one text the first is drawn, in the place of the last.
    train = Generated([(text, 0) for text in "aabcbdefgh"])
    task = glue("sst2", drawn={"train": 4, "validation": 2}, train_source=train)
    assert [e.id for e in task.examples("train")] == ["train-0", "train-3", "train-8", "train-9"]
    assert [e.id for e in task.examples("validation")] == ["train-5", "train-7"]


TAKEN_OVER = [("a film", 0), *((f"film {number}", number % 2) for number in range(20)), ("dev 3", 1), ("dev 5", 0)]
DEV = [(f"dev {number}", number % 2) for number in range(7)]


def drawn_of(rows, dev, subset="sst2", **drawn) -> Glue:
    return glue(subset, name="small", drawn=drawn, train_source=Generated(rows), dev_source=Generated(dev, "dev"))


def test_rows_of_a_test_set_are_drawn_and_told_or_where_they_keep_apart_are_not_drawn_and_told():
    told = {}
    for apart in (False, True):
        task = drawn_of(TAKEN_OVER, DEV, train=10, validation=11, apart=apart)
        tested = set(task.benchmarks["small"].examples("test"))
        dev = {example.text for example in tested}
        texts = {split: {example.text for example in task.examples(split)} for split in ("train", "validation")}
        again = {split: len(own & dev) for split, own in texts.items()}
        wanted = [(task.benchmarks["small"], split) for split in HALVES]
        told[apart] = data_report.sentences(data_report.of(task, wanted, {}))
        assert len(tested) == len(DEV) and len(texts["train"] | texts["validation"]) == 21
        assert again == ({"train": 0, "validation": 0} if apart else {"train": 1, "validation": 1})
    assert told[False][-1] == "data: 1 of the 7 examples of small test are training examples too"
    assert told[True][-1].endswith("rows with a text of a test set are not drawn: 22, 23")


def test_rows_that_keep_apart_follow_the_test_set_and_others_do_not():
    def fingerprint(dev: str, **more) -> str:
        sources = {"train_source": Generated(TAKEN_OVER), "dev_source": Generated(DEV, dev)}
        return glue("sst2", drawn={"train": 2, "validation": 1, **more}, **sources).fingerprint()

    assert fingerprint("a") == fingerprint("b") == fingerprint("a", apart=False)
    assert len({fingerprint("a"), fingerprint("a", apart=True), fingerprint("b", apart=True)}) == 3


def test_rows_are_apart_by_both_texts_of_a_pair_and_from_both_dev_sets():
    rows = [("one", "two", 0), ("one", "other", 1), ("three", "four", 2), ("five", "six", 0)]
    dev, mismatched = [("one", "two", 0)], [("three", "four", 2)]
    task = glue(
        "mnli", drawn={"train": 1, "validation": 1, "apart": True}, train_source=Generated(rows),
        dev_source=Generated(dev), mismatched_source=Generated(mismatched),
    )  # fmt: skip
    assert {(e.text, e.pair) for split in ("train", "validation") for e in task.examples(split)} == {
        ("one", "other"), ("five", "six"),
    }  # fmt: skip


def test_rows_that_keep_apart_need_the_files_of_the_test_set():
    train, dev = path("cola", "train"), path("cola", "dev")
    sizes = {"train": 2, "validation": 1}
    assert [file.name for file in glue("cola", drawn=sizes).files()] == [train]
    assert [file.name for file in glue("cola", drawn={**sizes, "apart": True}).files()] == [train, dev]


def test_more_rows_than_stand_in_no_test_set_and_a_word_for_apart_are_refused():
    with pytest.raises(DataError, match="21 different texts that stand in no test set, .*asks for 22; lower it"):
        drawn_of(TAKEN_OVER, DEV, train=20, validation=2, apart=True).examples("train")
    with pytest.raises(ValueError, match="drawn.apart is true or false, not 'no'"):
        drawn_of(TAKEN_OVER, DEV, train=2, validation=1, apart="no")


def test_values_are_drawn_as_classes_are():
    rows = [(f"a {number}", f"b {number}", number / 4) for number in range(20)]
    dev = [("a 3", "b 3", 0.75), ("c", "d", 5.0)]
    task = drawn_of(rows, dev, subset="stsb", train=12, validation=7, apart=True)
    values = [(e.text, e.label) for split in ("train", "validation") for e in task.examples(split)]
    assert sorted(values) == sorted((a, value) for a, _, value in rows if a != "a 3")
    assert task.num_classes == 1 and task.benchmarks["small"].metric == "pearson"
