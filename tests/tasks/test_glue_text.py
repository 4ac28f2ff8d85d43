"""GLUE's tasks as text: the rows of tasks/glue.py, asked in words."""

import pytest
from omegaconf import open_dict

from harness.plan import config
from tasks.glue import Glue
from tasks.glue_text import GlueText
from tasks.reading.tables import Row
from tests.conftest import ROOT

DATA = ROOT / "tests" / "tasks" / "data"
PROMPTS = {
    "sst2": (r"Review: {sentence}\nSentiment:", [" negative", " positive"]),
    "rte": (r"{sentence1}\n{sentence2}\nThat follows:", [" yes", " no"]),
    "stsb": (r"{sentence1} {sentence2}", [" 0", " 5"]),
}


def sources(subset: str) -> dict[str, str]:
    return {f"{part}_source": str(DATA / f"glue_{subset}_{part}.jsonl") for part in ("train", "dev")}


def text(subset: str = "sst2", **changes) -> GlueText:
    prompt, answers = PROMPTS[subset]
    return GlueText(
        **{"subset": subset, "data_seed": 0, "prompt": prompt, "answers": answers, **sources(subset)} | changes
    )


@pytest.mark.parametrize("drawn", [None, {"train": 2, "validation": 1, "test": 1}])
@pytest.mark.parametrize("subset", ["sst2", "rte"])
def test_rows_and_splits_are_those_of_the_task_of_classes(subset, drawn):
    asked, classes = text(subset, drawn=drawn), Glue(subset=subset, data_seed=0, drawn=drawn, **sources(subset))
    assert list(asked.benchmarks) == list(classes.benchmarks)
    assert [e.id for e in asked.examples("train")] == [e.id for e in classes.examples("train")]
    for name, benchmark in classes.benchmarks.items():
        assert asked.benchmarks[name].splits == benchmark.splits
        for split in benchmark.splits:
            found = asked.benchmarks[name].examples(split)
            assert [e.id for e in found] == [e.id for e in benchmark.examples(split)]
            answers = PROMPTS[subset][1]
            assert [e.gold for e in found] == [answers[e.label] for e in benchmark.examples(split)]
            assert all(e.target == e.gold and e.choices == tuple(answers) for e in found)


def test_both_texts_of_a_pair_are_asked_without_the_blanks_around_them():
    row = Row("new.jsonl", 1, 1, {"sentence1": " It rains. ", "sentence2": "It is wet.\n"})
    (example,) = text("rte").questions([row])
    assert example.prompt == example.eval_prompt == "It rains.\nIt is wet.\nThat follows:"
    assert example.choices == (" yes", " no")


def test_prompt_and_answers_are_in_the_fingerprints_of_training_and_test():
    changes = [{}, {"prompt": "{sentence}:"}, {"answers": [" bad", " good"]}, {"drawn": {"train": 3, "validation": 1}}]
    tasks = [text(**change) for change in changes]
    assert len({task.fingerprint() for task in tasks}) == len(changes)
    assert len({task.benchmarks["glue_sst2"].fingerprint() for task in tasks}) == len(changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "stsb"}, "GLUE's stsb has values and no classes, so no answers can be ranked"),
        (
            {"answers": [" yes"]},
            r"answers are as many different texts as classes \(negative, positive\), not \[' yes'\]",
        ),
        ({"answers": [" a", " a"]}, "answers are as many different texts"),
        ({"answers": "no"}, "answers are as many different texts"),
        ({"prompt": "{text}:"}, "prompt names 'text'; the texts of sst2 are sentence"),
        ({"prompt": "Sentiment:"}, "prompt names 'Sentiment:'"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        text(**changes)


def test_the_task_asks_for_the_likelier_of_two_tokens_and_takes_its_rows_from_the_training_file(composed):
    cfg = composed("task=sst2_text", "model=smollm2_135m")
    assert cfg.task.source.drawn == {"train": 320, "validation": 200}
    assert (cfg.train.epochs, cfg.train.batch_size, cfg.train.select_best) == (3, 8, False)
    with open_dict(cfg):
        cfg.task.source.update({**sources("sst2"), "drawn": {"train": 2, "validation": 1}})
    task = config.instantiate(cfg.task.source)
    assert list(task.benchmarks) == ["sst2_text"] and not task.benchmarks["sst2_text"].generates
    dev = Glue(subset="sst2", data_seed=0, **sources("sst2")).benchmarks["glue_sst2"].examples("dev")
    assert [e.id for e in task.benchmarks["sst2_text"].examples("test")] == [e.id for e in dev]
    example = task.examples("train")[0]
    assert example.prompt.startswith("Review: ") and example.prompt.endswith("\nSentiment:")
    assert example.choices == (" negative", " positive")
