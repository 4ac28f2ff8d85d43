"""Scorers against a table of awkward answers; the verdicts of `legacy` are those of MetaMath's script, run by hand."""

import signal

import pytest

from tasks.base import ItemScore
from tasks.scoring.gsm8k import MARKER, gsm8k_legacy, gsm8k_strict
from tasks.scoring.verdicts import cut_at_stop, exact_class

UNPARSED = ItemScore(correct=False, parsed=False)

# What follows the marker, the number that each scorer reads there (None: no answer).
ANSWERS = [
    ("18", "18", "18"),
    ("18.", "18", "18"),
    ("18.00", "18", "18"),
    ("-18", "-18", "-18"),
    ("+18", "18", "18"),
    ("- 18", "18", "-18"),
    ("\u221218", "18", "-18"),
    ("\u201318", "18", "-18"),
    ("\u2013$18", "18", "-18"),
    ("x = \u201318", "18", "-18"),
    ("18\u201320", "18", None),
    ("$18", "18", "18"),
    ("$18.00.", "18", "18"),
    ("-$18", "18", "-18"),
    ("$-18", "-18", "-18"),
    ("\\$18", "18", "18"),
    ("$18$", "18", "18"),
    ("18%", "18", "18"),
    ("18\\%", "18", "18"),
    ("18 apples", "18", "18"),
    ("18 dollars.", "18", "18"),
    ("$18/hour", "18", "18"),
    ("18 m^2", "18", "18"),
    ("18 m2", "18", "18"),
    ("**18**", "18", "18"),
    ("\\boxed{18}", "18", "18"),
    ("\n18", "18", "18"),
    ("Anna has 18 left", "18", "18"),
    ("x = 18", "18", "18"),
    ("5 + 13 = 18.", "5", "18"),
    ("18. She sold 3.", "18", "18"),
    ("18 (or 18.0)", "18", "18"),
    ("18!", "18", "18"),
    # what models write
    ("$1,234.50", "1234", "1234.50"),
    ("-5", "-5", "-5"),
    ("5.0", "5", "5"),
    ("\u00a35", "5", "5"),
    ("1,2,3", "12", None),
    ("[5, 6]", "5", None),
    ("five", None, None),
    ("120\u00b0", "120", "120"),
    ("(5)", "5", "5"),
    ("5, which is less than 10.", "5", None),  # two numbers
    ("5. This is because 2 + 3 = 5.", "5", "5"),
    # rounding
    ("17.6", "18", "17.6"),
    ("18.5", "18", "18.5"),
    ("19.5", "20", "19.5"),
    ("0.5", "0", "0.5"),
    (".5", "0", "0.5"),
    ("18.0000000000000000001", "18", "18.0000000000000000001"),
    # fractions
    ("7/2", "4", "7/2"),
    ("12/4", "3", "3"),
    ("12 / 4", "12", "3"),
    ("\\frac{1}{2}", "1", "1/2"),
    ("-\\frac{7}{2}", "7", "-7/2"),
    ("3 1/2 hours", "3", "7/2"),
    ("3\\frac{1}{2}", "3", "7/2"),
    ("3/0", "3", None),
    ("3/00", None, None),
    ("/5", None, None),
    # separators
    ("1,234", "1234", "1234"),
    ("1,234,567", "1234", "1234567"),
    ("1,234,567.50", "1234", "1234567.5"),
    ("1{,}234", "1", "1234"),
    ("10\\,000", "10", "10000"),
    ("1,23", "123", None),
    ("1,5/2", "15", None),
    ("1.234.567", "1", None),
    ("1 234", "1", None),
    # other notations
    ("1e5", "1", "100000"),
    ("1.8e1", "2", "18"),
    ("2^3", "2", None),
    ("2\\pi", "2", None),
    ("\\sqrt{18}", "18", None),
    ("\u0661\u0668", "18", None),
    # more than one number, or none
    ("2 hours and 30 minutes", "2", None),
    ("2:30", "2", None),
    ("18-20", "18", None),
    ("18 or 20", "18", None),
    ("18 * 2", "18", None),
    ("eighteen", None, None),
    ("", None, None),
    ("-", None, None),
]


def assert_reads(scorer, text, number, wrong_gold):
    """`scorer` accepts exactly `number`; no gold at all where it is None."""
    if number is None:
        assert scorer(text, wrong_gold) == UNPARSED
    else:
        assert scorer(text, number) == ItemScore(correct=True)
        assert scorer(text, wrong_gold) == ItemScore(correct=False)


@pytest.mark.parametrize(("answer", "legacy", "strict"), ANSWERS)
def test_legacy_reads_the_first_number_and_rounds_it(answer, legacy, strict):
    assert_reads(gsm8k_legacy, f"4 * 4.5 = 18\n{MARKER}{answer}", legacy, wrong_gold="77")


@pytest.mark.parametrize(("answer", "legacy", "strict"), ANSWERS)
def test_strict_reads_the_one_number_exactly(answer, legacy, strict):
    assert_reads(gsm8k_strict, f"4 * 4.5 = 18\n{MARKER}{answer}", strict, wrong_gold="77")


@pytest.mark.parametrize(
    ("text", "legacy", "strict"),
    [
        ("The answer is 18", None, "18"),
        ("The answer is:18", None, "18"),
        ("the answer is: 18", None, "18"),
        ("so 3 * 6 = 18\n#### 18", None, "18"),
        ("#### $1,018", None, "1018"),
        ("**Final Answer:** 18 apples", None, "18"),
        ("Answer: 18", None, "18"),
        ("Hence \\boxed{18}.", None, "18"),
        ("She has 18.", None, None),
        ("", None, None),
        ("The answer is: 5. No: The answer is: 18", "18", "18"),
        ("The answer is: 18\n#### 5", "18", "5"),
        ("#### 5\nThe answer is: 18", "18", "18"),
        ("The answer is: 18\n\nThe answer is: ", None, "18"),
        ("The answer is: 18. So our answer is correct.", "18", "18"),
        ("\\boxed{18}, so my answer is right", None, "18"),
        ("The answer is: 18 or, I think, the answer is: 5 or 6", "18", None),
        ("**Answer**: 18", None, "18"),
        ("\\fbox{18}", None, "18"),
        ("#### 5\n#### 18", None, "18"),
        ("The answer is:\n- 18 apples", None, "18"),
        ("The answer is:\n\u2022 18 apples", None, "18"),
        ("The answer is:\n-18", None, "-18"),
        ("The answer is: 18\nInstruction 4", "18", "18"),
    ],
)
def test_strict_takes_the_last_of_several_markers_and_legacy_only_its_own(text, legacy, strict):
    assert_reads(gsm8k_legacy, text, legacy, wrong_gold="77")
    assert_reads(gsm8k_strict, text, strict, wrong_gold="77")


@pytest.mark.parametrize("scorer", [gsm8k_legacy, gsm8k_strict])
def test_gold_may_have_thousands_separators(scorer):
    assert scorer(f"{MARKER}1,234", "1,234").correct
    assert not scorer(f"{MARKER}1,234", "1").correct


@pytest.mark.parametrize("scorer", [gsm8k_legacy, gsm8k_strict])
def test_a_whole_gold_may_be_written_as_a_decimal(scorer):
    assert scorer(f"{MARKER}8", "8.0") == scorer(f"{MARKER}-1,200", "-1,200.00") == ItemScore(correct=True)
    assert scorer(f"{MARKER}80", "8.0") == ItemScore(correct=False)


def test_a_gold_that_is_no_whole_number_is_none_for_legacy_which_rounds():
    for gold in ("0.75", "8.05", ".0", "8."):
        with pytest.raises(ValueError, match="invalid literal"):
            gsm8k_legacy(f"{MARKER}1", gold)


@pytest.mark.parametrize("scorer", [gsm8k_legacy, gsm8k_strict])
def test_malformed_gold_is_an_error_and_not_a_wrong_answer(scorer):
    with pytest.raises(ValueError, match="n/a"):
        scorer(f"{MARKER}18", "n/a")


MEGABYTE = 1_000_000
HOSTILE = {
    "digits": "1" * MEGABYTE,
    "negative digits": "-" + "1" * MEGABYTE,
    "thousands": "1" + ",111" * (MEGABYTE // 4) + ".5.5",
    "fraction": "1" * (MEGABYTE // 2) + "/" + "1" * (MEGABYTE // 2),
    "ratio chain": "1/" * (MEGABYTE // 2),
    "numbers": "1 " * (MEGABYTE // 2),
    "decimals": "1.5" * (MEGABYTE // 3),
    "exponent": "1e999999999",
    "word and digits": "a" + "1" * MEGABYTE,
    "spaces": "1" + " " * MEGABYTE + "/ 2",
    "minus signs": "- " * (MEGABYTE // 2),
    "currency": "$ " * (MEGABYTE // 2),
    "full stops": "1" + ". " * (MEGABYTE // 2),
    "equals": "=" * MEGABYTE,
    "hashes": "#" * MEGABYTE,
    "markers": MARKER * (MEGABYTE // len(MARKER)),
    "boxes": "\\boxed{" * (MEGABYTE // 7) + "1",
    "fractions": "\\frac{1}{" * (MEGABYTE // 9),
    "control characters": "\x00\x1b\x7f\ud800" * (MEGABYTE // 4),
    "line ends": "\n\r\u2028" * (MEGABYTE // 3),
}


@pytest.fixture
def not_for_hours():
    """A test that uses two minutes of CPU time fails then; what is quadratic in a megabyte would need hours."""

    def over(*_) -> None:
        raise AssertionError("it goes on and on")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, 120)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


@pytest.mark.usefixtures("not_for_hours")
@pytest.mark.parametrize("scorer", [gsm8k_legacy, gsm8k_strict])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gets_a_verdict_in_bounded_time(name, scorer):
    for text in (HOSTILE[name], MARKER + HOSTILE[name], HOSTILE[name] + MARKER):
        assert scorer(text, "18").correct is False


def test_class_indices_are_compared():
    assert exact_class(3, 3) == ItemScore(correct=True)
    assert exact_class(3, 2) == ItemScore(correct=False)


def test_text_is_cut_at_the_earliest_stop_string():
    assert cut_at_stop("18 apples\nUSER: and Question 2", ("Question", "USER:", "USER")) == "18 apples\n"
    assert cut_at_stop("Question", ("Question",)) == ""
    assert cut_at_stop("18 question", ("Question",)) == "18 question"
    assert cut_at_stop("18", ()) == "18"
    assert cut_at_stop("18", ("",)) == "18"
