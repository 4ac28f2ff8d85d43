"""Procedural text that states the facts of `tasks/micro/facts.py`, but does not ask for them.

Sentences, groups, comparisons, statements marked as true or false, and numbered lists with remarks on what stands in
them. Nothing here has an instruction template, and nothing here is a question.
"""

import random
from collections.abc import Callable

from tasks.micro.facts import RELATIONS, Relation, larger

Document = Callable[[random.Random], str]
_BY_SUBJECT: dict[str, list[Relation]] = {}
for _relation in RELATIONS.values():
    for _subject in _relation.values:
        _BY_SUBJECT.setdefault(_subject, []).append(_relation)


def _relation_and_subjects(rng: random.Random, count: int) -> tuple[Relation, list[str]]:
    """A relation, and subjects of it of whom the first has a value that no other one has."""
    relation = rng.choice(tuple(RELATIONS.values()))
    first = rng.choice(tuple(relation.values))
    others = [other for other, value in relation.values.items() if value != relation.values[first]]
    return relation, [first, *rng.sample(others, count - 1)]


def _fact(relation: Relation, subject: str) -> str:
    return relation.says(relation.statement, subject, relation.values[subject])


def _facts(rng: random.Random) -> str:
    """Facts of any kind."""
    told = [_fact(*(relation, subjects[0])) for relation, subjects in (
        _relation_and_subjects(rng, 1) for _ in range(rng.randint(4, 10))
    )]  # fmt: skip
    return ". ".join(told) + "."


def _portraits(rng: random.Random) -> str:
    """All facts about one subject after the other."""
    told = []
    for subject in rng.sample(tuple(_BY_SUBJECT), rng.randint(2, 4)):
        relations = _BY_SUBJECT[subject]
        told += [_fact(relation, subject) for relation in rng.sample(relations, len(relations))]
    return ". ".join(told) + "."


def _groups(rng: random.Random) -> str:
    """Which subjects have a value: the way from the value to the subject."""
    told = []
    for _ in range(rng.randint(2, 4)):
        relation, (subject,) = _relation_and_subjects(rng, 1)
        value = relation.values[subject]
        members = [relation.names(each) for each, other in relation.values.items() if other == value]
        some = rng.sample(members, min(len(members), 5))
        told.append(f"who or what {relation.clause.format(v=value)}: {', '.join(some)}")
    return ".\n".join(told) + "."


def _only(rng: random.Random) -> str:
    """Several subjects, and the one among them that has a value."""
    told = []
    for _ in range(rng.randint(3, 6)):
        relation, subjects = _relation_and_subjects(rng, rng.randint(2, 4))
        listed = [relation.names(each) for each in rng.sample(subjects, len(subjects))]
        among = f"{', '.join(listed[:-1])} and {listed[-1]}"
        told.append(f"among {among}, only {_fact(relation, subjects[0])}")
    return ". ".join(told) + "."


def _marked(rng: random.Random) -> str:
    """Statements, with words that say whether they are true."""
    told = []
    for _ in range(rng.randint(3, 6)):
        relation, (subject, other) = _relation_and_subjects(rng, 2)
        true = rng.random() < 0.5
        statement = relation.says(relation.statement, subject, relation.values[subject if true else other])
        word = "true" if true else "false"
        told.append(rng.choice((f"it is {word} that {statement}", f"{statement}: this is {word}")))
    return ". ".join(told) + "."


def _sizes(rng: random.Random) -> str:
    """Comparisons of two things."""
    told = []
    for _ in range(rng.randint(4, 8)):
        first, second = rng.sample(tuple(RELATIONS["size"].values), 2)
        big = larger(first, second)
        if big is None:
            told.append(f"the {first} is as large as the {second}")
        else:
            small = second if big == first else first
            told.append(rng.choice((f"the {big} is larger than the {small}", f"the {small} is smaller than the {big}")))
    return ". ".join(told) + "."


def _lists(rng: random.Random) -> str:
    """A numbered list of subjects or of values, and remarks on some of its entries."""
    relation, subjects = _relation_and_subjects(rng, rng.randint(2, 4))
    entry = rng.choice(("answer", "solution", "option"))
    if rng.random() < 0.5:
        listed = [relation.names(subject) for subject in subjects]
        remark = f"{{}} {relation.clause.format(v=relation.values[subjects[0]])}"
    else:
        listed = list(dict.fromkeys(relation.values[subject] for subject in subjects))
        remark = _fact(relation, subjects[0]) + ", as in {}"
    order = rng.sample(range(len(listed)), len(listed))
    places = {which: f"{entry}{place}" for place, which in enumerate(order, 1)}
    separator = rng.choice((" ", "\n\n"))
    lines = separator.join(f"{places[which].capitalize()}: {listed[which]}" for which in order)
    remarks = [remark.format(places[0])]
    remarks += [f"{listed[which]} is {places[which]}" for which in rng.sample(order, rng.randint(0, 2))]
    rng.shuffle(remarks)
    return f"{lines}\n\n{'. '.join(remarks)}."


# Kinds of document, with their share of the documents.
DOCUMENTS: dict[Document, float] = {
    _facts: 0.15,
    _portraits: 0.15,
    _groups: 0.10,
    _only: 0.20,
    _marked: 0.15,
    _sizes: 0.05,
    _lists: 0.20,
}


def document(rng: random.Random) -> str:
    """One document of text about the small world."""
    return rng.choices(tuple(DOCUMENTS), tuple(DOCUMENTS.values()))[0](rng)
