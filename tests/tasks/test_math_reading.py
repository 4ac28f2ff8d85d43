r"""What `math_strict` takes an answer for, against values worked out by hand. All come as "The answer is: ...".

math-verify 0.9 reads `2 3/4` as 5/4, `1 1/2` as 1, `12 000` as 0, `3 4` as 7, `1e3` as 3e, and `120°` not at all.
"""

import json

import pytest

from tasks.audit import near_misses
from tasks.base import ItemScore
from tasks.scoring.math_reading import Listed, listed, named, number, readings
from tasks.scoring.math_scoring import MARKER, math_legacy, math_strict
from tasks.scoring.verdicts import UNPARSED
from tests.conftest import ROOT

RIGHT, WRONG = ItemScore(correct=True), ItemScore(correct=False)

EQUAL = {
    "mixed numbers": [
        ("2 3/4", r"\frac{11}{4}"), ("1 1/2", r"\frac32"), ("-1 1/2", "-1.5"), (r"2\frac{3}{4}", r"\frac{11}{4}"),
        (r"2 \frac34", "2.75"), ("2½", "2.5"), (r"-2\frac{3}{4}", r"-\frac{11}{4}"), ("11/4", r"2\frac{3}{4}"),
    ],
    "separators": [
        ("12 000", "12000"), (r"12\,000", "12{,}000"), (r"10\,000", r"10,\!000"), ("1 000 000", "1{,}000{,}000"),
        ("1\u202f000", "1000"), ("1\u2009000", "1000"), ("1~000", "1000"), (r"1\ 000", "1000"),
        ("1.234.567", "1234567"),
        ("x = 1,234", "1234"), (r"\frac{12}{5,\!525}", "12/5525"), ("$1,234.50$", "1234.5"),
    ],
    "powers of ten": [
        ("1e3", "1000"), ("1.5e-3", "0.0015"), ("2E+5", "200000"), ("3×10^5", "300000"),
        (r"3 \times 10^{5}", "3\\cdot 10^5"),
        (r"6.72 \times 10^{-5}", ".0000672"),
    ],
    "other numbers": [
        ("½", r"\frac12"), ("\u22123", "-3"), ("\u20133", "-3"), ("(2, \u20133)", "(2,-3)"),
        ("- 5", "-5"), ("+5", "5"), ("5.", "5"), ("5.0", "5"), ("18.0", "18"),
        (r"0.\overline{3}", r"\frac13"), (r"0.1\overline{6}", r"\frac16"), (r"\frac 1{72}", r"\frac{1}{72}"),
        ("0.333333", r"\frac13"), ("0.3333333", r"\frac13"), ("1.414214", r"\sqrt2"), ("2**10", "1024"),
    ],
    "units": [
        ("120°", "120"), ("120°", r"120^\circ"), ("120 degrees", r"120^{\circ}"), (r"\text{5 dollars}", "5"),
        ("5 dollars", "5"), ("$5", r"\$5"), ("£5", "5"), ("€1,234.50", "1234.5"), ("50%", "50"),
        ("50 percent", r"50\%"),
        ("5 cm", "5"), ("5 m", "5"), ("5 cm^2", "5"), (r"5\text{ cm}^2", "5"), ("5 square cm", "5"), ("100°C", "100"),
        (r"15", r"15\mbox{ cm}^2"), (r"99\pi", r"99\pi \text{ square inches}"), ("99π square inches", r"99\pi"),
        ("5 ms", "5"), ("the ratio: 5", "5"),
        ("9 am", r"9\text{ a.m.}"), ("4:30 pm", r"\text{4:30 p.m.}"), (r"\frac{3}{4}\%", "0.75"),
    ],
    "angles": [(r"\sin 30^\circ", r"\frac12"), ("2\\cos 15°", r"2\cos 15^{\circ}")],
    "bases": [("204_5", "204_{5}"), ("(204)_5", "204_5"), ("204", "204_5"), ("x = 204_5", "204_5")],
    "words": [
        ("Evelyn", r"\text{Evelyn}"), ("east.", r"\text{east}"), ("(A)", r"\text{A}"), ("A", r"\text{(A)}"),
        ("no solution", r"\text{no solution}"), ("June 20", r"\text{June 20}"), ("$x = $ Saturday", r"\mbox{Saturday}"),
    ],
    "names": [
        ("x = 5", "5"), ("5", "x=5"), ("m+n = 5", "5"), (r"\frac{m}{n} = 5", "5"), ("f(2) = 5", "5"), ("2+3 = 5", "5"),
        (r"x = \frac13 \approx 0.33", r"\frac13"), (r"x \in [-2,7]", "[-2,7]"), ("[-2,7]", r"x \in [-2,7]"),
        ("(x,y) = (3,4)", "(3,4)"), ("7y - 5x = 11z + 4", "5x - 7y + 11z + 4 = 0"), (r"\sum_{n=1}^{3} n", "6"),
    ],
    "lists": [
        ("2, 1", "1,2"), ("12 and 13", r"12\text{ and }13"), ("-5, 7, -2", r"7, -2, \text{ and } -5"),
        ("x=6 or x=5", "5,6"), ("$x = 5$ and $y = 6$", "(5,6)"), (r"\{2,1\}", "1,2"), ("A, F, C", r"\text{A,C,F}"),
        ("70, 110", "70,110"), ("110, 70", "70,110"), ("70110", "70,110"), (r"\{5\}", "5"), ("(1, 2)", "(1,2)"),
        (r"1 + \sqrt{19}, 1 - \sqrt{19}", r"1 \pm \sqrt{19}"), (r"-2, 1 \pm \sqrt5", r"\{1\pm\sqrt{5},-2\}"),
        ("(-∞, 2) ∪ (3, ∞)", r"(3,\infty)\cup(-\infty,2)"), ("1:2", r"\frac12"), ("0.333333, 0.5", r"\frac13, \frac12"),
    ],
    "what stands about it": [
        ("approximately 7", "7"), ("about 7", "7"), ("the point (3,4)", "(3,4)"), (r"the value $\frac12$", "0.5"),
        ("$5$ apples", "5"), ("$5$ because it is so", "5"), ("**5** apples", "5"), ("`5`", "5"),
        ("(3,4) is the point", "(3,4)"),
        ("\\[\n\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}\n\\]", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("$$x=5$$.", "5"),
        ("90\\text{ square\nunits}", "90\\text{ square\nunits}"),
    ],
    "formulas": [
        ("sqrt(3)/2", r"\frac{\sqrt3}{2}"), ("√3/2", r"\frac{\sqrt3}{2}"), ("2pi", r"2\pi"), ("x²+1", "x^2+1"),
        ("x >= 5", r"x \ge 5"), ("x≥5", r"5 \le x"), ("(x+1)(x-1)", "x^2-1"), ("2*x", "2x"), ("sin x", r"\sin x"),
        (r"\log_{2}3", r"\log_2 3"), (r"\frac{\ln 3}{\ln 2}", r"\log_2 3"), ("200", "2^3 5^2"), ("2^3 125", "1000"),
        (r"\varnothing", r"\emptyset"), (r"\{ \}", r"\emptyset"), (r"\emptyset", r"\varnothing"),
        ("0.25x", r"\frac{x}{4}"), (r"\frac{1}{2004!}", r"\frac{1}{2004 \cdot 2003!}"),
    ],
}  # fmt: skip
DIFFERENT = {
    "mixed numbers": [("2 3/4", r"\frac{23}{4}"), ("2 3/4", r"\frac54"), ("1 1/2", "1"), ("2 3/4", r"\frac32")],
    "separators": [("12 000", "0"), ("34", "3 4"), ("1.234", "1234"), (r"10\,000", "0"), ("(1,234)", "1234")],
    "powers": [("2^3 125", "2^{3125}")],
    "powers of ten": [("1e3", "3e"), (r"6.73 \times 10^{-5}", ".0000672"), ("10^{-20}", "10^{-21}")],
    "other numbers": [
        ("18.0000001", "18"), ("18", "18.0000001"), ("0.33", r"\frac13"), ("0.3333334", r"\frac13"),
        ("0.1250001", r"\frac18"), ("1.4142", r"\sqrt2"), ("0.0000004", "0.0000001"), ("0.000067", ".0000672"),
        (r"\frac{1}{2005!}", r"\frac{1}{2004!}"), (r"3\cdot 10^{-20}", r"2\cdot 10^{-20}"),
        (r"\sqrt{10^{36}+1}", "10^{18}"),
    ],
    "units": [
        ("2t", "2"), ("5m", "5"), ("5 x", "5"), ("5 i", "5"), ("5 xy", "5"),
        ("5", r"15\mbox{ cm}^2"), ("9 p.m.", r"9\text{ a.m.}"), ("0.5", r"50\%"),
    ],
    "bases": [("204_7", "204_5"), ("54", "204_5"), ("1011_2", "11")],
    "words": [
        ("nylevE", r"\text{Evelyn}"), ("B", r"\text{(A)}"), ("20", r"\text{June 20}"), ("five", "5"),
        ("2:15", r"\text{4:30 p.m.}"),
    ],
    "names": [("2x = 5", "5"), ("y=5", "x=5"), ("0", "x - 1 = 0"), ("5x - 7y + 11z + 4 = 0", "0"), ("y=-2x", "y=2x")],
    "lists": [
        ("(2,1)", "(1,2)"), ("2,1", "(1,2)"), (r"\{1,2\}", "(1,2)"), ("[1,2)", "[1,2]"), ("[1,2]", "(1,2)"),
        ("1,1,2", "1,2,2"),
        (r"1+\sqrt{19}", r"1 \pm \sqrt{19}"), ("1:3:2", "1:2:3"), ("A,C", r"\text{A,C,F}"), ("1,2,3", "1,2"),
    ],
}  # fmt: skip
NOT_READ = [
    ("3 4", "34"), ("3 4", "7"), ("7 because 3+4=7", "7"), ("not 7", "7"), ("7 squared", "7"), ("at least 5", "5"),
    ("more than 5", "5"), ("7 million", "7"), (r"1,2,\ldots,10", "1,2,10"), ("f'(x)", "f(x)"), (r"5 \pmod 7", "5"),
    ("$3$ hours and $20$ minutes", "3"), ("June 21", r"\text{June 20}"), (r"204_5 + 1", "205"),
    ("3\u20135", "-2"), ("10_2 3", "30"),
]  # fmt: skip


def cases(table):
    return [pytest.param(*pair, id=f"{kind}: {pair[0]!r}") for kind, pairs in table.items() for pair in pairs]


@pytest.mark.parametrize(("answer", "gold"), cases(EQUAL))
def test_an_answer_of_the_same_value_is_right(answer, gold):
    assert math_strict(f"So $y=77$.\n{MARKER}{answer}", gold) == RIGHT


@pytest.mark.parametrize(("answer", "gold"), cases(DIFFERENT))
def test_an_answer_of_another_value_is_wrong(answer, gold):
    assert math_strict(f"So $y=77$.\n{MARKER}{answer}", gold) == WRONG


@pytest.mark.parametrize(("answer", "gold"), NOT_READ)
def test_what_would_be_dropped_or_guessed_is_no_answer(answer, gold):
    assert math_strict(f"So $y=77$.\n{MARKER}{answer}", gold) == UNPARSED


@pytest.mark.parametrize(
    ("text", "gold", "verdict"),
    [
        (r"Thus \boxed{44}. We check it, so our answer is correct.", "44", RIGHT),
        ("#### 5\nso the answer is clear", "5", RIGHT),
        ("The answer is 5. Or no: the answer is 6", "6", RIGHT),
        ("The answer is 5. Or no: the answer is 6", "5", WRONG),
        (r"\boxed{44}. No: the answer is 45.", "44", WRONG),
        (r"The answer is 5. Hence \boxed{6", "5", RIGHT),
        (r"The answer is $\boxed{5}$ apples", "5", RIGHT),
        ("So the answer is: east", r"\text{east}", RIGHT),
        ("The answer is 3 days on. So the answer is Saturday.", r"\text{Saturday}", RIGHT),
        (r"\boxed{\text{east}}, so our answer is correct", r"\text{east}", RIGHT),
        (r"\boxed{44}, and the answer is east", r"\text{east}", WRONG),
        ("Our answer is correct.", "5", WRONG),
        ("**Answer**: 5", "5", RIGHT),
        (r"Hence \fbox{5}.", "5", RIGHT),
        (r"It has \boxed 5 sides.", "5", RIGHT),
        (r"It is \boxed\pi", r"\pi", RIGHT),
    ],
)
def test_the_last_marker_that_an_answer_follows_counts_and_a_box_before_words(text, gold, verdict):
    assert math_strict(text, gold) == verdict


@pytest.mark.parametrize(
    "gold", ["12", "-3", r"\frac{3}{4}", r"2\sqrt{3}", r"\sqrt{2}", "(3, -4)", r"5\pi", "x^2 + 3x", "10,\\!080"]
)
def test_a_near_miss_is_wrong(gold):
    misses = dict(near_misses(gold))
    assert misses and gold not in misses.values()
    for how, wrong in misses.items():
        assert math_strict(f"{MARKER}{wrong}", gold) == WRONG, (how, wrong)


def test_near_misses_change_a_digit_the_sign_the_order_and_a_factor():
    assert dict(near_misses(r"9\pi")) == {"first digit": r"1\pi", "sign": r"-9\pi", "factor": r"\pi"}
    assert dict(near_misses("(3, 4)")) == {"first digit": "(4, 4)", "order": "(4, 3)"}
    assert not list(near_misses(r"\text{east}"))


def test_legacy_finds_the_golds_of_the_errata_only_where_their_full_stop_is_doubled():
    lines = (ROOT / "analysis" / "reference" / "unreachable_golds.csv").read_text().splitlines()[1:]
    for gold in (line.split(",", 1)[1].rpartition(",")[0].strip('"') for line in lines):
        assert math_legacy(f"{MARKER}{gold}", gold) == WRONG
        assert math_legacy(f"{MARKER}{gold}.", gold) == math_legacy(f"{MARKER}{gold}", gold.removesuffix(".")) == RIGHT
        assert math_strict(f"{MARKER}{gold}", gold) == RIGHT


# --- the pieces ---


def test_a_list_has_its_brackets_and_its_items():
    assert listed("(1,2]") == Listed("(1,2]", "(]", ("1", "2"))
    assert listed(r"\{1 \pm 2,3\}").items == ("1 + 2", "1 - 2", "3")
    assert listed("(x+1)(x-1)").items == ("(x+1)(x-1)",)
    assert listed("f(1,2)").items == ("f(1,2)",)
    assert readings("70,110") == ["70110", "70,110"]
    assert readings("1,2,...") == []


def test_a_name_is_no_equation():
    assert named("x_1 = 5") == ("x_1", "5")
    assert named("a = b = 5") == ("a", "5")
    assert named("2x = 5") == ("2x", "")
    assert named(r"x \ne 5") == ("", r"x \ne 5")
    assert named(r"\sum_{n=1}^{3} n") == ("", r"\sum_{n=1}^{3} n")


@pytest.mark.parametrize(
    "item", ["", "1/0", r"\frac{1}{0}", "1.2.3", "x", r"2\frac{-1}{2}", "\u0665", "1e9999", r"5\overline{3}"]
)
def test_what_is_no_number_is_none(item):
    assert number(item) is None


def test_a_generation_task_may_score_by_math_strict(tmp_path):
    from tasks.own_text import OwnGeneration

    rows = [{"q": f"{n}/2?", "a": f"\\frac{{{n}}}{{2}}"} for n in range(20)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = OwnGeneration(
        train=str(tmp_path / "mine.jsonl"), validation=None, test=None, validation_share=0.1, test_share=0.2,
        prompt="q", target="a", gold=None, scorers=["math_strict"], stop=[], name="mine", data_seed=0,
    )  # fmt: skip
    (first, *_) = task.examples("test")
    number_ = first.prompt.partition("/")[0]
    assert task.scorers["math_strict"](f"The answer is {number_}/2.", first.gold) == RIGHT
