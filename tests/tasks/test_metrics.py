"""Metrics against scikit-learn and scipy, and against values worked out by hand."""

import math
import random
import subprocess
import sys
import warnings

import evaluate
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from errors import NotFinite, SettingError
from harness.run import evaluator
from harness.train import scores
from tasks.base import CorpusScorer
from tasks.scoring import corpus
from tasks.scoring.corpus import f1, matthews, pearson, spearman
from tasks.scoring.verdicts import exact_class
from tests.conftest import ROOT, task_of_yaml
from tests.tasks.test_own_text import classification, generation


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(seed: int, regression: bool) -> tuple[list, list]:
    """Golds, and predictions that are right rather more often than not."""
    rng = random.Random(seed)
    golds = [rng.uniform(0, 5) if regression else rng.randrange(2) for _ in range(200)]
    return [g + rng.gauss(0, 1) if regression else (g if rng.random() < 0.7 else 1 - g) for g in golds], golds


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_classes_are_those_of_scikit_learn(seed):
    predictions, golds = drawn(seed, regression=False)
    assert matthews(predictions, golds) == pytest.approx(matthews_corrcoef(golds, predictions))
    assert f1(predictions, golds) == pytest.approx(f1_score(golds, predictions))
    assert sum(predictions) != sum(golds), "F1 would not show which argument is which"


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_values_are_those_of_scipy(seed):
    predictions, golds = drawn(seed, regression=True)
    assert pearson(predictions, golds) == pytest.approx(stats.pearsonr(golds, predictions).statistic)
    assert spearman(predictions, golds) == pytest.approx(stats.spearmanr(golds, predictions).statistic)


def test_matthews_of_a_table_worked_out_by_hand():
    # TP 3, TN 2, FP 1, FN 2: (3 * 2 - 1 * 2) / sqrt(4 * 5 * 3 * 4)
    golds, predictions = [1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 1]
    assert matthews(predictions, golds) == pytest.approx(4 / math.sqrt(240))


def test_f1_of_a_table_worked_out_by_hand_is_that_of_class_1():
    # TP 1, FP 1, FN 0: precision 1/2, recall 1. Class 0 would have 6/7.
    assert f1([1, 1, 0, 0, 0], [1, 0, 0, 0, 0]) == pytest.approx(2 / 3)


def test_correlations_worked_out_by_hand():
    # Deviations (-1, 0, 1) and (-2, -1, 3): 5 / sqrt(2 * 14). Ranks are the same.
    assert pearson([1.0, 2.0, 3.0], [0.0, 1.0, 5.0]) == pytest.approx(5 / math.sqrt(28))
    assert spearman([1.0, 2.0, 3.0], [0.0, 1.0, 5.0]) == pytest.approx(1)
    # Ranks (1.5, 1.5, 3) and (1, 2, 3): 1.5 / sqrt(1.5 * 2)
    assert spearman([7.0, 7.0, 9.0], [0.0, 1.0, 5.0]) == pytest.approx(math.sqrt(0.75))


@pytest.mark.parametrize("metric", [matthews, f1, pearson, spearman])
def test_the_golds_themselves_score_one_and_it_is_a_plain_number(metric):
    score = metric([0, 1, 1, 0], [0, 1, 1, 0])
    assert score == pytest.approx(1)
    assert type(score) is float


@pytest.mark.parametrize("metric", [matthews, pearson, spearman])
def test_the_opposite_scores_minus_one(metric):
    assert metric([1, 0, 0, 1], [0, 1, 1, 0]) == pytest.approx(-1)


@pytest.mark.parametrize("metric", [matthews, pearson, spearman])
@pytest.mark.parametrize(
    ("predictions", "golds"), [([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([1, 1], [1, 1]), ([1], [1])]
)
def test_what_is_constant_correlates_with_nothing(metric, predictions, golds):
    assert metric(predictions, golds) == 0.0


@pytest.mark.parametrize(("predictions", "golds"), [([0, 0, 0], [0, 1, 1]), ([0, 0], [0, 0]), ([1, 1], [0, 0])])
def test_f1_without_a_hit_is_zero(predictions, golds):
    assert f1(predictions, golds) == 0.0


@pytest.mark.parametrize("metric", [pearson, spearman])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_predictions_that_are_no_numbers_correlate_with_nothing(metric, broken):
    assert metric([1.0, broken, 3.0], [1.0, 2.0, 3.0]) == 0.0


def test_predictions_alike_but_for_rounding_do_not_raise():
    assert -1 <= pearson(np.nextafter([1.0, 1.0, 1.0], [2.0, 1.0, 1.0]).tolist(), [1.0, 2.0, 3.0]) <= 1


# --- as metrics of the library evaluate ---


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Where evaluate would leave something: a place of the test's own."""
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "metrics")
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for found in (corpus._local, corpus._own):
        found.cache_clear()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
        del sys.modules[name]


CLASSES = {
    "accuracy": lambda p, g: accuracy_score(g, p),
    "f1": lambda p, g: f1_score(g, p),
    "matthews": lambda p, g: matthews_corrcoef(g, p),
}
VALUES = {
    "pearson": lambda p, g: stats.pearsonr(p, g).statistic,
    "spearman": lambda p, g: stats.spearmanr(p, g).statistic,
}


@pytest.mark.parametrize("name", [*CLASSES, *VALUES])
def test_a_metric_that_evaluate_loads_from_its_folder_is_to_the_bit_what_scikit_learn_or_scipy_says(name, caches):
    metric = evaluate.load(str(ROOT / "tasks" / "metrics" / name), cache_dir=str(caches), keep_in_memory=True)
    for seed in range(3):
        predictions, golds = drawn(seed, regression=name in VALUES)
        found = metric.compute(predictions=predictions, references=golds)
        assert found == {name: float((CLASSES | VALUES)[name](predictions, golds))}
        assert corpus.Local(name)(predictions, golds) == found[name]


def test_accuracy_is_the_mean_of_verdicts_on_items():
    predictions, golds = drawn(0, regression=False)
    mean = sum(exact_class(p, g).correct for p, g in zip(predictions, golds, strict=True)) / len(golds)
    assert corpus.Local("accuracy")(predictions, golds) == mean


def test_metrics_of_the_house_leave_nothing_behind(caches):
    for metric in (f1, matthews, pearson, spearman):
        metric([0, 1, 1, 0], [0, 1, 0, 0])
    assert list(caches.iterdir()) == []


def test_evaluate_is_not_imported_before_something_is_scored():
    code = (
        "import sys, tasks.glue, tasks.own_text; from tasks.scoring.corpus import f1; "
        "assert not {'evaluate', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


OWN = """
import datasets
import evaluate

class Length(evaluate.Metric):
    def _info(self):
        value = datasets.Value("KIND")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return RESULT
"""


def own_metric(folder, result: str, kind: str = "string", name: str = "length") -> str:
    (folder / name).mkdir(exist_ok=True)
    (folder / name / f"{name}.py").write_text(OWN.replace("RESULT", result).replace("KIND", kind))
    return str(folder / name)


LENGTH = '{"length": sum(map(len, predictions)) / sum(map(len, references))}'


def test_a_users_metric_scores_beside_those_of_the_task(tmp_path):
    path = own_metric(tmp_path, LENGTH)
    task = generation(metrics=[path])
    assert list(task.scorers) == ["exact", "length"]
    score = scores.score(task.scorers["length"], ["ab", "c"], ["abcd", "ef"])
    assert score["mean"] == 0.5 and score["items"] is None
    assert task.fingerprint() == generation().fingerprint()


def test_a_users_metric_gets_indices_of_classes_numbers_and_indices_of_images(tmp_path):
    mean = '{"mean": sum(predictions) / len(predictions)}'
    path = own_metric(tmp_path, mean, "float64", "mean")
    folder = str(ROOT / "tests" / "tasks" / "data" / "vision" / "folder")
    for task in (classification(metrics=[path]), task_of_yaml("image_folder", root=folder, metrics=[path])):
        assert list(task.scorers) == ["accuracy", "mean"]
        assert scores.mean_score(task.scorers["mean"], [0, 1, 1, 0], [1, 1, 1, 1]) == 0.5


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            '{"a": 1.0, "b": 2.0}',
            r"returns \{'a': 1.0, 'b': 2.0\}; it has to be one number, or one of them under 'length'",
        ),
        ('{"length": "long"}', "returns {'length': 'long'}"),
        ("predictions[0] + 1", "does not take these predictions"),
    ],
)
def test_a_metric_that_gives_no_number_is_one_sentence(tmp_path, result, said):
    task = generation(metrics=[own_metric(tmp_path, result)])
    with pytest.raises(SettingError, match=f"the metric .*length {said}"):
        task.scorers["length"].metric(["a"], ["b"])


@pytest.mark.parametrize("line", ["import datasets, evaluate", "import datasets\nimport nowhere_to_be_found"])
def test_a_metric_that_cannot_be_imported_is_one_sentence_with_its_file(tmp_path, line):
    path = own_metric(tmp_path, LENGTH, name="lines")
    file = tmp_path / "lines" / "lines.py"
    file.write_text(file.read_text().replace("import datasets", line))
    with pytest.raises(SettingError, match=f"metrics: {file} cannot be imported, with each import on its own line"):
        generation(metrics=[path])


def test_a_metric_that_is_no_finite_number_is_no_score(tmp_path):
    task = generation(metrics=[own_metric(tmp_path, '{"length": float("nan")}')])
    found = scores.score(task.scorers["length"], ["a", "b"], ["b", "b"])
    assert math.isnan(found["mean"])
    with pytest.raises(NotFinite, match="length of own test has the mean nan, which is not a finite number"):
        evaluator._finite("length of own test", found)


def test_samples_for_which_a_metric_is_no_number_leave_its_standard_error_alone(tmp_path):
    """The mean prediction where the gold answer is 1: of few answers, some samples have none."""

    def of_ones(predictions, golds):
        there = [p for p, gold in zip(predictions, golds, strict=True) if gold == 1]
        return sum(there) / len(there) if there else math.nan

    found = scores.score(CorpusScorer(of_ones), [0.0, 1.0, 1.0], [1, 1, 0])
    assert found["mean"] == 0.5 and 0 < found["standard_error"] < 0.6


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (["rouge"], r"there is no file rouge/rouge.py; a metric is a .py file .* one of the hub is downloaded first"),
        (["none/mine.py"], "there is no file none/mine.py"),
        ("mine.py", r"metrics is a list, as \[mine.py\], not 'mine.py'"),
        (["tasks/metrics/exact"], "there is a scorer 'exact' already"),
    ],
)
def test_a_metric_that_is_none_is_refused_before_anything_is_read(metrics, said):
    with pytest.raises(SettingError, match=said):
        generation(metrics=metrics)
