"""Grade-school word problems of so many steps, and their written-out solutions, from a seeded generator.

Numbers (1 to 99) and vocabulary are small enough for a model that trains on a laptop.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

LARGEST = 99

NAMES = (
    "Tom",
    "Anna",
    "Ben",
    "Mia",
    "Sam",
    "Lily",
    "Omar",
    "Rosa",
    "Ivan",
    "Nina",
    "Paul",
    "Zoe",
    "Hugo",
    "Ella",
    "Leo",
    "Maya",
)
ITEMS = (
    "apples",
    "books",
    "cards",
    "coins",
    "shells",
    "stamps",
    "pencils",
    "cookies",
    "marbles",
    "stickers",
    "eggs",
    "balls",
)
CONTAINERS = ("boxes", "bags", "baskets", "packs")
GAINS = ("buys", "finds", "gets", "makes")
LOSSES = ("loses", "sells", "breaks", "drops")
MULTIPLES = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


class _Retry(Exception):
    """A value left the range 1..LARGEST, or a division is not whole; the draw is repeated."""


@dataclass
class _Story:
    """What has been told so far: `owner` has `value` pieces of `item`; `lines` is the written-out solution."""

    rng: random.Random
    owner: str
    other: str
    item: str
    value: int
    told: list[str]
    lines: list[str]

    def step(self, who: str, op: str, b: int, unit: str) -> None:
        """Append `who a op b = c unit.` to the solution and go on from c."""
        result = calculate(self.value, op, b)
        if not 0 < result <= LARGEST:
            raise _Retry
        self.lines.append(f"{who} {self.value} {op} {b} = {result} {unit}.")
        self.value = result


def calculate(a: int, op: str, b: int) -> int:
    """a op b in whole numbers."""
    if op == "/":
        if a % b:
            raise _Retry
        return a // b
    return {"+": a + b, "-": a - b, "*": a * b}[op]


# Openings: how the first amount is given.


def _open_plain(s: _Story) -> None:
    s.value = s.rng.randint(4, 60)
    s.told.append(
        s.rng.choice((f"{s.owner} has {s.value} {s.item}.", f"There are {s.value} {s.item} on the table of {s.owner}."))
    )


def _open_groups(s: _Story) -> None:
    s.value, each, box = s.rng.randint(2, 9), s.rng.randint(2, 9), s.rng.choice(CONTAINERS)
    s.told.append(
        s.rng.choice(
            (
                f"{s.owner} has {s.value} {box} with {each} {s.item} each.",
                f"{s.owner} has {s.value} {box}. There are {each} {s.item} in each.",
            )
        )
    )
    s.step(f"{s.owner} has", "*", each, s.item)


def _open_multiple(s: _Story) -> None:
    s.value, times = s.rng.randint(2, 30), s.rng.choice(tuple(MULTIPLES))
    s.told.append(f"{s.other} has {s.value} {s.item}.")
    s.told.append(f"{s.owner} has {MULTIPLES[times]} as many as {s.other}.")
    s.step(f"{s.owner} has", "*", times, s.item)


def _open_half(s: _Story) -> None:
    s.value = 2 * s.rng.randint(2, 40)
    s.told.append(f"{s.other} has {s.value} {s.item}. {s.owner} has half as many as {s.other}.")
    s.step(f"{s.owner} has", "/", 2, s.item)


def _open_more(s: _Story) -> None:
    s.value, b = s.rng.randint(4, 50), s.rng.randint(2, 40)
    more, op = s.rng.choice((("more", "+"), ("fewer", "-")))
    s.told.append(f"{s.other} has {s.value} {s.item}.")
    s.told.append(f"{s.owner} has {b} {s.item} {more} than {s.other}.")
    s.step(f"{s.owner} has", op, b, s.item)


# Changes: what happens to it.


def _change_gain(s: _Story) -> None:
    b = s.rng.randint(2, 40)
    s.told.append(
        s.rng.choice(
            (
                f"{s.owner} {s.rng.choice(GAINS)} {b} more {s.item}.",
                f"{s.other} gives {b} {s.item} to {s.owner}.",
            )
        )
    )
    s.step(f"{s.owner} has", "+", b, s.item)


def _change_loss(s: _Story) -> None:
    b = s.rng.randint(2, 40)
    s.told.append(
        s.rng.choice(
            (
                f"{s.owner} {s.rng.choice(LOSSES)} {b} {s.item}.",
                f"{s.owner} gives {b} {s.item} to {s.other}.",
            )
        )
    )
    s.step(f"{s.owner} has", "-", b, s.item)


def _change_half(s: _Story) -> None:
    s.told.append(f"{s.owner} {s.rng.choice((*LOSSES, 'keeps'))} half of the {s.item}.")
    s.step(f"{s.owner} has", "/", 2, s.item)


# Questions: the last step, or none.


def _ask_now(s: _Story) -> None:
    s.told.append(
        s.rng.choice((f"How many {s.item} does {s.owner} have now?", f"How many {s.item} does {s.owner} have?"))
    )


def _ask_altogether(s: _Story) -> None:
    b = s.rng.randint(2, 50)
    s.told.append(
        f"{s.other} has {b} {s.item}. How many {s.item} do they have {s.rng.choice(('altogether', 'in total'))}?"
    )
    s.step("They have", "+", b, s.item)


def _ask_difference(s: _Story) -> None:
    b = s.rng.randint(2, 50)
    s.told.append(f"{s.other} has {b} {s.item}. How many more {s.item} does {s.owner} have than {s.other}?")
    s.step(f"{s.owner} has", "-", b, f"more {s.item}")


def _ask_share(s: _Story) -> None:
    b = s.rng.randint(2, 9)
    s.told.append(f"{s.owner} shares the {s.item} among {b} friends. How many {s.item} does each friend get?")
    s.step("Each friend gets", "/", b, s.item)


def _ask_cost(s: _Story) -> None:
    b = s.rng.randint(2, 9)
    s.told.append(f"Each costs {b} dollars. How many dollars do the {s.item} of {s.owner} cost?")
    s.step("The cost is", "*", b, "dollars")


_Part = Callable[[_Story], None]
_COMPUTED_OPENINGS: tuple[_Part, ...] = (_open_groups, _open_multiple, _open_half, _open_more)
_CHANGES: tuple[_Part, ...] = (_change_gain, _change_gain, _change_loss, _change_loss, _change_half)
_COMPUTED_QUESTIONS: tuple[_Part, ...] = (_ask_altogether, _ask_difference, _ask_share, _ask_cost)


def draw_problem(rng: random.Random, steps: int) -> tuple[str, str, int]:
    """A problem with `steps` calculations: its text, its written-out solution, its answer."""
    while True:
        owner, other = rng.sample(NAMES, 2)
        story = _Story(rng, owner, other, rng.choice(ITEMS), 0, [], [])
        computed = rng.sample(("opening", "change", "change", "question"), steps)
        parts = [rng.choice(_COMPUTED_OPENINGS) if "opening" in computed else _open_plain]
        parts += [rng.choice(_CHANGES) for _ in range(computed.count("change"))]
        parts += [rng.choice(_COMPUTED_QUESTIONS) if "question" in computed else _ask_now]
        try:
            for part in parts:
                part(story)
        except _Retry:
            continue
        return " ".join(story.told), "\n".join(story.lines), story.value
