"""The record file: written whole, read strictly."""

import json
import math
from collections import OrderedDict

import pytest
from peft import LoraConfig, get_peft_model
from torch import nn

from errors import DiskError, RecordError
from harness.store import files, record, trained


def test_the_standard_error_is_binomial():
    score = record.summarise([True] * 3 + [False], [True] * 4)
    assert score["mean"] == 0.75
    assert score["standard_error"] == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert score["items"] == "1110"


def test_unparsed_answers_are_counted():
    assert record.summarise([False, True], [False, True])["unparsed"] == 0.5


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1', "[]", '{"schema": 99}', '{"schema": 1}', "\xff"])
def test_a_damaged_record_is_named_and_not_used(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RecordError, match=r"record\.json"):
        record.read(path)


def test_find_reports_damaged_records_beside_the_good_ones(tmp_path):
    run = {"task": "t", "model": "m", "method": "lora", "label": "LoRA", "seed": 0}
    good = {"key": "k", "run": run, "config": {}, "fingerprints": {}}
    files.write_sealed(tmp_path / "a" / "record.json", good)
    files.write_text(tmp_path / "b" / "record.json", "{")
    records, broken = record.find(tmp_path)
    assert [r.key for r in records] == ["k"]
    assert len(broken) == 1
    assert "b/record.json" in broken[0]


def test_names_in_an_adapters_configuration_are_in_one_order_whatever_the_hashes_of_a_process(tmp_path):
    names = list("hgfedcba")
    layers = nn.Sequential(OrderedDict((name, nn.Linear(2, 2)) for name in names))
    trained.save(get_peft_model(layers, LoraConfig(r=1, target_modules=names)), tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == sorted(names)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(path, {"new": float("nan")})
    assert path.read_text() == '{\n "old": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_folder_that_could_not_be_filled_leaves_the_old_one(tmp_path):
    files.write_folder(tmp_path / "adapter", lambda folder: files.write_text(folder / "weights", "old"))

    def fill(folder):
        files.write_text(folder / "weights", "new")
        raise OSError("disk full")

    with pytest.raises(DiskError, match="disk full"):
        files.write_folder(tmp_path / "adapter", fill)
    assert (tmp_path / "adapter" / "weights").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
