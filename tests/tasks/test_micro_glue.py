"""The eight tasks of micro-GLUE. Labels are checked by reading the sentences back, not by the generator."""

import hashlib
import itertools
import json
import re
from collections import Counter

import pytest

from tasks.base import ClassExample, Task
from tasks.glue import SUBSETS
from tasks.micro.world import BLAME, DAYS, DISLIKING, HERE, LIKING, PRAISE, QUALITIES, THERE, THINGS, VERBS
from tasks.micro_glue import DRAWS, MicroGlue, MicroRows
from tests.conftest import task_of_yaml

PAIRS = ("mrpc", "qqp", "stsb", "mnli", "qnli", "rte")


def rows(subset: str, part: str = "train", size: int = 600, data_seed: int = 0) -> list[tuple]:
    return MicroRows(subset, part, train_size=size, dev_size=size, data_seed=data_seed).rows()


# A reader of sentences: every content word has one slot, so word order is not needed.

SLOT_OF_WORD: dict[str, tuple[str, str | int]] = {
    **{name: ("agent", name) for name in HERE.names + THERE.names},
    **{place: ("place", place) for place in HERE.places + THERE.places},
    **{day: ("day", day) for day in DAYS},
    **{form: ("verb", verb) for verb, pair in VERBS.items() for forms in pair for form in forms},
    **{word: ("quality", quality) for quality, words in QUALITIES.items() for word in words},
    **{"a": ("count", 1), "an": ("count", 1), "two": ("count", 2), "three": ("count", 3)},
    **{"four": ("count", 4), "five": ("count", 5)},
    **{noun: ("thing", noun) for kind, things in THINGS.items() for noun in (kind, *things)},
    **{f"{noun}s": ("thing", noun) for kind, things in THINGS.items() for noun in (kind, *things)},
}  # fmt: skip
ASKED_BY = {
    "who": "agent", "which person": "agent", "what": "thing", "which things": "thing", "how many": "count",
    "what number of": "count", "where": "place", "in which place": "place", "when": "day", "on which day": "day",
}  # fmt: skip


def words_of(text: str) -> list[str]:
    first, *others = re.findall(r"\w+", text)
    return [first if first in SLOT_OF_WORD else first.lower(), *others]


def read(text: str) -> dict[str, str | int]:
    """What the sentence says, by slot."""
    said = [SLOT_OF_WORD[word] for word in words_of(text) if word in SLOT_OF_WORD]
    assert len(said) == len(dict(said)), text
    return dict(said)


def asked(question: str) -> str:
    """The slot that the question asks for: of the openings that fit, the longest."""
    return ASKED_BY[max((opening for opening in ASKED_BY if question.lower().startswith(opening)), key=len)]


def denies(text: str) -> bool:
    return not {"not", "nobody"}.isdisjoint(words_of(text))


def fits(event: dict, fact: dict) -> bool:
    return all(event[slot] in THINGS.get(value, (value,)) for slot, value in fact.items())


def relation(premise: str, hypothesis: str) -> int:
    """0 entailment, 1 neutral, 2 contradiction, by trying all worlds.

    A world is a set of events; a sentence is true in it if an event fits, or, where it denies, if none does. Whether
    an event fits the two sentences is all that counts of it.
    """
    facts = [read(premise), read(hypothesis)]
    values = {
        slot: {v for fact in facts if slot in fact for v in THINGS.get(fact[slot], (fact[slot],))} | {"another"}
        for slot in ("agent", "verb", "count", "quality", "thing", "place", "day")
    }
    events = [dict(zip(values, choice, strict=True)) for choice in itertools.product(*values.values())]
    sorts = sorted({tuple(fits(event, fact) for fact in facts) for event in events})
    found = set()
    for world in itertools.chain.from_iterable(itertools.combinations(sorts, n) for n in range(len(sorts) + 1)):
        holds = [any(sort[i] for sort in world) != denies(text) for i, text in enumerate((premise, hypothesis))]
        if holds[0]:
            found.add(holds[1])
    return {(True,): 0, (False, True): 1, (False,): 2}[tuple(sorted(found))]


@pytest.mark.parametrize("part", ["train", "dev_mm"])
def test_mnli_labels_hold_in_every_world(part):
    for premise, hypothesis, label in rows("mnli", part):
        assert relation(premise, hypothesis) == label, (premise, hypothesis)


def test_mrpc_labels_say_whether_both_sentences_say_the_same():
    for first, second, label in rows("mrpc"):
        assert (read(first) == read(second)) == label, (first, second)


def test_qqp_labels_say_whether_both_questions_ask_the_same_of_the_same():
    for first, second, label in rows("qqp"):
        assert ((asked(first), read(first)) == (asked(second), read(second))) == label, (first, second)


def test_stsb_values_count_the_shared_slots():
    kind = {thing: kind for kind, things in THINGS.items() for thing in things}
    for first, second, value in rows("stsb"):
        one, two = read(first), read(second)
        points = [one[slot] == two[slot] for slot in ("agent", "verb", "quality", "thing", "place")]
        assert value == sum(points) + 0.5 * (not points[3] and kind[one["thing"]] == kind[two["thing"]])


def test_qnli_labels_say_whether_the_asked_slot_is_told_of_the_same_event():
    for question, sentence, label in rows("qnli"):
        slot, wanted, told = asked(question), read(question), read(sentence)
        answers = slot in told and all(told.get(other) == value for other, value in wanted.items())
        assert answers == (label == 0), (question, sentence)


def test_rte_labels_hold_when_a_quality_told_apart_is_put_to_its_thing():
    for text, hypothesis, label in rows("rte"):
        first, second = (read(part) for part in text.split(". "))
        apart = re.search(r"\. (It is|They are) (\w+)\.$", text)
        told = [first | second] if apart else [first, second]
        wanted = read(hypothesis)
        follows = any(fact.items() >= wanted.items() or fits_as_kind(fact, wanted) for fact in told)
        assert follows == (label == 0), (text, hypothesis)


def fits_as_kind(fact: dict, wanted: dict) -> bool:
    rest = {slot: value for slot, value in wanted.items() if slot != "thing"}
    return fact["thing"] in THINGS.get(wanted["thing"], ()) and fact.items() >= rest.items()


def test_sst2_labels_are_those_of_the_clause_that_has_the_weight():
    for text, label in rows("sst2"):
        main = text.lower().rstrip(".").split(", but ")[-1]
        main = main.partition(", ")[2] if main.startswith("although") else main
        for clause in main.split(" and "):
            (word,) = {*clause.split()} & {*PRAISE, *BLAME, *LIKING, *DISLIKING}
            praises = (word in PRAISE + LIKING) != ("not" in clause.split() or "never" in clause.split())
            assert praises == label, text


# Parts of speech by letter: [n]ame, verb in [t]hird person, in [b]ase form, participle [x], noun in [s]ingular, in
# [p]lural, ad[j]ective, article [a], number [d], place [l], day [w], behind or near [r]; others stand for themselves.
PART_OF_SPEECH = {
    **dict.fromkeys((*HERE.names, "someone", "nobody"), "n"),
    **{form: letter for pair in VERBS.values() for forms in pair for form, letter in zip(forms, "btx", strict=True)},
    **dict.fromkeys(itertools.chain(*THINGS.values()), "s"),
    **{f"{noun}s": "p" for noun in itertools.chain(*THINGS.values())},
    **dict.fromkeys(itertools.chain(*QUALITIES.values()), "j"),
    **dict.fromkeys(("two", "three", "four", "five", "some", "any"), "d"),
    **{"a": "a", "an": "a", "near": "r", "behind": "r"},
    **dict.fromkeys(HERE.places, "l"),
    **dict.fromkeys(DAYS, "w"),
}
WHERE = "(?:in the l|on w)"
GRAMMAR = re.compile(
    f"(?:{WHERE} )?(?:"
    "n (?:t|does not b) (?:a (?:j )?s|d (?:j )?p)"
    "|(?:a (?:j )?s is|d (?:j )?p are) x by n"
    "|the (?:s (?:r the [sp]|in the l) is|p (?:r the [sp]|in the l) are)(?: not)? j"
    f")(?: {WHERE})*"
)


def test_cola_labels_are_those_of_a_grammar():
    for text, label in rows("cola"):
        parts = " ".join(PART_OF_SPEECH.get(word, word) for word in words_of(text))
        assert bool(GRAMMAR.fullmatch(parts)) == label, text


@pytest.mark.parametrize("subset", DRAWS)
def test_rows_have_the_columns_and_types_of_glue(subset):
    types = tuple(SUBSETS[subset].columns.values())
    for part in ("train", "dev"):
        assert {tuple(map(type, row)) for row in rows(subset, part)} == {types}


@pytest.mark.parametrize("subset", DRAWS)
def test_every_label_is_drawn_equally_often(subset):
    for part in ("train", "dev", "dev_mm"):
        counts = Counter(row[-1] for row in rows(subset, part, size=400))
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len(counts) == (11 if subset == "stsb" else SUBSETS[subset].num_classes)


@pytest.mark.parametrize("subset", DRAWS)
def test_no_texts_come_twice_within_or_between_train_and_dev(subset):
    texts = [row[:-1] for part in ("train", "dev", "dev_mm") for row in rows(subset, part)]
    assert len(texts) == len(set(texts)) == 3 * 600


@pytest.mark.parametrize("subset", PAIRS)
def test_no_text_is_paired_with_itself(subset):
    assert all(first != second for first, second, _ in rows(subset))


def test_the_mismatched_dev_set_has_other_people_and_places():
    matched, mismatched = (
        {word for row in rows("mnli", part) for text in row[:2] for word in words_of(text)}
        for part in ("dev", "dev_mm")
    )
    here, there = {*HERE.names, *HERE.places}, {*THERE.names, *THERE.places}
    assert here <= matched
    assert there <= mismatched
    assert not here & mismatched
    assert not there & matched


@pytest.mark.parametrize("subset", DRAWS)
def test_dev_stays_the_same_when_the_training_set_grows(subset):
    small, large = (MicroRows(subset, "dev", train_size=size, dev_size=50, data_seed=0).rows() for size in (10, 100))
    assert small == large


def test_rows_are_the_same_in_every_process_as_long_as_the_version_is():
    # Python orders sets of strings anew in each process. On a change that is meant, raise GENERATOR_VERSION with it.
    every = [rows(subset, part, size=100) for subset in DRAWS for part in ("train", "dev", "dev_mm")]
    assert hashlib.sha256(json.dumps(every).encode()).hexdigest() == GOLDEN


GOLDEN = "bc6bec56df38a0dfcc3d6a3fab49351d64793314cf1210310cc237dca74228e4"


def test_another_seed_draws_other_rows():
    assert not {*rows("mrpc")} & {*rows("mrpc", data_seed=1)}


def test_a_part_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ValueError, match="dev, dev_mm and train, not 'test'"):
        rows("cola", "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"subset": "wnli"}, "no task .* 'wnli'; there are cola,"), ({"dev_size": 1}, "dev_size >= 2")],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MicroGlue(**{"subset": "cola", "train_size": 4, "dev_size": 4, "data_seed": 0} | changes)


@pytest.mark.parametrize("subset", DRAWS)
def test_a_task_is_glue_over_the_generated_rows(subset):
    task = MicroGlue(subset=subset, train_size=40, dev_size=20, data_seed=0)
    parts = {
        part: MicroRows(subset, part, train_size=40, dev_size=20, data_seed=0).rows()
        for part in ("train", "dev", "dev_mm")
    }
    assert isinstance(task, Task)
    assert list(task.benchmarks) == [f"micro_{subset}"] + ["micro_mnli_mm"] * (subset == "mnli")
    assert [as_row(example) for example in task.examples("train")] == parts["train"]
    for part, benchmark in zip(("dev", "dev_mm"), task.benchmarks.values(), strict=False):
        assert [len(benchmark.examples(split)) for split in ("validation", "test")] == [10, 10]
        assert [as_row(example) for example in benchmark.examples("dev")] == parts[part]
        assert dict(benchmark.scorers) == dict(SUBSETS[subset].scorers)


def as_row(example: ClassExample) -> tuple:
    return (example.text, *([] if example.pair is None else [example.pair]), example.label)


def test_a_fingerprint_tells_parts_sizes_and_seeds_apart():
    facts = {"subset": "cola", "part": "dev", "train_size": 4, "dev_size": 4, "data_seed": 0}
    changes = ({}, {"subset": "sst2"}, {"part": "train"}, {"dev_size": 6}, {"train_size": 6}, {"data_seed": 1})
    assert len({MicroRows(**facts | change).fingerprint() for change in changes}) == len(changes)
    assert MicroRows(**facts).fingerprint() == MicroRows(**facts).fingerprint()


@pytest.mark.parametrize("subset", DRAWS)
def test_the_yaml_has_1000_examples_to_train_on_and_two_halves_of_100(subset):
    task = task_of_yaml(f"micro_{subset}")
    assert task.name == f"micro_{subset}"
    assert [len(task.examples(split)) for split in ("train", "validation", "test")] == [1000, 100, 100]
