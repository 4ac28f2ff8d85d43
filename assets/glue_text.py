"""Procedural text that speaks of micro-GLUE's world, but has none of its tasks.

Facts, stories of two or three sentences that restate, conclude, contrast or answer, and opinions that agree with each
other. Nothing here is labelled, and every sentence is grammatical; that a word such as `so` or `but` stands between two
sentences tells, as it does in any text, how they hang together.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from tasks.micro.entailment import generalised, specialised
from tasks.micro.sentences import ASKED, ask
from tasks.micro.world import (
    DISLIKING,
    HERE,
    KIND,
    LIKING,
    OPTIONAL,
    QUALITIES,
    SHOW,
    THERE,
    Fact,
    Setting,
    deny,
    draw_fact,
    opinion,
    other_value,
    plural,
    sentence,
    tell,
    with_article,
)

Sentences = list[str]


def _fact(rng: random.Random, setting: Setting) -> Fact:
    return draw_fact(rng, setting, ("agent", *(slot for slot in OPTIONAL[1:] if rng.random() < 0.6)))


def _facts(rng: random.Random, setting: Setting) -> Sentences:
    """What one person does, or what happens at one place on one day."""
    first = _fact(rng, setting)
    told = [sentence((tell if rng.random() < 0.8 else deny)(first, rng))]
    for _ in range(rng.randint(0, 2)):
        kept = {"agent": first.agent} if rng.random() < 0.5 else {"place": first.place, "day": first.day}
        told.append(sentence(tell(replace(_fact(rng, setting), **kept), rng)))
    return told


def _restated(rng: random.Random, setting: Setting) -> Sentences:
    fact = _fact(rng, setting)
    say = tell if rng.random() < 0.8 else deny
    opening = rng.choice(("", "", "in other words, "))
    return [sentence(say(fact, rng)), sentence(opening + say(fact, rng))]


def _concluded(rng: random.Random, setting: Setting) -> Sentences:
    """Things are of a kind, and what is done to a red one in the park is done to one."""
    fact = _fact(rng, setting)
    if rng.random() < 0.7:
        first, second = tell(fact, rng), tell(generalised(fact, rng, rng.choice((1, 2))), rng)
    else:
        fact = replace(generalised(fact, rng, 2), count=None)
        first, second = deny(fact, rng), deny(specialised(fact, rng, setting, 1), rng)
    return [sentence(first), sentence(f"so {second}")]


def _contrasted(rng: random.Random, setting: Setting) -> Sentences:
    """Another thing, person, place or day is another matter."""
    fact = replace(_fact(rng, setting), count=None)
    slots = [slot for slot in ("agent", "thing", "place", "day", "quality") if getattr(fact, slot) is not None]
    slot = rng.choice(slots)
    other = replace(fact, **{slot: other_value(fact, slot, rng, setting)})
    first, second = (tell, deny) if rng.random() < 0.5 else (deny, tell)
    return [sentence(first(fact, rng)), sentence(f"but {second(other, rng)}")]


def _corrected(rng: random.Random, setting: Setting) -> Sentences:
    """Someone errs: what is said is wrong, for the contrary holds."""
    fact = _fact(rng, setting)
    weak = replace(generalised(fact, rng, rng.choice((0, 1))), count=None)
    if rng.random() < 0.5:
        return [sentence(tell(fact, rng)), sentence(f"it is wrong that {deny(weak, rng)}")]
    return [sentence(deny(weak, rng)), sentence(f"it is wrong that {tell(fact, rng)}")]


def _supposed(rng: random.Random, setting: Setting) -> Sentences:
    fact = _fact(rng, setting)
    more = specialised(replace(fact, quality=None), rng, setting, 1)
    say = tell if rng.random() < 0.6 else deny
    return [sentence(tell(fact, rng)), sentence(f"perhaps {say(replace(more, count=None), rng)}")]


def _answered(rng: random.Random, setting: Setting) -> Sentences:
    slot = rng.choice(tuple(ASKED))
    fact = _fact(rng, setting)
    fact = replace(fact, **({} if slot == "thing" else {slot: other_value(fact, slot, rng, setting)}))
    asked = replace(fact, count=None, quality=None) if slot == "thing" else fact
    return [ask(asked, slot, rng), sentence(tell(fact, rng))]


def _described(rng: random.Random, setting: Setting) -> Sentences:
    """A quality told afterwards, then the whole in one."""
    fact = replace(_fact(rng, setting), quality=rng.choice(tuple(QUALITIES)))
    word = rng.choice(QUALITIES[fact.quality])
    told = [tell(replace(fact, quality=None), rng), f"it is {word}" if fact.count == 1 else f"they are {word}"]
    return [sentence(words) for words in (*told, tell(fact, rng))]


def _states(rng: random.Random, setting: Setting) -> Sentences:
    """`The dogs near the car are large. They are big.`"""
    first, second = (rng.choice((noun, plural(noun))) for noun in rng.sample(tuple(KIND), 2))
    where = rng.choice((f"near the {second}", f"behind the {second}", f"in the {rng.choice(setting.places)}"))
    verb, it = rng.choice((("is", "it"), ("is not", "it")) if first in KIND else (("are", "they"), ("are not", "they")))
    words = QUALITIES[rng.choice(tuple(QUALITIES))]
    told = [sentence(f"the {first} {where} {verb} {rng.choice(words)}")]
    return told + [sentence(f"{it} {verb} {rng.choice(words)}")] * (rng.random() < 0.5)


def _kinds(rng: random.Random, setting: Setting) -> Sentences:
    thing = rng.choice(tuple(KIND))
    words = rng.choice([words for words in QUALITIES.values() if len(words) == 2])
    one, two = rng.sample(words, 2)
    kind = sentence(f"{with_article(thing)} is {with_article(KIND[thing])}")
    return [kind, sentence(f"{with_article(f'{one} {thing}')} is {with_article(f'{two} {KIND[thing]}')}")]


def _opinions(rng: random.Random, setting: Setting) -> Sentences:
    """Opinions that agree, or change sides where `but` or `although` says so; then how it was liked."""
    positive = rng.random() < 0.5

    def say(agrees: bool) -> str:
        return opinion(rng, positive == agrees, negation=0.4)

    forms = (say(True), f"{say(True)} and {say(True)}", f"{say(False)}, but {say(True)}")
    told = [sentence(rng.choice((*forms, f"although {say(False)}, {say(True)}")))]
    for _ in range(rng.randint(1, 2)):
        liked = f"we {rng.choice(LIKING if positive else DISLIKING)} the {rng.choice(SHOW)}"
        told.append(sentence(rng.choice((say(True), liked))))
    return told


_STORIES: dict[Callable[[random.Random, Setting], Sentences], int] = {  # and how often each is told
    _facts: 2,
    _restated: 3,
    _concluded: 3,
    _contrasted: 2,
    _corrected: 2,
    _supposed: 2,
    _answered: 3,
    _described: 2,
    _states: 2,
    _kinds: 1,
    _opinions: 3,
}


def document(rng: random.Random) -> Sentences:
    """One to three sentences that belong together."""
    story = rng.choices(tuple(_STORIES), tuple(_STORIES.values()))[0]
    return story(rng, rng.choice((HERE, THERE)))
