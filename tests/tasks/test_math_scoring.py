r"""MATH's scorers against a table of awkward answers; those of `legacy` are what MetaMath's `eval_math.py` returns."""

import json

import pytest

from tasks.base import ItemScore
from tasks.scoring import isolation
from tasks.scoring.gsm8k import MARKER
from tasks.scoring.isolation import NoAnswer, Worker
from tasks.scoring.math_scoring import LONGEST_ANSWER, boxed_answer, is_equiv, math_legacy, math_strict
from tasks.scoring.verdicts import UNPARSED

RIGHT, WRONG = ItemScore(correct=True), ItemScore(correct=False)

# --- gold ---


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        ("So $x = \\boxed{5}$.", "5"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{1} and then \\boxed{2}.", "2"),
        ("\\boxed{1}, in a frame \\fbox{2}", "1"),
        ("\\[\\boxed{\\left( -\\infty, \\frac{3}{4} \\right]}\\]", "\\left( -\\infty, \\frac{3}{4} \\right]"),
        ("\\boxed{ 5 }", " 5 "),
        ("\\boxed 5$ apples", "\\boxed 5"),
        ("\\boxed\\pi", "\\boxed\\pi"),
        ("\\boxed {5}.", "\\boxed {5}"),
        ("\\fbox{5} apples", "\\fbox{5}"),
        ("\\boxed{\\frac{1}{2}", "\\boxed{\\frac{1}{2}"),
        ("\\boxed", "\\boxed"),
        ("It is 5.", ""),
    ],
)
def test_gold_is_in_the_last_box_and_stays_in_one_that_the_released_script_cannot_open(solution, gold):
    assert boxed_answer(solution) == gold


@pytest.mark.parametrize("gold", ["\\boxed 5", "\\fbox{5}", "\\boxed {5}"])
def test_gold_in_its_box_is_never_solved_by_legacy_and_opened_by_strict(gold):
    for answer in ("5", gold):
        assert math_legacy(f"{MARKER}{answer}", gold) == WRONG
    assert math_strict(f"{MARKER}5", gold) == RIGHT
    assert math_strict(f"{MARKER}6", gold) == WRONG


# --- answers that follow the marker: what each scorer says of them ---

# (answer, gold, legacy, strict); the strict verdict None is UNPARSED
ANSWERS = [
    ("5", "5", True, True),
    ("5.", "5", True, True),
    (" 5 .", "5", True, True),
    ("6", "5", False, False),
    # decimals and thousands
    ("0.5", "\\frac{1}{2}", True, True),
    (".5", "\\frac{1}{2}", True, True),
    ("0.25", "\\frac{1}{4}", False, True),
    ("3.0", "3", False, True),
    ("3", "3.0", False, True),
    ("17.6", "18", False, False),
    ("0.333333", "\\frac{1}{3}", False, True),
    ("0.33", "\\frac{1}{3}", False, False),
    ("1,000", "1000", False, True),
    ("10,\\!000", "10,000", True, True),
    ("10,\\!000", "10000", False, True),
    ("1{,}234{,}567", "1234567", False, True),
    ("\\$1,000.50", "1000.5", False, True),
    # dollars, boxes, percent, units
    ("$5$", "5", False, True),
    ("\\boxed{5}", "5", False, True),
    ("$\\boxed{5}$", "5", False, True),
    ("\\$5", "5", True, True),
    ("50\\%", "50", True, True),
    ("50%", "50", False, True),
    ("5\\text{ cm}", "5", True, True),
    ("5\\text{cm}", "5", False, True),
    ("90^\\circ", "90", True, True),
    ("90^{\\circ}", "90", True, True),
    # assignments
    ("x=5", "5", True, True),
    ("k = 5", "5", True, True),
    ("abc=5", "5", False, True),
    ("5", "x=5", True, True),
    # fractions and roots
    ("1/2", "\\frac{1}{2}", True, True),
    ("\\frac12", "\\frac{1}{2}", True, True),
    ("\\frac1{72}", "\\frac{1}{72}", True, True),
    ("\\dfrac{1}{2}", "\\frac{1}{2}", True, True),
    ("\\tfrac{1}{2}", "\\frac{1}{2}", True, True),
    ("x/2", "\\frac{x}{2}", False, True),
    ("-\\frac{1}{2}", "\\frac{-1}{2}", False, True),
    ("2/4", "\\frac{1}{2}", False, True),
    ("\\sqrt3", "\\sqrt{3}", True, True),
    ("\\sqrt{12}", "2\\sqrt{3}", False, True),
    ("1.4142", "\\sqrt{2}", False, False),
    # words
    ("\\text{even}", "even", False, True),
    ("\\text{odd}", "\\text{even}", False, False),
    ("\\text{(B)}", "\\text{(B)}", True, True),
    ("(B)", "\\text{(B)}", False, True),
    ("\\leftarrow", "arrow", True, None),
    ("arrow", "\\leftarrow", True, False),
    # pairs, sets, intervals, matrices, expressions
    ("(3, 4)", "(3,4)", True, True),
    ("(4,3)", "(3,4)", False, False),
    ("2, 1", "1,2", False, True),
    ("\\left[0,1\\right)", "[0,1)", True, True),
    ("(0,1)", "[0,1)", False, False),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", True, True),
    ("x^2+2x+1", "(x+1)^2", False, True),
    ("x^2+1", "(x+1)^2", False, False),
    ("12", "1 2", True, False),
    # golds that math-verify cannot read: equal as they are, but for spaces
    ("\\leftarrow", "\\leftarrow", True, True),
    ("\\text{A} \\leftarrow \\text{B}", "\\text{A}\\leftarrow\\text{B}", True, True),
    # no answer
    ("", "5", False, None),
    ("???", "5", False, None),
]


@pytest.mark.parametrize(("answer", "gold", "legacy", "strict"), ANSWERS)
def test_legacy_compares_strings_after_normalisation(answer, gold, legacy, strict):
    assert math_legacy(f"So $y=77$.\n{MARKER}{answer}", gold) == ItemScore(correct=legacy)


@pytest.mark.parametrize(("answer", "gold", "legacy", "strict"), ANSWERS)
def test_strict_compares_values(answer, gold, legacy, strict):
    expected = UNPARSED if strict is None else ItemScore(correct=strict)
    assert math_strict(f"So $y=77$.\n{MARKER}{answer}", gold) == expected


@pytest.mark.parametrize(
    ("text", "legacy", "strict"),
    [
        ("It is 5.", UNPARSED, UNPARSED),
        ("", UNPARSED, UNPARSED),
        ("The answer is 5", UNPARSED, RIGHT),
        ("the answer is: 5", UNPARSED, RIGHT),
        ("**Answer:** $5$.", UNPARSED, RIGHT),
        ("2 + 3 = 5\n#### 5", UNPARSED, RIGHT),
        ("Hence $\\boxed{5}$.", UNPARSED, RIGHT),
        ("Hence $\\boxed{5", UNPARSED, UNPARSED),
        ("The answer is: 5. I hope it is correct.", WRONG, RIGHT),
        ("The answer is: 5.\nDone.", RIGHT, RIGHT),
        ("The answer is: 5\nDone.", WRONG, RIGHT),
        ("The answer is: 5.\n\n### ", RIGHT, RIGHT),
        ("The answer is: 6. No: The answer is: 5", RIGHT, RIGHT),
        ("The answer is: 5\n\\boxed{6}", WRONG, WRONG),
        ("\\boxed{6}\nThe answer is: 5", RIGHT, RIGHT),
        ("The answer is:\n\\[\n5\n\\]", UNPARSED, RIGHT),
    ],
)
def test_legacy_needs_its_marker_and_a_full_stop_before_the_line_ends(text, legacy, strict):
    assert math_legacy(text, "5") == legacy
    assert math_strict(text, "5") == strict


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("", "", True),
        ("\\sqrt2x", "\\sqrt{2}x", True),
        ("\\frac{a}{b}+\\frac34", "\\frac{a}{b}+\\frac{3}{4}", True),
        ("\\frac1", "\\frac{1}", False),  # one character after \frac leaves the string as it is
        ("\\frac3", "\\dfrac3", True),
        ("\\frac", "\\dfrac", False),  # nothing after \frac: compared as they are
        ("\\sqrt", " \\sqrt", False),
        ("a\\text{ m} b\\text{ m}", "a", False),  # two units: compared as they are
        ("\\frac{1}{2}\\text{ m or so}", "1/2", True),
        ("a/b", "a / b", False),  # no whole numbers beside the slash: compared as they are
        ("a/b", "a/b", True),
        ("01/2", "\\frac{1}{2}", False),
        ("+1/2", "\\frac{1}{2}", False),
        ("1/2/3", "1 / 2 / 3", True),
        ("-1/2", "\\frac{-1}{2}", True),
        ("x=y=5", "5", False),
        ("{.5}", "{0.5}", True),
        ("a .5", "a0.5", True),
        ("1\n2", "12", True),
        ("a\\\\b", "a\\b", True),
        ("0.50", "\\frac{1}{2}", False),
    ],
)
def test_equivalence_of_hendrycks(a, b, equal):
    assert is_equiv(a, b) is equal
    assert is_equiv(b, a) is equal


# --- hostile text ---

MEGABYTE = 1_000_000
HOSTILE = {
    "powers": "9^{9^{9^9}}",
    "factorial": "100000000!",
    "polynomial": "(x+1)^{99999999}-(x-1)^{99999999}",
    "digits": "1" * MEGABYTE,
    "digits at the limit": "1" * LONGEST_ANSWER,
    "brackets": "(" * MEGABYTE,
    "brackets at the limit": "(" * LONGEST_ANSWER,
    "closed brackets": "(" * 300 + "1" + ")" * 300,
    "boxes": "\\boxed{" * (MEGABYTE // 7) + "1",
    "markers": MARKER * (MEGABYTE // len(MARKER)),
    "fractions": "\\frac{1}{" * 100 + "2" + "}" * 100,
    "all fractions": "\\frac" * (MEGABYTE // 5),
    "control characters": "\x00\x1b\x7f\ud800",
    "line ends": "\n\r\u2028" * (MEGABYTE // 3),
    "nothing but dollars": "$" * MEGABYTE,
    "spaces": "1" + " " * MEGABYTE + "2",
}


@pytest.fixture(scope="module")
def hasty():
    """A judge that gives an answer less time."""
    worker = Worker("tasks.scoring.math_judge", cpu_seconds=0.5, memory_bytes=1024**3)
    yield worker
    worker.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answer_is_wrong(monkeypatch, hasty, name):
    monkeypatch.setattr("tasks.scoring.math_scoring._judge", lambda: hasty)
    text = MARKER + HOSTILE[name]
    assert math_strict(text, "5").correct is False
    assert math_legacy(text, "5").correct is False
    assert math_strict(f"{MARKER}2+3", "5") == RIGHT  # the next one is judged as ever


def test_answer_that_takes_all_the_time_is_unparsed(monkeypatch, hasty):
    monkeypatch.setattr("tasks.scoring.math_scoring._judge", lambda: hasty)
    assert math_strict(f"{MARKER}9^{{9^{{9^9}}}}", "5") == UNPARSED


# --- the child process ---

CHILD = """
import os, sys
from tasks.scoring.isolation import serve

def answer(question):
    print("this is no answer")
    exec(question["before"])
    return question["number"] + 1

serve(answer)
"""


@pytest.fixture
def child(tmp_path, monkeypatch):
    (tmp_path / "child_of_the_test.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker("child_of_the_test", cpu_seconds=0.9, memory_bytes=1024**3)
    yield worker
    worker.close()


@pytest.mark.parametrize(
    "deadly", ["while True: pass", "9 ** 9 ** 9 ** 9", "os._exit(3)", "os.abort()", "bytes(2 * 1024**3)", "1 / 0"]
)
def test_child_that_does_not_survive_a_question_is_replaced(child, deadly):
    assert child.ask({"before": "", "number": 1}) == 2
    with pytest.raises(NoAnswer):
        child.ask({"before": deadly, "number": 1})
    assert child.ask({"before": "", "number": 5}) == 6


def test_child_is_the_same_from_question_to_question_and_its_time_counts_anew(child):
    pids = set()
    for _ in range(3):
        burn = "import time\nstart = time.process_time()\nwhile time.process_time() < start + 0.4: pass"
        child.ask({"before": burn, "number": 1})
        pids.add(child._child.pid)
    assert len(pids) == 1


def test_child_that_hangs_without_using_time_is_ended(child, monkeypatch):
    start = Worker._start

    def patiently(self) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(isolation, "STALLED_SECONDS", 300.0)
            start(self)

    monkeypatch.setattr(Worker, "_start", patiently)
    monkeypatch.setattr(isolation, "STALLED_SECONDS", 0.5)
    with pytest.raises(NoAnswer):
        child.ask({"before": "import time; time.sleep(300)", "number": 1})


def test_child_that_cannot_start_is_an_error_and_not_a_wrong_answer(tmp_path, monkeypatch):
    (tmp_path / "child_of_the_test.py").write_text("import no_such_package")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="did not start: ModuleNotFoundError: No module named 'no_such_package'"):
        Worker("child_of_the_test", cpu_seconds=1, memory_bytes=1024**3).ask({})


def test_questions_of_any_characters_reach_the_child(child):
    text = json.dumps("\x00\n\ud800\u2028é")
    assert child.ask({"before": f"assert {text!r} == __import__('json').dumps({text})", "number": 1}) == 2
