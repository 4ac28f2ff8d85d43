"""Records that are older than seals: what has become of one is told, and the others are in the table."""

import json
from pathlib import Path

import pytest

from harness import seal
from harness.store import files, record
from tests.analysis.conftest import built

DAMAGES = {
    "no label": ('"label"', '"lcbel"'),
    "no task": ('"task": "', '"tasc": "'),
    "no metric": ('"metric"', '"metrjc"'),
    "no scorers": ('"scorers"', '"scorert"'),
    "a key of no text": ('"key": "', '"key": 5, "kez": "'),
    "a mean of no number": ('"mean": 0.5', '"mean": "x"'),
    "another mean": ('"mean": 0.5', '"mean": 0.7'),
    "another item": ('"items": "0011"', '"items": "0010"'),
    "an item that is none": ('"items": "0011"', '"items": "001q"'),
    "another n": ('"n": 4', '"n": 5'),
    "steps of no number": ('"steps": 10', '"steps": "10"'),
}


def unsealed(path: Path) -> str:
    value = json.loads(path.read_text())
    del value["sha256"]
    files.write_json(path, value | {"schema": record.UNSEALED})
    return path.read_text()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_that_no_seal_finds_leaves_the_rest_of_the_table(damage, add, tmp_path, capsys):
    """It is not sealed, either."""
    add("LoRA", 0, {"strict": "0111"})
    path = add("DoRA", 0, {"strict": "0011"}, method="dora")
    whole = unsealed(path)
    assert damage[0] in whole
    damaged = whole.replace(*damage, 1)
    path.write_text(damaged)
    assert seal.main([str(tmp_path / "runs")]) == 1
    assert str(path) in capsys.readouterr().err
    assert path.read_text() == damaged
    said = shown(tmp_path, capsys)
    assert "LoRA" in said
    assert "Not counted: " in said
    assert "DoRA" not in said


def test_a_record_without_a_seal_is_told_with_the_command_that_seals_it_and_counts_from_then_on(add, tmp_path, capsys):
    add("LoRA", 0, {"strict": "0111"})
    unsealed(add("DoRA", 0, {"strict": "0011"}, method="dora"))
    said = shown(tmp_path, capsys)
    assert "python -m harness.seal RUNS" in said
    assert "DoRA" not in said
    assert seal.main([str(tmp_path / "runs")]) == 0
    assert "1 records sealed, 1 had a seal, 0 refused" in capsys.readouterr().out
    said = shown(tmp_path, capsys)
    assert "DoRA" in said
    assert "Not counted: " not in said


def shown(folder: Path, capsys) -> str:
    built(folder / "runs", folder / "tables")
    capsys.readouterr()
    return (folder / "tables" / "toy_tiny.md").read_text()
