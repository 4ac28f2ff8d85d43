"""Sentences of the small world that a grammar, an opinion or a likeness is asked of: CoLA, SST-2, MRPC, QQP, STS-B.

Each task draws texts that have the given label.
"""

import random
from dataclasses import replace

from tasks.micro.world import (
    KIND,
    NUMBERS,
    OPTIONAL,
    QUALITIES,
    SLOTS,
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
)  # fmt: skip

Texts = tuple[str, ...]
Label = int | float


def some_of(rng: random.Random, slots: tuple[str, ...], chance: float) -> tuple[str, ...]:
    return tuple(slot for slot in slots if rng.random() < chance)


def changed(fact: Fact, slots: list[str], rng: random.Random, setting: Setting) -> Fact:
    """The fact with other values in the slots."""
    return replace(fact, **{slot: other_value(fact, slot, rng, setting) for slot in slots})


def slots_said(fact: Fact) -> list[str]:
    return [slot for slot in SLOTS if getattr(fact, slot) is not None]


# CoLA: is the sentence grammatical? 1 is yes.


def _grammatical(rng: random.Random, setting: Setting) -> str:
    said = ("agent", *some_of(rng, ("count", "quality", "place", "day"), 0.6))
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
    fact = draw_fact(rng, setting, ("agent", "count", *some_of(rng, ("quality", "place", "day"), 0.7)))
    second = fact if label else changed(fact, [rng.choice(slots_said(fact))], rng, setting)
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


def question_fact(rng: random.Random, setting: Setting, slot: str) -> Fact:
    """A fact with the slot that is asked for, the agent, and some others."""
    others = some_of(rng, ("quality", "place", "day"), 0.5)
    fact = draw_fact(rng, setting, tuple(s for s in OPTIONAL if s in ("agent", "count", slot, *others)))
    return replace(fact, count=None, quality=None) if slot == "thing" else fact


def qqp(rng: random.Random, setting: Setting, label: Label) -> Texts:
    slot = rng.choice(tuple(ASKED))
    fact = question_fact(rng, setting, slot)
    second = fact if label else changed(fact, [rng.choice([s for s in slots_said(fact) if s != slot])], rng, setting)
    return ask(fact, slot, rng), ask(second, slot, rng)


# STS-B: how much of the meaning is shared? One point for each of five slots, half a point for a thing of the same kind.

GRADED = ("agent", "verb", "quality", "thing", "place")


def similarity(first: Fact, second: Fact) -> float:
    shared = sum(getattr(first, slot) == getattr(second, slot) for slot in GRADED)
    return shared + 0.5 * (first.thing != second.thing and KIND[first.thing] == KIND[second.thing])


def stsb(rng: random.Random, setting: Setting, label: Label) -> Texts:
    while True:
        first = replace(draw_fact(rng, setting, ("agent", "quality", "place")), count=1)
        second = changed(first, rng.sample(GRADED, 5 - int(label)), rng, setting)
        if similarity(first, second) == label:
            return sentence(tell(first, rng)), sentence(tell(second, rng))
