"""A small world of facts: what people like and do, kinds, colours, sizes and places of things, tools, opposites.

Pre-training text states them in plain sentences (`assets/commonsense_text.py`); `tasks/micro_commonsense.py` asks for
them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.micro.word_problems import NAMES

WORLD_SEED = "micro facts"  # decides which person likes what

# thing kind colour size place
_THINGS = """
lion animal yellow large forest
mouse animal gray tiny house
cat animal black small house
dog animal brown small house
cow animal white large farm
horse animal brown large farm
pig animal pink large farm
sheep animal white large farm
duck animal white small farm
hen animal red small farm
goat animal gray large farm
fox animal orange small forest
wolf animal gray large forest
bear animal brown huge forest
crow animal black small forest
owl animal brown small forest
parrot animal green small forest
frog animal green tiny garden
bee animal yellow tiny garden
ant animal black tiny garden
worm animal pink tiny garden
snail animal brown tiny garden
whale animal blue huge sea
shark animal gray huge sea
crab animal red small sea
shrimp animal pink tiny sea
turtle animal green large sea
seal animal black large sea
cherry fruit red tiny garden
lemon fruit yellow small garden
pear fruit green small garden
peach fruit pink small garden
plum fruit blue small farm
grape fruit green tiny farm
melon fruit green large farm
mango fruit orange small farm
banana fruit yellow small farm
apricot fruit orange tiny garden
coconut fruit brown small farm
blueberry fruit blue tiny forest
raspberry fruit red tiny forest
carrot vegetable orange small garden
tomato vegetable red small garden
pea vegetable green tiny garden
onion vegetable white small garden
cabbage vegetable green large farm
potato vegetable brown small farm
beet vegetable red small farm
corn vegetable yellow large farm
pumpkin vegetable orange large farm
mushroom vegetable white tiny forest
truck vehicle red huge street
bus vehicle yellow huge street
taxi vehicle yellow large street
bike vehicle blue large street
van vehicle white huge street
scooter vehicle pink large street
tractor vehicle green huge farm
ship vehicle white huge sea
ferry vehicle blue huge sea
submarine vehicle gray huge sea
coat garment black large house
scarf garment red small house
sock garment white tiny house
glove garment brown tiny house
hat garment gray small house
shirt garment blue small house
sandal garment orange small house
boot garment black small house
""".split()
THINGS = {name: tuple(rest) for name, *rest in zip(*(_THINGS[at::5] for at in range(5)), strict=True)}
SIZES = ("tiny", "small", "large", "huge")  # in ascending order

PEOPLE = (*NAMES, "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Igor", "Jane",
          "Kim", "Lars", "Nora", "Otto", "Pia", "Rolf", "Uma", "Vera")  # fmt: skip

TOOLS = {
    "knife": "cut bread", "saw": "cut wood", "shovel": "dig a hole", "key": "open a door",
    "pen": "write a letter", "hammer": "drive a nail", "telescope": "watch the stars", "broom": "sweep the floor",
    "needle": "sew a shirt", "brush": "paint a wall", "lamp": "light a room", "bridge": "cross a river",
    "plane": "fly far away", "fridge": "keep milk cold", "kettle": "boil water", "oven": "bake a cake",
    "towel": "dry wet hair", "soap": "wash dirty hands", "clock": "tell the time", "compass": "find the north",
    "ladder": "climb a roof", "bucket": "carry water", "umbrella": "stay dry in rain", "net": "catch fish",
    "chain": "lock a bike", "camera": "take a picture", "stamp": "send a letter", "radio": "hear the news",
    "ruler": "draw a straight line", "hose": "water a lawn", "rake": "gather leaves", "pillow": "rest a head",
    "blanket": "keep warm at night", "match": "start a fire", "glue": "mend a vase", "iron": "smooth a shirt",
    "whistle": "call a dog", "mirror": "see a face", "spoon": "eat soup", "plough": "turn a field",
    "scale": "weigh flour",
}  # fmt: skip

OPPOSITES = {
    "hot": "cold", "wet": "dry", "young": "old", "fast": "slow", "hard": "soft", "light": "dark", "rich": "poor",
    "strong": "weak", "loud": "quiet", "full": "empty", "open": "shut", "happy": "sad", "clean": "dirty",
    "early": "late", "high": "low", "near": "far", "thick": "thin", "sweet": "sour", "brave": "afraid",
    "sharp": "blunt", "rough": "smooth", "wide": "narrow", "deep": "shallow", "wild": "tame",
}  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """What holds between each subject and its one value, with the words for it.

    The templates hold {s}, {v} or both. subject: how a subject is named ("the {s}"). statement: the fact ("{s} is
    {v}"). question: whether it holds ("is {s} {v}"). clause: the fact without its subject ("is {v}"). whose: the
    question for the subject. which: the question for the value.
    """

    values: Mapping[str, str]
    subject: str
    statement: str
    question: str
    clause: str
    whose: str
    which: str

    def names(self, subject: str) -> str:
        return self.subject.format(s=subject)

    def says(self, template: str, subject: str, value: str) -> str:
        """One of the templates, about this subject and this value."""
        return template.format(s=self.names(subject), v=value)


def _assigned(values: Sequence[str]) -> dict[str, str]:
    """Each person gets a value, each value about as many people."""
    rng = random.Random(f"{WORLD_SEED} {values[0]}")
    repeated = (list(values) * len(PEOPLE))[: len(PEOPLE)]
    rng.shuffle(repeated)
    return dict(zip(PEOPLE, repeated, strict=True))


def _of_people(verb: str, plain: str, values: Sequence[str], asked: str = "What does {s}") -> Relation:
    return Relation(
        _assigned(values),
        "{s}",
        f"{{s}} {verb} {{v}}",
        f"does {{s}} {plain} {{v}}",
        f"{verb} {{v}}",
        f"Who {verb} {{v}}?",
        f"{asked} {plain}?",
    )


def _of_things(column: int, verb: str, value: str, which: str) -> Relation:
    """A column of the table of things. `value` holds {}: how an entry of it is named."""
    first, _, rest = verb.partition(" ")
    rest = f" {rest}" if rest else ""
    return Relation(
        {name: value.format(columns[column]) for name, columns in THINGS.items()},
        "the {s}",
        f"{{s}} {verb} {{v}}",
        f"{first} {{s}}{rest} {{v}}",
        f"{verb} {{v}}",
        f"Which of these {verb} {{v}}?",
        which,
    )


RELATIONS: Mapping[str, Relation] = {
    "kind": _of_things(0, "is", "a kind of {}", "What is {s}?"),
    "colour": _of_things(1, "is", "{}", "What colour is {s}?"),
    "size": _of_things(2, "is", "{}", "What size is {s}?"),
    "place": _of_things(3, "is found in", "the {}", "Where is {s} found?"),
    "food": _of_people(
        "likes", "like", ("apples", "cookies", "eggs", "noodles", "soup", "rice", "cheese", "pancakes")
    ),
    "city": _of_people(
        "lives in", "live in", ("Paris", "Rome", "Oslo", "Cairo", "Lima", "Tokyo", "Berlin", "Delhi"),
        asked="What city does {s}",
    ),
    "drink": _of_people("drinks", "drink", ("tea", "milk", "juice", "coffee", "cocoa", "soda", "lemonade", "cider")),
    "instrument": _of_people(
        "plays", "play", ("piano", "flute", "drums", "violin", "guitar", "harp", "trumpet", "horn")
    ),
    "language": _of_people(
        "speaks", "speak", ("Greek", "Dutch", "Polish", "Arabic", "French", "Danish", "Hindi", "Korean")
    ),
    "study": _of_people("studies", "study", ("law", "art", "music", "maths", "history", "physics", "botany", "poetry")),
    "use": Relation(
        TOOLS, "the {s}", "{s} is used to {v}", "is {s} used to {v}", "is used to {v}",
        "What is used to {v}?", "What is {s} used for?",
    ),
    "opposite": Relation(
        OPPOSITES, "{s}", "the opposite of {s} is {v}", "is the opposite of {s} {v}", "is the opposite of {v}",
        "What is the opposite of {v}?", "What is the opposite of {s}?",
    ),
}  # fmt: skip


def larger(first: str, second: str) -> str | None:
    """The larger of two things; None where they are of one size."""
    ranks = [SIZES.index(RELATIONS["size"].values[thing]) for thing in (first, second)]
    return None if ranks[0] == ranks[1] else (first if ranks[0] > ranks[1] else second)
