"""GLUE in small: the eight tasks over the small world of tasks/micro_world.py, from a seeded generator.

Columns, label values and metrics are those of GLUE (Wang et al. 2019, arXiv:1804.07461), so a run takes the same path
through the harness; only the vocabulary is small enough for a model that trains on a laptop.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from tasks.glue import HIGHEST_SIMILARITY, SUBSETS, Glue, Subset
from tasks.micro_world import (
    HERE,
    KIND,
    NUMBERS,
    OPTIONAL,
    QUALITIES,
    SLOTS,
    THERE,
    THINGS,
    VERBS,
    Fact,
    Setting,
    circumstances,
    deny,
    draw_fact,
    opinion,
    other_value,
    plural,
    sentence,
    tell,
    things_phrase,
)

GENERATOR_VERSION = 1  # Raise it with every change that alters a row.

Texts = tuple[str, ...]
Label = int | float


def _some_of(rng: random.Random, slots: tuple[str, ...], chance: float) -> tuple[str, ...]:
    return tuple(slot for slot in slots if rng.random() < chance)


def _changed(fact: Fact, slots: list[str], rng: random.Random, setting: Setting) -> Fact:
    """The fact with other values in the slots."""
    return replace(fact, **{slot: other_value(fact, slot, rng, setting) for slot in slots})


def _said(fact: Fact) -> list[str]:
    return [slot for slot in SLOTS if getattr(fact, slot) is not None]


# CoLA: is the sentence grammatical? 1 is yes.


def _grammatical(rng: random.Random, setting: Setting) -> str:
    said = ("agent", *_some_of(rng, ("count", "quality", "place", "day"), 0.6))
    fact = draw_fact(rng, setting, said)
    if rng.random() < 0.6:
        return (tell if rng.random() < 0.7 else deny)(fact, rng)
    first, second = (rng.choice((noun, plural(noun))) for noun in rng.sample(tuple(KIND), 2))
    where = rng.choice((f"near the {second}", f"in the {rng.choice(setting.places)}", f"behind the {second}"))
    verb = rng.choice(("is", "is not") if first in KIND else ("are", "are not"))
    return f"the {first} {where} {verb} {rng.choice(QUALITIES[rng.choice(tuple(QUALITIES))])}"


_THIRD = {verb[1]: verb[0] for pair in VERBS.values() for verb in pair}  # "buys" -> "buy"
_BASE = {base: third for third, base in _THIRD.items()}
_NUMBER = {noun: plural(noun) for noun in KIND} | {plural(noun): noun for noun in KIND}
_QUALITY_WORDS = {word for words in QUALITIES.values() for word in words}
_COUNTING = {"a", "an", "some", *NUMBERS.values()}
_AGREEMENT = {**_THIRD, **_BASE, "is": "are", "are": "is"}


def _wrong_agreement(words: list[str]) -> list[list[str]]:
    return [[*words[:i], _AGREEMENT[w], *words[i + 1 :]] for i, w in enumerate(words) if w in _AGREEMENT]


def _wrong_number(words: list[str]) -> list[list[str]]:
    """The noun that an article or a number counts, in the other number."""
    found = []
    for i, word in enumerate(words):
        before = words[i - 2] if i > 1 and words[i - 1] in _QUALITY_WORDS else words[i - 1]
        if word in _NUMBER and before in _COUNTING:
            found.append([*words[:i], _NUMBER[word], *words[i + 1 :]])
    return found


def _wrong_order(words: list[str]) -> list[list[str]]:
    """Two neighbours swapped: an adjective and its noun, or a small word and what it must precede."""
    leading = _QUALITY_WORDS | {"in", "the", "a", "an", "does", "by", "on"}
    places = [i for i, word in enumerate(words[:-1]) if word in leading]
    return [[*words[:i], words[i + 1], words[i], *words[i + 2 :]] for i in places]


def _missing_word(words: list[str]) -> list[list[str]]:
    needed = {"a", "an", "in", "is", "are", "does", *_THIRD}
    return [[*words[:i], *words[i + 1 :]] for i, word in enumerate(words) if word in needed]


_FLAWS = (_wrong_agreement, _wrong_agreement, _wrong_number, _wrong_order, _missing_word)


def cola(rng: random.Random, setting: Setting, label: Label) -> Texts:
    words = _grammatical(rng, setting).replace(",", " ,").split()
    if not label:
        words = rng.choice(rng.choice([found for flaw in _FLAWS if (found := flaw(words))]))
    return (sentence(" ".join(words).replace(" ,", ",")),)


# SST-2: does the sentence praise? 1 is yes.


def sst2(rng: random.Random, setting: Setting, label: Label) -> Texts:
    """The clause that `but` or `although` gives the weight to decides; praise may be blame denied."""
    main, same, opposite = (opinion(rng, bool(label) == agrees, negation=0.4) for agrees in (True, True, False))
    forms = (main, f"{main} and {same}", f"{opposite}, but {main}", f"although {opposite}, {main}")
    return (sentence(rng.choices(forms, (3, 2, 2, 2))[0]),)


# MRPC and QQP: do both say, or ask, the same? 1 is yes.


def mrpc(rng: random.Random, setting: Setting, label: Label) -> Texts:
    fact = draw_fact(rng, setting, ("agent", "count", *_some_of(rng, ("quality", "place", "day"), 0.7)))
    second = fact if label else _changed(fact, [rng.choice(_said(fact))], rng, setting)
    return sentence(tell(fact, rng)), sentence(tell(second, rng))


ASKED = {  # the slot that a question asks for, in two ways
    "agent": ("who", "which person"),
    "thing": ("what", "which things"),
    "count": ("how many", "what number of"),
    "place": ("where", "in which place"),
    "day": ("when", "on which day"),
}


def ask(fact: Fact, slot: str, rng: random.Random) -> str:
    """The question for one slot of the fact, which it does not say."""
    base, third, _ = rng.choice(VERBS[fact.verb])
    opening = rng.choice(ASKED[slot])
    known = replace(fact, **{slot: None}) if slot in OPTIONAL else fact
    after = circumstances(known, rng)
    if slot == "agent":
        return sentence(" ".join((opening, third, things_phrase(known, rng), *after)), "?")
    if slot == "count":
        opening = f"{opening} {things_phrase(known, rng, unsaid='').strip()}"
    things = [things_phrase(known, rng)] if slot in ("place", "day") else []
    return sentence(" ".join((opening, "does", fact.agent, base, *things, *after)), "?")


def _question_fact(rng: random.Random, setting: Setting, slot: str) -> Fact:
    """A fact with the slot that is asked for, the agent, and some others."""
    others = _some_of(rng, ("quality", "place", "day"), 0.5)
    fact = draw_fact(rng, setting, tuple(s for s in OPTIONAL if s in ("agent", "count", slot, *others)))
    return replace(fact, count=None, quality=None) if slot == "thing" else fact


def qqp(rng: random.Random, setting: Setting, label: Label) -> Texts:
    slot = rng.choice(tuple(ASKED))
    fact = _question_fact(rng, setting, slot)
    second = fact if label else _changed(fact, [rng.choice([s for s in _said(fact) if s != slot])], rng, setting)
    return ask(fact, slot, rng), ask(second, slot, rng)


# STS-B: how much of the meaning is shared? One point for each of five slots, half a point for a thing of the same kind.

GRADED = ("agent", "verb", "quality", "thing", "place")


def similarity(first: Fact, second: Fact) -> float:
    shared = sum(getattr(first, slot) == getattr(second, slot) for slot in GRADED)
    return shared + 0.5 * (first.thing != second.thing and KIND[first.thing] == KIND[second.thing])


def stsb(rng: random.Random, setting: Setting, label: Label) -> Texts:
    while True:
        first = replace(draw_fact(rng, setting, ("agent", "quality", "place")), count=1)
        second = _changed(first, rng.sample(GRADED, 5 - int(label)), rng, setting)
        if similarity(first, second) == label:
            return sentence(tell(first, rng)), sentence(tell(second, rng))


# MNLI: 0 the hypothesis follows, 1 it may be, 2 it cannot be.


def entails(strong: Fact, weak: Fact) -> bool:
    """Whether whatever makes `strong` true makes `weak` true."""
    said = all(getattr(weak, slot) in (None, getattr(strong, slot)) for slot in (*OPTIONAL, "verb"))
    return said and weak.thing in (strong.thing, KIND.get(strong.thing))


def generalised(fact: Fact, rng: random.Random, steps: int) -> Fact:
    """A weaker fact: things become their kind, a place, a day or a quality is left out, a person becomes someone."""
    for _ in range(steps):
        slots = [slot for slot in OPTIONAL if getattr(fact, slot) is not None and (slot != "count" or fact.count > 1)]
        slots += ["thing"] * (fact.thing in KIND)
        if not slots:
            return fact
        slot = rng.choice(slots)
        fact = replace(fact, **{slot: KIND[fact.thing] if slot == "thing" else None})
    return fact


def specialised(fact: Fact, rng: random.Random, setting: Setting, steps: int) -> Fact:
    """A stronger fact: the reverse of `generalised`, but without a number, for who has no two dogs may have one."""
    for _ in range(steps):
        slots = [slot for slot in ("agent", "quality", "place", "day") if getattr(fact, slot) is None]
        slot = rng.choice(slots + ["thing"] * (fact.thing in THINGS))
        value = rng.choice(THINGS[fact.thing]) if slot == "thing" else other_value(fact, slot, rng, setting)
        fact = replace(fact, **{slot: value})
    return fact


def _kind_at_times(fact: Fact, rng: random.Random, chance: float) -> Fact:
    return replace(fact, thing=KIND[fact.thing]) if rng.random() < chance else fact


def _unrelated(fact: Fact, rng: random.Random, setting: Setting) -> Fact:
    slots = [slot for slot in _said(fact) if slot != "count"]
    return _changed(fact, [rng.choice(slots)], rng, setting)


def _from_told(rng: random.Random, setting: Setting, label: Label) -> Texts:
    said = ("agent", "count", *_some_of(rng, ("quality", "place", "day"), 0.5))
    fact = _kind_at_times(draw_fact(rng, setting, said), rng, 0.15)
    weaker = generalised(fact, rng, rng.choice((1, 2)))
    if label == 0:
        return tell(fact, rng), tell(weaker, rng)
    if label == 2:
        return tell(fact, rng), deny(replace(weaker, count=None), rng)
    free = [slot for slot in ("quality", "place", "day") if getattr(fact, slot) is None] or fact.thing in THINGS
    other = specialised(fact, rng, setting, 1) if free and rng.random() < 0.5 else _unrelated(fact, rng, setting)
    if rng.random() < 0.5:
        return tell(fact, rng), tell(other, rng)
    return tell(fact, rng), deny(replace(other, count=None), rng)


def _from_denied(rng: random.Random, setting: Setting, label: Label) -> Texts:
    fact = draw_fact(rng, setting, ("agent", *_some_of(rng, ("quality", "place", "day"), 0.4)))
    fact = _kind_at_times(fact, rng, 0.6)
    if len(_said(fact)) == len(SLOTS) - 1 and fact.thing in KIND:  # nothing is left to make more special
        fact = replace(fact, day=None)
    if label == 1:
        other = generalised(fact, rng, 1) if rng.random() < 0.5 else _unrelated(fact, rng, setting)
    else:
        other = specialised(fact, rng, setting, 1)
    flipped = label == 2 or (label == 1 and rng.random() < 0.5)
    return deny(fact, rng), (tell if flipped else deny)(other, rng)


def mnli(rng: random.Random, setting: Setting, label: Label) -> Texts:
    premise, hypothesis = (_from_told if rng.random() < 0.7 else _from_denied)(rng, setting, label)
    return sentence(premise), sentence(hypothesis)


# QNLI: does the sentence answer the question? 0 is yes.


def qnli(rng: random.Random, setting: Setting, label: Label) -> Texts:
    slot = rng.choice(tuple(ASKED))
    asked = _question_fact(rng, setting, slot)
    told = replace(asked, **{s: other_value(asked, s, rng, setting) for s in _unsaid(asked, rng)})
    if label and slot != "thing" and rng.random() < 0.5:
        told = replace(told, **{slot: None})
    elif label:
        told = _changed(told, [rng.choice([s for s in _said(asked) if s != slot])], rng, setting)
    return ask(asked, slot, rng), sentence(tell(told, rng))


def _unsaid(fact: Fact, rng: random.Random) -> list[str]:
    """Some of what the fact leaves open."""
    return [slot for slot in OPTIONAL if getattr(fact, slot) is None and rng.random() < 0.5]


# RTE: does the second text follow from the first? 0 is yes.


def rte(rng: random.Random, setting: Setting, label: Label) -> Texts:
    return (_from_one_of_two if rng.random() < 0.5 else _from_both)(rng, setting, label)


def _from_one_of_two(rng: random.Random, setting: Setting, label: Label) -> Texts:
    """Two facts about two people; a weaker form of one of them follows, their mixture does not."""
    first = draw_fact(rng, setting, ("agent", "count", *_some_of(rng, ("quality", "place"), 0.6)))
    second = _changed(first, ["agent", "verb", "thing", *_some_of(rng, ("quality", "place"), 0.5)], rng, setting)
    text = f"{sentence(tell(first, rng))} {sentence(tell(second, rng))}"
    while True:
        one, two = rng.sample((first, second), 2)
        mixed = rng.choice(("agent", "thing", "verb"))
        said = replace(one, **{mixed: getattr(two, mixed)}) if label else one
        said = generalised(said, rng, rng.choice((0, 1)))
        if (entails(first, said) or entails(second, said)) != bool(label):
            return text, sentence(tell(said, rng))


def _from_both(rng: random.Random, setting: Setting, label: Label) -> Texts:
    """A fact and a quality of its thing, told apart; both together follow, with another quality they do not."""
    whole = draw_fact(rng, setting, ("agent", "count", "quality", *_some_of(rng, ("place", "day"), 0.5)))
    word = rng.choice(QUALITIES[whole.quality])
    apart = sentence(f"it is {word}" if whole.count == 1 else f"they are {word}")
    text = f"{sentence(tell(replace(whole, quality=None), rng))} {apart}"
    if label:
        whole = _changed(whole, [rng.choice(("quality", "quality", "thing", "agent"))], rng, setting)
    return text, sentence(tell(whole, rng))


# The tasks.

DRAWS: Mapping[str, Callable[[random.Random, Setting, Label], Texts]] = {
    "cola": cola,
    "sst2": sst2,
    "mrpc": mrpc,
    "stsb": stsb,
    "qqp": qqp,
    "mnli": mnli,
    "qnli": qnli,
    "rte": rte,
}


def labels(subset: Subset) -> tuple[Label, ...]:
    """Every label of the task, each drawn equally often."""
    if subset.num_classes == 1:
        return tuple(half / 2 for half in range(int(2 * HIGHEST_SIMILARITY) + 1))
    return tuple(range(subset.num_classes))


@dataclass(frozen=True)
class MicroRows:
    """The rows of one part of a task. part: "dev", "dev_mm" or "train"; no texts are in two parts."""

    subset: str
    part: str
    train_size: int
    dev_size: int
    data_seed: int

    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps([GENERATOR_VERSION, *astuple(self)]).encode()).hexdigest()

    def rows(self) -> list[tuple[Any, ...]]:
        """(text, label) or (text, pair, label), with equally many of each label."""
        rng = random.Random(f"micro_{self.subset} {self.data_seed}")
        seen: set[Texts] = set()
        # The dev sets are drawn first, so that they stay the same when the training set grows.
        for part, setting, size in (
            ("dev", HERE, self.dev_size),
            ("dev_mm", THERE, self.dev_size),
            ("train", HERE, self.train_size),
        ):
            rows = self._draw(rng, setting, size, seen)
            if part == self.part:
                return rows
        raise ValueError(f"micro-GLUE has the parts dev, dev_mm and train, not {self.part!r}")

    def _draw(self, rng: random.Random, setting: Setting, size: int, seen: set[Texts]) -> list[tuple[Any, ...]]:
        every = labels(SUBSETS[self.subset])
        rows = []
        for number in range(size):
            label = every[number % len(every)]
            texts = DRAWS[self.subset](rng, setting, label)
            while texts in seen or (len(texts) == 2 and texts[0] == texts[1]):
                texts = DRAWS[self.subset](rng, setting, label)
            seen.add(texts)
            rows.append((*texts, label))
        rng.shuffle(rows)
        return rows


class MicroGlue(Glue):
    """One of the eight tasks: Glue, with generated rows for its files. Sizes are of train and of each dev set."""

    def __init__(self, *, subset: str, train_size: int, dev_size: int, data_seed: int) -> None:
        if subset not in DRAWS:
            raise ValueError(f"no task of micro-GLUE is named {subset!r}; there are {', '.join(DRAWS)}")
        if train_size < 1 or dev_size < 2:
            raise ValueError(f"train_size >= 1 and dev_size >= 2, not {train_size} and {dev_size}")

        def part(name: str) -> MicroRows:
            return MicroRows(subset, name, train_size, dev_size, data_seed)

        super().__init__(
            subset=subset,
            name=f"micro_{subset}",
            data_seed=data_seed,
            train_source=part("train"),
            dev_source=part("dev"),
            mismatched_source=part("dev_mm") if "_mm" in SUBSETS[subset].dev else None,
        )
