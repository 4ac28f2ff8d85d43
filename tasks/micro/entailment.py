"""Pairs of sentences of the small world of which one follows from the other, or does not: MNLI, QNLI, RTE.

Each task draws texts that have the given label.
"""

import random
from dataclasses import replace

from tasks.micro.sentences import ASKED, Label, Texts, ask, changed, question_fact, slots_said, some_of
from tasks.micro.world import (
    KIND,
    OPTIONAL,
    QUALITIES,
    SLOTS,
    THINGS,
    Fact,
    Setting,
    deny,
    draw_fact,
    other_value,
    sentence,
    tell,
)  # fmt: skip

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
    slots = [slot for slot in slots_said(fact) if slot != "count"]
    return changed(fact, [rng.choice(slots)], rng, setting)


def _from_told(rng: random.Random, setting: Setting, label: Label) -> Texts:
    said = ("agent", "count", *some_of(rng, ("quality", "place", "day"), 0.5))
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
    fact = draw_fact(rng, setting, ("agent", *some_of(rng, ("quality", "place", "day"), 0.4)))
    fact = _kind_at_times(fact, rng, 0.6)
    if len(slots_said(fact)) == len(SLOTS) - 1 and fact.thing in KIND:  # nothing is left to make more special
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
    asked = question_fact(rng, setting, slot)
    told = replace(asked, **{s: other_value(asked, s, rng, setting) for s in _unsaid(asked, rng)})
    if label and slot != "thing" and rng.random() < 0.5:
        told = replace(told, **{slot: None})
    elif label:
        told = changed(told, [rng.choice([s for s in slots_said(asked) if s != slot])], rng, setting)
    return ask(asked, slot, rng), sentence(tell(told, rng))


def _unsaid(fact: Fact, rng: random.Random) -> list[str]:
    """Some of what the fact leaves open."""
    return [slot for slot in OPTIONAL if getattr(fact, slot) is None and rng.random() < 0.5]


# RTE: does the second text follow from the first? 0 is yes.


def rte(rng: random.Random, setting: Setting, label: Label) -> Texts:
    return (_from_one_of_two if rng.random() < 0.5 else _from_both)(rng, setting, label)


def _from_one_of_two(rng: random.Random, setting: Setting, label: Label) -> Texts:
    """Two facts about two people; a weaker form of one of them follows, their mixture does not."""
    first = draw_fact(rng, setting, ("agent", "count", *some_of(rng, ("quality", "place"), 0.6)))
    second = changed(first, ["agent", "verb", "thing", *some_of(rng, ("quality", "place"), 0.5)], rng, setting)
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
    whole = draw_fact(rng, setting, ("agent", "count", "quality", *some_of(rng, ("place", "day"), 0.5)))
    word = rng.choice(QUALITIES[whole.quality])
    apart = sentence(f"it is {word}" if whole.count == 1 else f"they are {word}")
    text = f"{sentence(tell(replace(whole, quality=None), rng))} {apart}"
    if label:
        whole = changed(whole, [rng.choice(("quality", "quality", "thing", "agent"))], rng, setting)
    return text, sentence(tell(whole, rng))
