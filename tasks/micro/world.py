"""The small world that micro-GLUE speaks of: its words, its facts, and the sentences that state a fact.

A fact says that someone does something to some things, somewhere, on some day. Every content word fills exactly one
slot of a fact, and a word and its synonym the same one, so a sentence can be read back without its word order.
"""

import random
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Setting:
    """Who is met and where: mismatched sentences have other people in other places."""

    names: tuple[str, ...]
    places: tuple[str, ...]


HERE = Setting(
    ("Tom", "Anna", "Ben", "Mia", "Sam", "Lily", "Omar", "Rosa"),
    ("garden", "kitchen", "park", "school", "village", "shop"),
)
THERE = Setting(
    ("Ivan", "Nina", "Paul", "Zoe", "Hugo", "Ella", "Leo", "Maya"),
    ("harbour", "station", "forest", "library", "museum", "castle"),
)

THINGS = {  # kind: things of that kind
    "animal": ("dog", "cat", "horse", "rabbit"),
    "fruit": ("apple", "pear", "lemon", "melon"),
    "vehicle": ("car", "truck", "boat", "tractor"),
    "tool": ("hammer", "saw", "shovel", "drill"),
    "toy": ("doll", "ball", "kite", "puzzle"),
    "instrument": ("guitar", "flute", "drum", "violin"),
}
KIND = {thing: kind for kind, things in THINGS.items() for thing in things}

Verb = tuple[str, str, str]  # "buy", "buys", "bought" (participle)
VERBS: dict[str, tuple[Verb, Verb]] = {  # by the first of two synonyms
    "buy": (("buy", "buys", "bought"), ("purchase", "purchases", "purchased")),
    "see": (("see", "sees", "seen"), ("notice", "notices", "noticed")),
    "find": (("find", "finds", "found"), ("discover", "discovers", "discovered")),
    "hide": (("hide", "hides", "hidden"), ("conceal", "conceals", "concealed")),
    "take": (("take", "takes", "taken"), ("grab", "grabs", "grabbed")),
    "move": (("move", "moves", "moved"), ("carry", "carries", "carried")),
    "draw": (("draw", "draws", "drawn"), ("sketch", "sketches", "sketched")),
    "want": (("want", "wants", "wanted"), ("desire", "desires", "desired")),
}

QUALITIES = {  # by the first of the synonyms
    "big": ("big", "large"),
    "small": ("small", "little"),
    "fast": ("fast", "quick"),
    "slow": ("slow", "sluggish"),
    "old": ("old", "ancient"),
    "new": ("new", "modern"),
    "clean": ("clean", "spotless"),
    "dirty": ("dirty", "filthy"),
    "red": ("red",),
    "blue": ("blue",),
    "green": ("green",),
    "white": ("white",),
}
NUMBERS = {1: "a", 2: "two", 3: "three", 4: "four", 5: "five"}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


@dataclass(frozen=True)
class Fact:
    """`agent` does `verb` to `count` things that are `quality`; None is "unsaid", `thing` may be a kind of things."""

    verb: str
    thing: str
    agent: str | None = None
    count: int | None = None
    quality: str | None = None
    place: str | None = None
    day: str | None = None


OPTIONAL = ("agent", "count", "quality", "place", "day")  # what a fact may leave unsaid
SLOTS = tuple(field.name for field in fields(Fact))


def plural(noun: str) -> str:
    return f"{noun}s"


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def sentence(words: str, end: str = ".") -> str:
    return f"{words[0].upper()}{words[1:]}{end}"


def things_phrase(fact: Fact, rng: random.Random, unsaid: str = "some") -> str:
    """`two large dogs`; `unsaid` in the place of a number that the fact leaves open."""
    noun = fact.thing if fact.count == 1 else plural(fact.thing)
    words = noun if fact.quality is None else f"{rng.choice(QUALITIES[fact.quality])} {noun}"
    if fact.count == 1:
        return with_article(words)
    return f"{unsaid if fact.count is None else NUMBERS[fact.count]} {words}"


def circumstances(fact: Fact, rng: random.Random) -> list[str]:
    """Where and when, as far as said, in any order."""
    phrases = [f"in the {fact.place}"] * (fact.place is not None) + [f"on {fact.day}"] * (fact.day is not None)
    rng.shuffle(phrases)
    return phrases


def _arranged(core: str, phrases: list[str], rng: random.Random) -> str:
    """The core with its circumstances behind it, or one of them in front."""
    if phrases and rng.random() < 0.4:
        return f"{phrases[0]}, {' '.join((core, *phrases[1:]))}"
    return " ".join((core, *phrases))


def tell(fact: Fact, rng: random.Random) -> str:
    """A sentence that states the fact, without its end sign: synonyms, voice and order are drawn."""
    _, third, participle = rng.choice(VERBS[fact.verb])
    things, agent = things_phrase(fact, rng), fact.agent or "someone"
    if rng.random() < 0.3:
        core = f"{things} {'is' if fact.count == 1 else 'are'} {participle} by {agent}"
    else:
        core = f"{agent} {third} {things}"
    return _arranged(core, circumstances(fact, rng), rng)


def deny(fact: Fact, rng: random.Random) -> str:
    """A sentence that says that nothing of the kind happens, without its end sign."""
    base, third, _ = rng.choice(VERBS[fact.verb])
    if fact.agent is None:
        core = f"nobody {third} {things_phrase(fact, rng, unsaid='any')}"
    else:
        core = f"{fact.agent} does not {base} {things_phrase(fact, rng, unsaid='any')}"
    return _arranged(core, circumstances(fact, rng), rng)


def draw_fact(rng: random.Random, setting: Setting, said: tuple[str, ...] = OPTIONAL) -> Fact:
    """A fact about a thing, with the slots `said` filled and the others unsaid."""
    values = {
        "agent": rng.choice(setting.names),
        "count": rng.choice(tuple(NUMBERS)),
        "quality": rng.choice(tuple(QUALITIES)),
        "place": rng.choice(setting.places),
        "day": rng.choice(DAYS),
    }
    return Fact(rng.choice(tuple(VERBS)), rng.choice(tuple(KIND)), **{slot: values[slot] for slot in said})


def other_value(fact: Fact, slot: str, rng: random.Random, setting: Setting) -> str | int:
    """A value for the slot that the fact does not have."""
    choices: dict[str, tuple] = {
        "agent": setting.names,
        "verb": tuple(VERBS),
        "count": tuple(NUMBERS),
        "quality": tuple(QUALITIES),
        "thing": tuple(THINGS) if fact.thing in THINGS else tuple(KIND),
        "place": setting.places,
        "day": DAYS,
    }
    return rng.choice([value for value in choices[slot] if value != getattr(fact, slot)])


# What people say about a show: words of praise and of blame.

SHOW = ("film", "story", "plot", "music", "acting", "ending", "script", "show", "book", "song")
PRAISE = ("good", "great", "lovely", "wonderful", "charming", "brilliant", "funny", "clever", "touching", "fresh")
BLAME = ("bad", "awful", "dreadful", "boring", "dull", "terrible", "weak", "silly", "clumsy", "stale")
LIKING = ("like", "love", "enjoy", "admire")
DISLIKING = ("dislike", "hate", "regret", "fear")
DEGREES = ("", "", "very", "really", "quite", "rather")


def opinion(rng: random.Random, positive: bool, negation: float) -> str:
    """A clause that praises or blames; with probability `negation` by denying the opposite."""
    topic, negated = rng.choice(SHOW), rng.random() < negation
    if rng.random() < 0.7:
        word = rng.choice(PRAISE if positive != negated else BLAME)
        verb = rng.choice(("is not", "is never")) if negated else "is"
        return f"the {topic} {verb} {rng.choice(DEGREES)} {word}".replace("  ", " ")
    word = rng.choice(LIKING if positive != negated else DISLIKING)
    verb = rng.choice((f"do not {word}", f"never {word}")) if negated else word
    return f"{rng.choice(('we', 'they', 'critics', 'I'))} {verb} the {topic}"
