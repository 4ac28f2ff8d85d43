"""What is typed as a prompt and as a stop text, and what becomes of it."""

import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from errors import SettingError
from tests.tasks.test_own_text import all_of, generation


def typed(text: str):
    """The value that Hydra hands on of what a shell hands on."""
    return OverridesParser.create().parse_override(f"key={text}").value()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"Q: {question}\nA:"', "Q: {9} - 1 = ?\nA:"),
        (r"'Q:\t{question}\n\n'", "Q:\t{9} - 1 = ?\n\n"),
        ('"Q: {question}\nA:"', "Q: {9} - 1 = ?\nA:"),  # as $'...' spells it
        (r'"{question}\\n"', r"{9} - 1 = ?\n"),
        (r'"\boxed{{{question}}} \d"', r"\boxed{{9} - 1 = ?} \d"),
    ],
)
def test_a_new_line_and_a_tab_can_be_typed_in_a_prompt(text, expected):
    assert all_of(generation(prompt=typed(text)))[3].prompt == expected


def test_a_new_line_can_be_typed_as_a_stop_text():
    assert generation(stop=typed(r'["\n","END",\n\n]')).stop == ("\n", "END", "\n\n")


def test_a_text_with_a_new_line_is_the_same_data_however_it_is_typed():
    prompts = ["Q: {question}\nA:", r"Q: {question}\nA:"]
    assert len({generation(prompt=prompt).fingerprint() for prompt in prompts}) == 1


def test_columns_are_as_they_are(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{r"a\n": r"x\ny", "target": str(n)} for n in range(5)]))
    task = generation(train=str(path), prompt=r"\t{a\n}", target="target")
    assert {e.prompt for e in all_of(task).values()} == {"\t" r"x\ny"}


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        ('{"x": 1} {question}', r'\{"x": 1\}'),
        ('{"question"}', r'\{"question"\}'),
        ("{question!r}", r"\{question!r\}"),
        ("{question:>10}", r"\{question:>10\}"),
    ],
)
def test_a_field_that_is_more_than_a_column_is_refused_with_the_way_to_write_a_brace(prompt, field):
    with pytest.raises(SettingError, match=rf": {field} is no column; .* without !r or :format, .* \{{\{{ or \}}\}}$"):
        generation(prompt=prompt)
