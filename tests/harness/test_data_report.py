"""What a run tells of its data before it trains, and what is not there to be evaluated."""

import json
import re
import shutil

import pytest
from omegaconf import OmegaConf

import run
from errors import DataError, MissingData
from harness.plan import splits as asked_for
from harness.run import command_line, data_report
from harness.store import record
from tests.conftest import ROOT, task_of_yaml
from tests.tasks.test_own_text import make as own_task
from tests.test_task_contract import splits

DATA = ROOT / "tests" / "tasks" / "data"


def of(task, missing=()):
    return data_report.of(task, splits(task), dict(missing))


def own(tmp_path, train, test):
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return own_task("classification", train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))


def test_the_report_has_rows_classes_doubles_and_what_was_left_out(tmp_path):
    rows = [(f"text {n}", "no" if n % 4 else "yes") for n in range(40)]
    trained = own(tmp_path, rows, rows).examples("train")
    text, labels = trained[3].text, [e.label for e in trained]
    task = own(tmp_path, rows, [(text, "no"), ("another", "yes"), (f"\n{text}", "yes")])
    assert data_report.sentences(of(task)) == [
        "data: 36 training examples; 4 of classification validation, 3 of classification test",
        f"data: training examples by class: no ({labels.count(0)}), yes ({labels.count(1)})",
        "data: 2 of the 3 examples of classification test are training examples too",
        f"data: {tmp_path}/test.csv: 1 blank line is no row",
    ]


@pytest.mark.parametrize(
    ("regression", "told"),
    [
        (False, "class 2, which a constant answer gets right"),
        (True, "the value 2, with which nothing correlates"),
    ],
)
def test_a_test_set_of_one_label_is_told(tmp_path, regression, told):
    rows = [(f"text {n}", n % 4) for n in range(40)]
    own(tmp_path, rows, [("one", 2), ("another", 2)])
    files = {name: str(tmp_path / f"{name}.csv") for name in ("train", "test")}
    task = own_task("classification", **files, regression=regression)
    said = [line for line in data_report.sentences(of(task)) if "all of" in line]
    assert said == [f"data: the examples of classification test are all of {told}"]


def test_a_class_that_no_training_row_has_is_told(tmp_path):
    rows = [(f"text {n}", "no" if n % 4 else "yes") for n in range(40)]
    task = own_task(
        "classification", train=own(tmp_path, rows, rows)._files["train"].source, class_names=["no", "?", "yes"]
    )
    assert "data: no training example is of class ?, which cannot be learnt" in data_report.sentences(of(task))


def test_many_classes_are_told_by_their_ends(tmp_path):
    rows = [(f"text {n}", f"class {n % 20}") for n in range(100)]
    task = own(tmp_path, rows, rows)
    counts = of(task)["classes"]
    least, most = min(counts.values()), max(counts.values())
    [told] = [line for line in data_report.sentences(of(task)) if "by class" in line]
    assert re.fullmatch(rf"data: .* by class: 20 classes, from class \d+ \({least}\) to class \d+ \({most}\)", told)


# --- benchmarks whose files are missing ---


@pytest.fixture
def some(tmp_path):
    """Commonsense with two of its eight sets, one of which has one question."""
    for part in ("commonsense_15k.json", "boolq/test.json", "piqa/test.json"):
        (tmp_path / "data" / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / "commonsense" / part, tmp_path / "data" / part)
    return tmp_path / "data"


def asked(task, benchmarks=None, splits=("validation", "test")):
    cfg = OmegaConf.create({"evaluate": {"benchmarks": benchmarks, "splits": splits}})
    return cfg, list(asked_for.wanted(cfg, task))


def test_the_benchmarks_that_are_there_run_and_the_others_are_told(some):
    task = task_of_yaml("commonsense", root=str(some), validation_size=3)
    wanted, missing = asked_for.at_hand(*asked(task), {})
    assert [benchmark.name for benchmark, _ in wanted] == ["boolq", "piqa", "commonsense_held_out"]
    assert list(missing) == ["siqa", "hellaswag", "winogrande", "arc_e", "arc_c", "obqa"]
    with pytest.raises(MissingData, match=r"^not evaluated, siqa: no file .*curl .* fetches it; hellaswag: no file"):
        asked_for.tell_missing(missing)
    asked_for.tell_missing({})


def test_a_benchmark_that_is_named_has_to_be_there(some):
    task = task_of_yaml("commonsense", root=str(some), validation_size=3)
    with pytest.raises(DataError, match="no file .*openbookqa/test.json"):
        asked_for.at_hand(*asked(task, ["boolq", "obqa"]), {})


def test_a_split_of_which_nothing_is_there_is_refused(some):
    shutil.rmtree(some / "boolq")
    shutil.rmtree(some / "piqa")
    task = task_of_yaml("commonsense", root=str(some), validation_size=3)
    with pytest.raises(MissingData, match="no file .*boolq/test.json"):
        asked_for.at_hand(*asked(task), {})


def test_what_is_in_the_record_needs_no_file_of_the_hub(monkeypatch):
    task = task_of_yaml("gsm8k_few_shot")
    monkeypatch.setattr("tasks.reading.sources.hf_hub_download", lambda *_, **__: pytest.fail("fetched"))
    benchmark = task.benchmarks["gsm8k_few_shot"]
    scores = {"gsm8k_few_shot": {"test": {"data": benchmark.fingerprint()}}}
    assert asked_for.at_hand(*asked(task, splits=("test",)), scores) == ([(benchmark, "test")], {})


def test_a_run_without_one_of_its_benchmarks_says_so_ends_with_an_error_and_can_be_completed(
    some, composed, tmp_path, capsys
):
    shutil.rmtree(some / "piqa")
    rows = json.loads((some / "boolq" / "test.json").read_text())
    (some / "boolq" / "test.json").write_text(json.dumps(rows[:1]))
    settings = (
        "task=commonsense", "method=svft_plain", f"task.source.root={some}", "task.source.validation_size=1",
        "task.source.beams=1", "task.max_new_tokens=2", "train.max_steps=1", "evaluate.splits=[test]",
        f"runs_dir={tmp_path}/runs", "wandb.mode=disabled",
    )  # fmt: skip
    told = []
    for _ in range(2):
        command_line.failures.clear()
        run.main(composed(*settings))
        told.append(capsys.readouterr())
        assert len(command_line.failures) == 1 and "piqa: no file" in command_line.failures[0]
        assert "error: not evaluated, piqa: no file" in told[-1].err
    assert told[0].out.startswith("data: 8 training examples; 1 of boolq test\n") and "done before" in told[1].out
    [found], _ = record.find(tmp_path / "runs")
    assert list(found.scores) == ["boolq"] and next(iter(found.data["missing"])) == "piqa"
    assert found.data["examples"] == {"train": 8, "boolq test": 1}
