"""Every program of the room refuses a folder of records that is none, and then writes nothing."""

import importlib
from pathlib import Path

import pytest

import analysis

PROGRAMS = sorted(
    path.stem
    for path in Path(analysis.__file__).parent.glob("*.py")
    if "\ndef main(" in path.read_text(encoding="utf-8")
)
NEEDED = {"search": ["--family", "f", "--task", "t", "--model", "m", "--recipes", "{out}"]}
WITHOUT_RECORDS = {"readme"}  # it reads tables


@pytest.mark.parametrize("program", sorted({*PROGRAMS} - WITHOUT_RECORDS))
@pytest.mark.parametrize("named", ["nowhere", "file"])
def test_a_folder_of_records_that_is_none_is_an_error_and_nothing_is_written(tmp_path, capsys, program, named):
    (tmp_path / "file").write_text("")
    runs, out = tmp_path / named, str(tmp_path / "out")
    needed = [each.format(out=out) for each in NEEDED.get(program, ())]
    with pytest.raises(SystemExit) as left:
        importlib.import_module(f"analysis.{program}").main(["--runs", str(runs), "--out", out, *needed])
    assert left.value.code == 2
    assert f"error: there is no folder {runs}; --runs names the one with records\n" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("program", ["plots", "paper_tables", "comparison_figure", "training_strength"])
def test_a_folder_without_records_is_told_of_and_is_no_error(tmp_path, capsys, program):
    importlib.import_module(f"analysis.{program}").main(["--runs", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "no " in capsys.readouterr().err and not any(tmp_path.iterdir())
