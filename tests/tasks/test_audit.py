"""The audit of scorers on small files with the columns of the real ones: its counts are worked out by hand."""

import json

import pytest

from tasks import audit

GSM8K = [
    {"question": "6 * 3?", "answer": "6 * 3 = <<6*3=18>>18\n#### 18"},
    {"question": "A million?", "answer": "It is 1,450,000.\n#### 1,450,000"},
]
MATH = [
    {"problem": "?", "solution": "So it is $\\boxed{\\frac{1}{2}}.$", "answer": "\\frac{1}{2}"},
    {"problem": "?", "solution": "So it is $\\boxed{(3,4)}.$", "answer": "(3,4)"},
    {"problem": "?", "solution": "So it is $\\boxed{1 + i.}$", "answer": "1 + i."},
]
COMMONSENSE = [
    {"instruction": "Is it so? true/false", "input": "", "output": "the correct answer is true", "answer": "true"},
    {"instruction": "Is it so? true/false", "input": "", "output": "the correct answer is false", "answer": "false"},
]
MAWPS = [{"question": "?", "equation": "X=(5.0/2.0)", "answer": 2.5}, {"question": "?", "equation": "X=4", "answer": 4}]
OWN = [{"question": "?", "target": " X=4\nThe answer is: 4", "gold": "4"}]
COLA = [{"sentence": "It is.", "label": 1, "idx": 0}, {"sentence": "Is.", "label": 0, "idx": 1}]
STSB = [{"sentence1": "a", "sentence2": "b", "label": label} for label in (0.0, 2.5, 5.0)]


@pytest.fixture
def audited(tmp_path):
    def of(rows, tries=10):
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return audit.audit(tmp_path / "rows.jsonl", tries)

    return of


def right(made):
    """way and scorer -> rows that are right, of all."""
    return {key[1:]: (counts["right"], counts.total()) for key, counts in made.counts.items()}


def said(made):
    return {key: value for key, value in right(made).items() if not key[0].startswith("near miss")}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (GSM8K, {("its solution", "strict"): (2, 2), ("The answer is: X", "strict"): (2, 2),
                 ("The answer is: X", "legacy"): (1, 2), ("\\boxed{X}", "strict"): (2, 2)}),
        (MATH, {("its solution", "strict"): (3, 3), ("The answer is: X", "strict"): (3, 3),
                ("The answer is: X", "legacy"): (2, 3), ("\\boxed{X}", "strict"): (3, 3)}),
        (COMMONSENSE, {("its output", "strict"): (2, 2), ("its output", "legacy"): (2, 2)}),
        (MAWPS, {("The answer is: X", "strict"): (2, 2), ("The answer is: X", "legacy"): (1, 2),
                 ("\\boxed{X}", "strict"): (2, 2)}),
        (OWN, {("its target", "strict"): (1, 1), ("The answer is: X", "strict"): (1, 1),
               ("The answer is: X", "legacy"): (1, 1), ("\\boxed{X}", "strict"): (1, 1)}),
        (COLA, {("its label", "exact"): (2, 2), ("all labels", "matthews"): (1, 1), ("all labels", "f1"): (1, 1)}),
        (STSB, {("its label", "exact"): (3, 3), ("all labels", "pearson"): (1, 1), ("all labels", "spearman"): (1, 1)}),
    ],
    ids=["gsm8k", "math", "commonsense", "mawps", "own", "cola", "stsb"],
)  # fmt: skip
def test_each_way_of_saying_the_gold_is_counted_for_each_scorer(audited, rows, expected):
    assert said(audited(rows)) == expected


def test_a_gold_that_legacy_calls_wrong_is_named_with_the_reason(audited):
    (line,) = audit.reasons([audited(MATH)], 5)
    assert "legacy, wrong: a full stop at the end is cut off the answer" in line and "row 3 '1 + i.'" in line
    (line,) = audit.reasons([audited(GSM8K)], 5)
    assert "second thousands separator" in line and "row 2 '1,450,000'" in line


def test_near_misses_are_wrong(audited):
    counts = right(audited(MATH))
    assert counts["near miss: order", "strict"] == (0, 1)
    assert counts["near miss: first digit", "strict"] == (0, 3)
    assert not audited(MATH).fails


def test_a_scorer_that_accepts_too_much_fails_the_audit_and_one_that_misses_a_gold_does(audited, monkeypatch):
    accepting = lambda text, gold: audit.ItemScore(correct=True)  # noqa: E731
    monkeypatch.setattr(audit, "math_strict", accepting)
    monkeypatch.setattr(audit, "MATH", {"strict": accepting, "legacy": accepting})
    made = audited(MATH)
    assert made.fails and any("near miss, strict, right: order" in line for line in audit.reasons([made], 5))
    refusing = lambda text, gold: audit.ItemScore(correct=False)  # noqa: E731
    monkeypatch.setattr(audit, "math_strict", refusing)
    assert audited(MATH).fails


def test_the_program_prints_a_table_of_every_file_and_ends_with_status_0_where_strict_holds(tmp_path, capsys):
    for name, rows in {"gsm8k": GSM8K, "math": MATH}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit) as ended:
        audit.main([str(tmp_path), "--near-misses", "0"])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert f"| {tmp_path / 'math.jsonl'} | MATH | The answer is: X | legacy | 3 | 2 | 1 | 0 | 0 |" in lines


def test_a_file_of_unknown_columns_and_an_empty_folder_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.jsonl").write_text('{"a": 1}')
    for path, sentence in (("other.jsonl", "no row has columns that are known"), ("folder", "holds no file")):
        with pytest.raises(SystemExit, match=sentence):
            audit.main([str(tmp_path / path)])
