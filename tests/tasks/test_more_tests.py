"""Further test sets of a generation task of one's own."""

import json

import pytest

from errors import MissingData, SettingError
from harness.plan import config
from harness.settings import limits
from harness.store import identity
from tests.tasks.test_own_text import QUESTIONS, generation

SUMS = [{"body": f"{n} + {n} ?", "said": f"So {2 * n}.", "number": f"{2 * n}.0"} for n in range(9)]


@pytest.fixture
def sums(tmp_path) -> str:
    path = tmp_path / "sums.json"
    path.write_text(json.dumps(SUMS))
    return str(path)


def task(**sums):
    more = {"sums": {"prompt": r"{body}\nA:", "target": "said", "gold": "number", **sums}}
    return generation(gold="answer", scorers=["gsm8k_strict"], stop=[r"\n\n"], more=more)


def test_a_further_set_is_all_of_its_file_in_its_own_columns_scored_as_the_task_is(sums):
    of = task(test=sums)
    assert list(of.benchmarks) == ["generation", "sums"] and of.benchmarks["generation"] is of
    further = of.benchmarks["sums"]
    found = further.examples("test")
    assert [(e.eval_prompt, e.target, e.gold) for e in found] == [
        (f"{row['body']}\nA:", row["said"], row["number"]) for row in SUMS
    ]
    assert (further.splits, further.metric, further.stop) == (("test",), of.metric, of.stop)
    assert further.scorers["gsm8k_strict"]("The answer is: 4", found[2].gold).correct


def test_columns_that_it_does_not_name_are_those_of_the_task():
    more = {"again": {"test": str(QUESTIONS), "prompt": "hint"}}
    of = generation(gold="answer", scorers=["gsm8k_strict"], more=more)
    assert {e.gold for e in of.benchmarks["again"].examples("test")} >= {e.gold for e in of.examples("test")}


def test_rows_are_drawn_by_the_data_seed_and_kept_in_order(sums):
    drawn = task(test=sums, rows=4).benchmarks["sums"].examples("test")
    assert drawn == task(test=sums, rows=4).benchmarks["sums"].examples("test")
    everything = task(test=sums).benchmarks["sums"].examples("test")
    places = [everything.index(example) for example in drawn]
    assert len(places) == 4 and places == sorted(places) != list(range(4))


def test_it_is_no_part_of_the_training_and_has_a_fingerprint_of_its_own(sums):
    of = [task(test=sums), task(test=sums, rows=4), task(test=str(QUESTIONS), prompt="question", gold="answer")]
    assert {each.fingerprint() for each in of} == {generation(
        gold="answer", scorers=["gsm8k_strict"], stop=[r"\n\n"]).fingerprint()}  # fmt: skip
    assert len({each.benchmarks["sums"].fingerprint() for each in of}) == 3


def test_a_file_that_is_missing_is_told_when_it_is_fetched(tmp_path):
    benchmark = task(test=f"{tmp_path}/none.json").benchmarks["sums"]
    assert [file.present for file in benchmark.files()] == [False]
    with pytest.raises(MissingData, match=r"no file .*none\.json"):
        benchmark.fetch()


def test_a_run_has_the_same_key_with_and_without_it(composed):
    own = ("task=generation", "task.source.train=a.csv", "task.source.prompt=question", "model=micro_gemma")
    plain, more = (
        config.resolve(composed(*own, *given)) for given in ((), ("task.source.more={sums: {test: b.csv, rows: 4}}",))
    )
    assert more["task"]["source"]["more"] == {"sums": {"test": "b.csv", "rows": 4}}
    assert identity.keyed(plain) == identity.keyed(more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"generation": {"test": "a.json"}},
            "a further test set has another name than the task, which is 'generation'",
        ),
        ({"sums": {"test": "a.json", "colour": "red"}}, "more: sums: 'colour' is none of test, rows, prompt"),
        ({"sums": {"prompt": "a"}}, "more: sums names its files, as {test: FILE}"),
        ({"sums": {"test": "a.json", "rows": 0}}, "more: sums: rows is a whole number, 1 or more, or null, not 0"),
    ],
)
def test_what_is_no_further_set_is_refused(more, message):
    with pytest.raises(Exception, match=message):
        generation(more=more)


def test_a_number_of_rows_that_cannot_be_is_told_before_anything_is_read():
    with pytest.raises(
        SettingError, match=r"task\.source\.more\.svamp\.rows=0 is not a whole number, 1 or more, or null"
    ):
        limits.check({"task": {"source": {"more": {"svamp": {"rows": 0, "test": "a.json"}}}}})
