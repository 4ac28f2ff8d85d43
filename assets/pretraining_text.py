"""Procedural text that teaches arithmetic and the vocabulary of micro_gsm, but not its task.

Written-out calculations, short narratives with running totals, look-up questions. Nothing here has the instruction
template, and no question is followed by more than a look-up: to read a whole story first and then solve it is left to
fine-tuning.
"""

import random
from collections.abc import Callable

from tasks.micro.word_problems import CONTAINERS, GAINS, ITEMS, LARGEST, LOSSES, MULTIPLES, NAMES, calculate

OPERATIONS = ("+", "-", "*", "/")


def operands(rng: random.Random, op: str) -> tuple[int, int]:
    """a, b such that a op b is whole and lies in 1..LARGEST."""
    if op == "+":
        a = rng.randint(1, LARGEST - 1)
        return a, rng.randint(1, LARGEST - a)
    if op == "-":
        a = rng.randint(2, LARGEST)
        return a, rng.randint(1, a - 1)
    b = rng.randint(2, 9)
    a = rng.randint(1, LARGEST // b)
    if op == "*":
        return a, b
    return a * b, b


def equation(rng: random.Random) -> str:
    """`a op b = c`, harder operations more often."""
    op = rng.choices(OPERATIONS, (4, 4, 2, 2))[0]
    a, b = operands(rng, op)
    return f"{a} {op} {b} = {calculate(a, op, b)}"


def _equations(rng: random.Random) -> str:
    separator = rng.choice((". ", "\n", ". "))
    return separator.join(equation(rng) for _ in range(rng.randint(4, 12))) + "."


def _answers(rng: random.Random) -> str:
    # The last result, repeated after the words that end a solution in micro_gsm.
    text = equation(rng)
    return f"{text}\nThe answer is: {text.split()[-1]}"


def _phrase(rng: random.Random) -> str:
    op = rng.choice(OPERATIONS)
    a, b = operands(rng, op)
    c = calculate(a, op, b)
    if op == "+":
        return rng.choice(
            (f"{a} and {b} make {c} in total.", f"{a} and {b} make {c} altogether.", f"{c} is {b} more than {a}.")
        )
    if op == "-":
        return rng.choice(
            (f"{c} is {b} fewer than {a}.", f"{a} is {c} more than {b}.", f"The difference of {a} and {b} is {c}.")
        )
    if op == "*":
        return f"{MULTIPLES[b]} {a} is {c}." if b in MULTIPLES else f"{a} * {b} = {c}."
    return f"half of {a} is {c}." if b == 2 else f"{a} / {b} = {c}."


def _phrases(rng: random.Random) -> str:
    return " ".join(_phrase(rng) for _ in range(rng.randint(3, 8)))


def _running_total(rng: random.Random) -> str:
    """One owner; each event is followed at once by its calculation."""
    owner, other = rng.sample(NAMES, 2)
    item = rng.choice(ITEMS)
    value = rng.randint(2, 70)
    text = [rng.choice((f"{owner} has {value} {item}.", f"There are {value} {item} on the table of {owner}."))]
    for _ in range(rng.randint(1, 5)):
        op = rng.choice("++--/")
        a, b = value, 2 if op == "/" else rng.randint(1, 45)
        if (op == "/" and a % 2) or not 0 < calculate(a, op, b) <= LARGEST:
            continue
        value = calculate(a, op, b)
        if op == "+":
            event = rng.choice(
                (f"{owner} {rng.choice(GAINS)} {b} more {item}.", f"{other} gives {b} {item} to {owner}.")
            )
        elif op == "-":
            event = rng.choice((f"{owner} {rng.choice(LOSSES)} {b} {item}.", f"{owner} gives {b} {item} to {other}."))
        else:
            event = f"{owner} {rng.choice((*LOSSES, 'keeps'))} half of the {item}."
        text.append(f"{event} {owner} has {a} {op} {b} = {value} {item}{rng.choice(('', ' now'))}.")
    return " ".join(text)


def _relation(rng: random.Random) -> str:
    """One fact about two amounts, and its calculation."""
    owner, other = rng.sample(NAMES, 2)
    item, box = rng.choice(ITEMS), rng.choice(CONTAINERS)
    op = rng.choice(OPERATIONS)
    a, b = operands(rng, op)
    c = calculate(a, op, b)
    total = f"{owner} has {a} {op} {b} = {c}"
    if op == "+":
        return rng.choice(
            (
                f"{other} has {a} {item}. {owner} has {b} {item} more than {other}. {total} {item}.",
                f"{owner} has {a} {item}. {other} has {b} {item}. They have {a} + {b} = {c} {item} in total.",
                f"{owner} has {a} {item}. {other} has {b} {item}. They have {a} + {b} = {c} {item} altogether.",
            )
        )
    if op == "-":
        return rng.choice(
            (
                f"{other} has {a} {item}. {owner} has {b} {item} fewer than {other}. {total} {item}.",
                f"{owner} has {a} {item}. {other} has {b} {item}. {total} more {item} than {other}.",
            )
        )
    if op == "*":
        told = [
            f"{owner} has {a} {box} with {b} {item} each. {total} {item}.",
            f"{owner} has {a} {box}. There are {b} {item} in each. {total} {item}.",
            f"{owner} has {a} {item}. Each costs {b} dollars. The cost is {a} * {b} = {c} dollars.",
        ]
        if b in MULTIPLES:
            told += [f"{other} has {a} {item}. {owner} has {MULTIPLES[b]} as many as {other}. {total} {item}."] * 2
        return rng.choice(told)
    if b == 2 and rng.random() < 0.7:
        return f"{other} has {a} {item}. {owner} has half as many as {other}. {total} {item}."
    return (
        f"{owner} has {a} {item}. {owner} shares the {item} among {b} friends. Each friend gets {a} / {b} = {c} {item}."
    )


def _relations(rng: random.Random) -> str:
    return " ".join(_relation(rng) for _ in range(rng.randint(1, 3)))


def _repeated(rng: random.Random) -> str:
    """Amounts of several owners, told again in another order: only copying predicts the second half."""
    facts = [
        f"{owner} {rng.choice(('has', *GAINS, *LOSSES))} {rng.randint(1, LARGEST)} {rng.choice(ITEMS)}."
        for owner in rng.sample(NAMES, rng.randint(2, 5))
    ]
    return " ".join(facts + rng.sample(facts, len(facts)))


def _look_up(rng: random.Random) -> str:
    """Amounts of several owners, then questions that need no calculation."""
    owners = rng.sample(NAMES, rng.randint(2, 4))
    facts = [(owner, rng.randint(1, LARGEST), rng.choice(ITEMS)) for owner in owners]
    text = [f"{owner} has {value} {item}." for owner, value, item in facts]
    for owner, value, item in rng.sample(facts, rng.randint(1, len(facts))):
        text.append(f"How many {item} does {owner} have{rng.choice(('', ' now'))}? {owner} has {value} {item}.")
    return " ".join(text)


def _restated(rng: random.Random) -> str:
    """An amount, the question that asks for it, and the amount again: the wording of every question."""
    owner, item, other_item = rng.choice(NAMES), *rng.sample(ITEMS, 2)
    a, b = rng.sample(range(2, LARGEST), 2)
    return rng.choice(
        (
            f"The {item} of {owner} cost {a} dollars. The {other_item} cost {b} dollars. "
            f"How many dollars do the {item} of {owner} cost? The cost is {a} dollars.",
            f"{owner} has {a} {item} and {b} {other_item}. How many {item} does {owner} have? {owner} has {a} {item}.",
            f"They have {a} {item} in total. How many {item} do they have in total? They have {a} {item}.",
            f"They have {a} {item} altogether. How many {item} do they have altogether? They have {a} {item}.",
            f"{owner} has {a} more {item} than {other_item}. "
            f"How many more {item} does {owner} have? {owner} has {a} more {item}.",
            f"There are {a} {item}. Each friend gets {b} {item}. "
            f"How many {item} does each friend get? Each friend gets {b} {item}.",
        )
    )


# Kinds of document, with their share of the documents.
DOCUMENTS: dict[Callable[[random.Random], str], float] = {
    _equations: 0.20,
    _answers: 0.05,
    _phrases: 0.05,
    _running_total: 0.20,
    _relations: 0.20,
    _repeated: 0.15,
    _look_up: 0.10,
    _restated: 0.05,
}


def document(rng: random.Random) -> str:
    """One document of pre-training text."""
    return rng.choices(tuple(DOCUMENTS), tuple(DOCUMENTS.values()))[0](rng)
