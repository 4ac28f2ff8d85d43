import json
import random
import re
from collections import Counter

import pytest

from assets.commonsense_text import DOCUMENTS, document
from errors import DataError
from tasks.base import Benchmark, ItemScore, Task, TextExample
from tasks.commonsense import COLUMNS
from tasks.micro.facts import OPPOSITES, PEOPLE, RELATIONS, THINGS, TOOLS
from tasks.micro.questions import KINDS, split_subjects
from tasks.micro_commonsense import MicroBenchmark, MicroCommonsense
from tasks.scoring.commonsense import legacy, strict
from tests.conftest import ROOT, task_of_yaml

LABELS = {
    "micro_boolq": ["true", "false"],
    "micro_piqa": ["solution1", "solution2"],
    "micro_arc": ["answer1", "answer2", "answer3", "answer4"],
    "micro_winogrande": ["option1", "option2"],
}
FACTS = {
    relation.statement.format(s=relation.names(subject), v=value)
    for relation in RELATIONS.values()
    for subject, value in relation.values.items()
}
SIZES = ["tiny", "small", "large", "huge"]
SMALL = {"train_size": 40, "validation_size": 4, "test_size": 8}


@pytest.fixture(scope="module")
def task() -> MicroCommonsense:
    return task_of_yaml("micro_commonsense")


def instruction(example: TextExample) -> str:
    return example.prompt.partition("### Instruction:\n" + " " * 16)[2].partition("\n" + " " * 16 + "\n")[0]


def every_example(task: MicroCommonsense) -> list[TextExample]:
    return [
        *task.examples("train"),
        *(e for benchmark in task.benchmarks.values() for split in benchmark.splits for e in benchmark.examples(split)),
    ]


def size(thing: str) -> int:
    return SIZES.index(RELATIONS["size"].values[thing.removeprefix("the ")])


# --- the answer of each kind of question, worked out from the set of facts by other means than the generator ---


def boolq_answer(text: str) -> str:
    asked = re.fullmatch(r"Please answer .* or false, question: (.*)\?\n\nAnswer format: true/false", text)[1]
    if compared := re.search(r"(the \w+) (?:is )?larger than (the \w+)$", asked):
        return "true" if size(compared[1]) > size(compared[2]) else "false"
    told = asked.removeprefix("is it true that ")
    if told == asked:
        # Move the verb of "does Tom like ..." or "is the lemon ..." back into the statement.
        told = next((fact for fact in FACTS if _question(fact) == asked), None)
    return "true" if told in FACTS else "false"


def _question(fact: str) -> str:
    if opposite := re.fullmatch(r"(the opposite of \w+) is (.*)", fact):
        return f"is {opposite[1]} {opposite[2]}"
    if thing := re.fullmatch(r"(the \w+) is (.*)", fact):
        return f"is {thing[1]} {thing[2]}"
    person, verb, *rest = fact.split(" ")
    plain = {"studies": "study"}.get(verb, verb.removesuffix("s"))
    return " ".join(("does", person, plain, *rest))


def options(text: str, word: str) -> dict[str, str]:
    found = re.findall(rf"({word}\d): (.*?)(?=\s+{word}\d:|\s+Answer format)", text, re.DOTALL)
    return {label.lower(): option for label, option in found}


def piqa_answer(text: str) -> str:
    goal = re.search(r"(?:How do you (.*)\?|To (.*), you can)\n", text)
    right = {f"use the {tool}" for tool, purpose in TOOLS.items() if purpose == (goal[1] or goal[2])}
    return the_one(label for label, option in options(text, "Solution").items() if option in right)


def arc_answer(text: str) -> str:
    question = re.search(r"to the question: (.*)\n\nAnswer1", text)[1]
    given = options(text, "Answer")
    assert len(given) == 4
    if opposite := re.fullmatch(r"What is the opposite of (\w+)\?", question):
        pairs = OPPOSITES | {value: word for word, value in OPPOSITES.items()}
        return the_one(label for label, option in given.items() if pairs[opposite[1]] == option)
    subject = re.search(rf"\bthe (?:{'|'.join((*THINGS, *TOOLS))})\b|\b(?:{'|'.join(PEOPLE)})\b", question)
    if subject is None:
        clause = re.fullmatch(r"(?:Who|Which of these|What) (.*)\?", question)[1]
        return the_one(label for label, option in given.items() if f"{option} {clause}" in FACTS)
    about = {fact for fact in FACTS if fact.startswith(f"{subject[0]} ")}
    return the_one(label for label, option in given.items() if any(fact.endswith(f" {option}") for fact in about))


def winogrande_answer(text: str) -> str:
    clause = re.search(r" _ (.*)\.\n\n", text)[1]
    given = options(text, "Option")
    if clause in ("is larger", "is smaller"):
        ordered = sorted(given, key=lambda label: size(given[label]))
        return ordered[-1] if clause == "is larger" else ordered[0]
    return the_one(label for label, option in given.items() if f"{option} {clause}" in FACTS)


def the_one(labels) -> str:
    (label,) = labels
    return label


ANSWERS = {
    "true": boolq_answer, "false": boolq_answer, "solution1": piqa_answer, "solution2": piqa_answer,
    "option1": winogrande_answer, "option2": winogrande_answer,
} | {f"answer{number}": arc_answer for number in range(1, 5)}  # fmt: skip


# --- tests ---


def test_it_is_a_task_with_four_benchmarks_of_two_splits(task: MicroCommonsense) -> None:
    assert isinstance(task, Task)
    assert list(task.benchmarks) == list(LABELS)
    assert len(task.examples("train")) == 2000
    for benchmark in task.benchmarks.values():
        assert isinstance(benchmark, Benchmark)
        assert [len(benchmark.examples(split)) for split in benchmark.splits] == [40, 125]
    assert len(task.examples("validation")) == 160


def test_the_right_answer_follows_from_the_facts(task: MicroCommonsense) -> None:
    for example in every_example(task):
        assert ANSWERS[example.gold](instruction(example)) == example.gold, instruction(example)


def test_training_and_evaluation_ask_about_different_subjects(task: MicroCommonsense) -> None:
    training, evaluation = split_subjects(0)
    for name, relation in RELATIONS.items():
        assert not set(training[name]) & set(evaluation[name])
        assert set(training[name]) | set(evaluation[name]) == set(relation.values)
    asked = {word for e in task.examples("train") for word in re.findall(r"Solution\d: use the (\w+)", e.prompt)}
    tested = {
        word
        for e in task.benchmarks["micro_piqa"].examples("test")
        for word in re.findall(r"Solution\d: use the (\w+)", e.prompt)
    }
    assert asked
    assert tested
    assert not asked & tested


def test_no_instruction_is_in_two_splits_or_twice_in_one(task: MicroCommonsense) -> None:
    texts = [instruction(example) for example in every_example(task)]
    assert len(texts) == 2000 + 4 * 165 == len(set(texts))


def test_the_labels_are_balanced(task: MicroCommonsense) -> None:
    counts = Counter(example.gold for example in task.examples("train"))
    for labels in LABELS.values():
        assert sum(counts[label] for label in labels) == 500
        assert max(counts[label] for label in labels) - min(counts[label] for label in labels) <= 1
    for name, benchmark in task.benchmarks.items():
        counts = Counter(example.gold for example in benchmark.examples("test"))
        assert set(counts) == set(LABELS[name])
        assert max(counts.values()) - min(counts.values()) <= 1


def test_rows_have_the_columns_and_the_layout_of_the_real_data(task: MicroCommonsense) -> None:
    real = json.loads((ROOT / "tests/tasks/data/commonsense/commonsense_15k.json").read_text())[0]
    assert list(real) == list(COLUMNS)
    for instruction, input, output, answer in task.rows():
        assert input == ""
        assert output == f"the correct answer is {answer}"
        labels = next(labels for labels in LABELS.values() if answer in labels)
        assert instruction.endswith(f"Answer format: {'/'.join(labels)}")


def test_prompts_are_the_released_ones_to_the_letter() -> None:
    benchmark = task_of_yaml("micro_commonsense", **SMALL).benchmarks["micro_boolq"]
    example = benchmark.examples("test")[0]
    asked = instruction(example)
    indent = " " * 16
    assert example.prompt == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.  \n\n"
        f"{indent}### Instruction:\n{indent}{asked}\n{indent}\n{indent}### Response:\n{indent}"
    )
    assert example.eval_prompt == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request. \n\n"
        f"{indent}### Instruction:\n{indent}{asked}\n\n{indent}### Response:\n{indent}"
    )
    assert example.choices == ("the correct answer is true", "the correct answer is false")


def test_both_scorers_accept_the_target_and_reject_the_other_choices(task: MicroCommonsense) -> None:
    for benchmark in task.benchmarks.values():
        for example in benchmark.examples("validation"):
            for scorer in (legacy, strict):
                for choice in example.choices:
                    verdict = scorer({"text": choice, "likeliest": choice}, example.gold)
                    assert verdict == ItemScore(correct=choice == example.target)


def test_a_data_seed_gives_the_same_questions_again_and_another_gives_others() -> None:
    first, again = (task_of_yaml("micro_commonsense", **SMALL) for _ in range(2))
    other = task_of_yaml("micro_commonsense", **SMALL, data_seed=1)
    assert every_example(first) == every_example(again)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert [e.prompt for e in every_example(first)] != [e.prompt for e in every_example(other)]
    prints = [b.fingerprint() for task in (first, other) for b in task.benchmarks.values()]
    assert len(set(prints)) == 8


def test_a_larger_training_or_test_set_keeps_the_questions_of_the_others() -> None:
    small = task_of_yaml("micro_commonsense", **SMALL)
    large = task_of_yaml("micro_commonsense", **SMALL | {"train_size": 60, "test_size": 20})
    assert small.examples("validation") == large.examples("validation")
    assert small.fingerprint() != large.fingerprint()
    for name, benchmark in small.benchmarks.items():
        assert benchmark.fingerprint() != large.benchmarks[name].fingerprint()
    only_test = task_of_yaml("micro_commonsense", **SMALL | {"test_size": 20})
    assert only_test.fingerprint() == small.fingerprint()


def test_a_split_that_asks_for_more_questions_than_there_are_is_refused() -> None:
    sizes = {"validation": 1, "test": 2000}
    benchmark = MicroBenchmark(name="micro_piqa", beams=1, sizes=sizes, data_seed=0)
    with pytest.raises(DataError, match=r"micro_piqa has no 2000 different questions"):
        benchmark.examples("test")


def test_loss_and_sizes_are_checked() -> None:
    assert task_of_yaml("micro_commonsense", **SMALL).trains_on_prompt
    assert not task_of_yaml("micro_commonsense", **SMALL, loss_on="answer").trains_on_prompt
    for changes, named in (({"loss_on": "all"}, "prompt_and_answer, answer, not 'all'"), ({"beams": 0}, "and 0")):
        with pytest.raises(ValueError, match=named):
            MicroCommonsense(**SMALL | {"loss_on": "answer", "beams": 1} | changes)


def test_pretraining_text_states_every_fact_and_marks_only_true_statements_as_true() -> None:
    rng = random.Random(0)
    sentences = {sentence for _ in range(8_000) for sentence in document(rng).removesuffix(".").split(". ")}
    assert sentences >= FACTS
    marked = {
        (statement, word)
        for sentence in sentences
        for pattern in (r"it is (?P<word>true|false) that (?P<told>.*)", r"(?P<told>.*): this is (?P<word>true|false)")
        for match in re.finditer(pattern, sentence)
        for statement, word in [(match["told"], match["word"])]
    }
    assert {word for _, word in marked} == {"true", "false"}
    for statement, word in marked:
        assert (statement in FACTS) == (word == "true")


def test_every_kind_has_an_opening_of_its_own() -> None:
    assert len({kind.opening for kind in KINDS.values()}) == len(KINDS) == 4
    assert sum(DOCUMENTS.values()) == pytest.approx(1)
