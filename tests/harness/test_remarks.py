"""What texts will not do as they should is told before training: cut, joined, spelt otherwise, or without room."""

from types import SimpleNamespace

import pytest

from harness.modality import remarks
from tasks.base import CorpusScorer, TextExample
from tasks.scoring.gsm8k import gsm8k_strict
from tests.bare import Bare
from tests.conftest import task_of_yaml
from tests.harness.test_generation import Generation, settings


@pytest.fixture
def language():
    task = task_of_yaml("micro_gsm", train_size=32, validation_size=8, test_size=8)
    return Generation(settings(), task), task


def test_texts_without_their_target_and_without_its_end_are_counted():
    taught = [([0] * 8, [1, 2]), ([0] * 7, [1, 2]), ([0] * 6, [1, 2]), ([0] * 5, [1, 2])]
    longest = "(the longest has 10 tokens)"
    assert remarks.of_lengths(taught, 8, trains_on_prompt=False) == [
        f"train.max_length=8 leaves nothing to learn of 1 of 4 training texts {longest}",
        f"train.max_length=8 cuts the end off the target of 1 of 4 training texts {longest}",
    ]
    assert remarks.of_lengths(taught, 8, trains_on_prompt=True) == [
        f"train.max_length=8 cuts the end off the target of 2 of 4 training texts {longest}"
    ]
    assert remarks.of_lengths(taught, 10, trains_on_prompt=False) == []


def test_the_counts_are_those_of_the_rows_that_are_trained_on(language):
    modality, task = language
    prompts = sorted(map(len, modality.texts.prompts([e.prompt for e in task.examples("train")])))
    modality.cfg.train.max_length = prompts[len(prompts) // 2]
    rows, end = modality.rows(task.examples("train")), modality.tokenizer.eos_token_id
    empty = sum(all(label == -100 for label in row["labels"]) for row in rows)
    cut = sum(row["input_ids"][-1] != end for row in rows) - empty
    assert 0 < empty < len(rows)
    said = modality.remarks([])
    assert f"nothing to learn of {empty} of {len(rows)} " in said[0]
    assert not cut or f"the target of {cut} of {len(rows)} " in said[1]


def test_targets_that_the_tokenizer_cannot_give_back_are_counted():
    plain = SimpleNamespace(id="0", target="Tom has 3 eggs")
    spelt = SimpleNamespace(id="1", target="Tom has 3<eos> eggs")
    assert remarks.of_spelling([plain], ["Tom has 3 eggs "]) == []
    (said,) = remarks.of_spelling([plain, spelt], ["Tom has 3 eggs", "Tom has 3"])
    assert said.startswith("the tokenizer does not give back the target of 1 of 2 training texts")
    assert said.endswith("'Tom has 3<eos> eggs' of example 1 is read as 'Tom has 3'")


def test_targets_longer_than_what_may_be_generated_are_counted(language):
    modality, task = language
    lengths = [len(modality.tokenizer(e.target, add_special_tokens=False)["input_ids"]) for e in task.examples("test")]
    assert len({*lengths}) > 2
    most = sorted(lengths)[-2]
    benchmark = Bare(name="b", examples=task.examples, max_new_tokens=most)
    longer = sum(length > most for length in lengths)
    assert modality.remarks([(benchmark, "test")]) == [
        f"max_new_tokens={most} has no room for {longer} of 8 targets of b test (the longest has {max(lengths)} tokens)"
    ] * (longer > 0)
    benchmark.max_new_tokens = max(lengths)
    assert modality.remarks([(benchmark, "test")]) == []


def test_targets_whose_answer_a_stop_text_cuts_away_are_counted(language):
    modality, _ = language
    made = {"stop": ("\n",), "scorers": {"strict": gsm8k_strict, "f1": CorpusScorer(max)}, "max_new_tokens": 99}
    targets = ["The answer is: 3", "It is three.\nThe answer is: 3", "The answer is: 3\nIs it?", "It is\nthree"]
    examples = [TextExample(str(i), "", "", target, "3") for i, target in enumerate(targets)]
    said = modality.remarks([(Bare(name="b", examples=lambda split: examples, **made), "test")])
    assert said == ["a stop text cuts 1 of 4 targets of b test before their answer, which counts as wrong then"]
    assert modality.remarks([(Bare(name="b", examples=lambda split: examples[:1], **made), "test")]) == []


def test_a_task_that_is_kept_as_released_says_in_how_many_texts_prompt_and_target_are_joined(language):
    modality, _ = language
    joined, apart = (SimpleNamespace(prompt=p, target="3", id="0") for p in ("1 + 2 = ", "1 + 2 =\n"))
    modality.task = Bare(examples=lambda split: [joined, apart, apart])
    modality.texts.as_released = True
    assert modality.remarks([])[0].startswith("in 1 of 3 training texts a token reaches across from prompt to target")


def test_what_was_said_before_training_is_in_the_record_and_below_the_table(composed, tmp_path, capsys):
    import run
    from analysis.load.frames import runs_frame
    from analysis.pages.footnotes import _warning_notes
    from harness.store import record

    tiny = ("task.source.train_size=16", "task.source.validation_size=2", "task.source.test_size=1")
    run.main(
        composed(
            *tiny,
            "wandb.mode=disabled",
            "task.max_new_tokens=2",
            "evaluate.benchmarks=[micro_gsm]",
            "method=none",
            "train.max_length=40",
            f"runs_dir={tmp_path}",
            "evaluate.splits=[test]",
        )
    )
    (done,), _ = record.find(tmp_path)
    (said, *_) = done.train["warnings"]
    assert said.startswith("train.max_length=40 ")
    assert f"warning: {said}\n" in capsys.readouterr().err
    assert f"a: {said}." in list(_warning_notes(runs_frame([done]), {done.key: "a"}))
    generated = done.scores["micro_gsm"]["test"]["generation"]
    assert generated == {
        "do_sample": False, "num_beams": 1, "max_new_tokens": 2, "eos_token_id": [1], "pad_token_id": 0,
        "engine": "refill", "merged": False,
    }  # fmt: skip
