"""Runs on different data or bases are never in one table, one mean or one search, whatever they are called."""

import pytest

from analysis import search
from analysis.load.records import load
from analysis.pages import results
from analysis.statistics import experiments, rates
from errors import RecordError
from harness.store import record
from tests.analysis.conftest import built

GOOD, BAD = "1" * 30 + "0" * 10, "1" * 5 + "0" * 35


def on(data: str = "d", base: str = "m", **changes) -> dict:
    """Changes of a record; its key follows from what is in `config`."""
    return {
        "fingerprints": {"data": data, "model": base},
        "config": {"on": [data, base], "train": {"lr": 1e-3}},
    } | changes


def test_runs_of_one_name_on_two_bases_have_two_tables(add, tmp_path):
    add("LoRA", 0, {"strict": GOOD}, **on(base="a" * 64))
    add("SVFT-P", 0, {"strict": GOOD}, method="svft_plain", **on(base="a" * 64))
    add("LoRA", 0, {"strict": BAD}, **on(base="b" * 64))
    first, second = results.results(load(tmp_path / "runs"))
    assert [first.name, second.name] == ["toy_tiny_base-aaaaaaaa", "toy_tiny_base-bbbbbbbb"]
    assert first.title == "Toy, Tiny, base aaaaaaaa"
    assert [len(first.rows), len(second.rows)] == [2, 1]
    assert "Kept apart, as data or base are others: toy_tiny_base-bbbbbbbb." in first.notes
    assert second.cells["verdict"].isna().all()  # there is nothing to be compared with


def test_runs_of_one_name_on_other_data_have_two_tables_though_their_label_is_one(add, tmp_path):
    """As where a file of one's own was edited: of three seeds two are of the old one."""
    for seed in (0, 1):
        add("LoRA", seed, {"strict": GOOD}, **on(data="1" * 64))
    add("LoRA", 2, {"strict": BAD}, **on(data="2" * 64))
    old, new = results.results(load(tmp_path / "runs"))
    assert (old.rows["seeds"].item(), new.rows["seeds"].item()) == (2, 1)
    assert (old.name, new.name) == ("toy_tiny_data-11111111", "toy_tiny_data-22222222")


def test_a_name_that_is_too_long_for_a_file_keeps_what_tells_the_tables_apart(add, tmp_path):
    for base in "ab":
        add("LoRA", 0, {"strict": GOOD}, **on(base=base * 64, run={
            "method": "lora", "task": "t" * 300, "model": "tiny", "seed": 0, "label": "LoRA"}))  # fmt: skip
    first, second = results.results(load(tmp_path / "runs"))
    assert first.name != second.name and len(first.name) < 255


def test_each_table_of_the_two_is_written(add, tmp_path):
    for base in "ab":
        add("LoRA", 0, {"strict": GOOD}, **on(base=base * 64))
    built(tmp_path / "runs", tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out").glob("toy*.md")} == {
        "toy_tiny_base-aaaaaaaa", "toy_tiny_base-bbbbbbbb",
    }  # fmt: skip


def identity(seed: int) -> dict:
    names = {"method": "lora", "task": "toy", "model": "tiny", "variant": "QV", "label": "LoRA", "targets": "QV"}
    return {"run": {**names, "seed": seed, "identity": "i"}}


@pytest.mark.parametrize(("other", "what"), [(on(data="2" * 64), "data"), (on(base="2" * 64), "base")])
def test_seeds_of_one_configuration_on_different_grounds_have_no_mean(add, tmp_path, other, what):
    add("LoRA", 0, {"strict": GOOD}, **identity(0))
    add("LoRA", 1, {"strict": BAD}, **other | identity(1))
    records, _ = record.find(tmp_path / "runs")
    with pytest.raises(RecordError, match=f"^LoRA, toy, tiny: seeds 0 and 1 have different {what} "):
        experiments.identified(records)


def test_seeds_of_a_branch_that_moved_are_two_rows(add, tmp_path):
    """The hub's name and so the key are one, and the files are others."""
    for seed, content in enumerate("xy"):
        files = {"data": "d", "model": "org/model@main", "model_content": content * 64}
        add("LoRA", seed, {"strict": GOOD}, **on() | {"fingerprints": files})
    first, second = results.results(load(tmp_path / "runs"))
    assert (first.rows["seeds"].item(), second.rows["seeds"].item()) == (1, 1)
    assert (first.name, second.name) == ("toy_tiny_base-xxxxxxxx", "toy_tiny_base-yyyyyyyy")


def scored_on(file: str) -> dict:
    entry = {"metric": "accuracy", "n": 40, "data": file, "scorers": {"strict": {
        "mean": 0.5, "standard_error": 0.1, "unparsed": 0.0, "items": "10" * 20}}}  # fmt: skip
    return {"scores": {"toy": {"test": entry}}}


def test_seeds_that_were_scored_on_different_test_files_have_no_mean(add, tmp_path):
    for seed, file in enumerate(["1" * 64, "2" * 64]):
        add("LoRA", seed, **scored_on(file))
    with pytest.raises(RecordError, match="^LoRA, toy, tiny: seeds 0 and 1 have different data of toy test "):
        load(tmp_path / "runs")


@pytest.mark.parametrize("what", ["tokenizer", "adapter"])
def test_seeds_of_one_cell_with_other_files_have_no_mean(add, tmp_path, what):
    for seed in (0, 1):
        files = {"data": "d", "model": "m", what: str(seed) * 64}
        add("LoRA", seed, {"strict": GOOD}, **on() | identity(seed) | {"fingerprints": files})
    with pytest.raises(RecordError, match=f"^LoRA, toy, tiny: seeds 0 and 1 have different {what} "):
        experiments.identified(load(tmp_path / "runs").records)


def searched(add, rate: float, data: str) -> None:
    entry = {"metric": "accuracy", "n": 40, "scorers": {"strict": {"mean": 0.5, "standard_error": 0.1,
                                                                   "unparsed": 0.0, "items": "10" * 20}}}  # fmt: skip
    settings = on(data=data, scores={"toy": {"validation": entry}}) | identity(0)
    add("LoRA", 0, **settings | {"config": {"train": {"lr": rate}, "on": data, "method": {}}})


def test_a_rate_is_picked_on_one_data(add, tmp_path, monkeypatch, capsys):
    searched(add, 1e-3, "1" * 64)
    searched(add, 1e-2, "2" * 64)
    arguments = ["--runs", str(tmp_path / "runs"), "--family", "f", "--task", "toy", "--model", "tiny"]
    with pytest.raises(SystemExit, match="has runs on different data or bases, and a rate is picked on one"):
        search.main([*arguments, "--out", str(tmp_path / "out"), "--recipes", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_search_beside_a_row_is_that_of_its_own_data(add, tmp_path):
    for rate, data in ((1e-3, "1"), (1e-2, "1"), (1e-1, "2")):
        searched(add, rate, data * 64)
    records, _ = record.find(tmp_path / "runs")
    run = next(each for each in records if each.fingerprints["data"] == "1" * 64)
    assert set(rates.searched(run, rates.searches(records))["rate"]) == {1e-3, 1e-2}


def test_a_damaged_record_of_one_of_two_bases_is_told_of_on_both_pages(add, tmp_path):
    """Its base is not known, as its file cannot be believed."""
    for base in "ab":
        add("LoRA", 0, {"strict": GOOD}, **on(base=base * 64))
    add("DoRA", 0, {"strict": GOOD}, **on(base="a" * 64)).write_text("{")
    both = results.results(load(tmp_path / "runs"))
    assert [sum(note.startswith("Not counted: ") for note in each.notes) for each in both] == [1, 1]
