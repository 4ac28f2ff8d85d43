"""The benchmark of generation, on a few questions."""

import json

import pytest

from bench import generation
from harness.generate import engines

FEW = ["--examples", "5", "--batch-size", "2", "--steps", "1", "--rows", "2", "--repeats", "1", "--threads", "1"]


def test_every_engine_is_measured_with_and_without_merging_against_plain_generate(tmp_path, capsys):
    generation.main(["--methods", "full,lora", *FEW, "--out", str(tmp_path)])
    (path,) = tmp_path.glob("generation-cpu-*.json")
    result = json.loads(path.read_text())
    plain = [("generate, unsorted", False)]
    beside = [(name, False) for name in engines.ENGINES]
    both = [(name, merged) for name in engines.ENGINES for merged in (False, True)]
    assert [(row["engine"], row["merged"]) for row in result["rows"]] == plain + beside + plain + both
    assert [row["method"] for row in result["rows"]] == ["full"] * 3 + ["lora"] * 5
    assert (result["schema"], result["bench"], result["examples"]) == (1, "generation", 5)
    for row in result["rows"]:
        assert row["identical"]
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / row["seconds"])
        assert (row["check_seconds"] is None) == (row["engine"] != "refill" and not row["merged"])
    reference, *others = result["rows"][:3]
    assert reference["ratio"] == 1
    for row in others:
        assert row["ratio"] == pytest.approx(reference["seconds"] / row["seconds"]), "how many times faster"
    assert str(path) in capsys.readouterr().out


def test_other_tokens_than_the_reference_are_told(tmp_path, monkeypatch):
    def silent(model, prompts, settings, batch_size):
        yield from ((index, []) for index in range(len(prompts)))

    monkeypatch.setitem(engines.ENGINES, "silent", silent)
    monkeypatch.setattr(generation, "check", lambda *_: None)
    generation.main(["--methods", "full", *FEW, "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.json")
    told = {row["engine"]: row["identical"] for row in json.loads(path.read_text())["rows"]}
    assert told == {"generate, unsorted": True, "generate": True, "refill": True, "silent": False}


def test_an_unknown_method_is_refused_with_the_choices(capsys):
    with pytest.raises(SystemExit):
        generation.main(["--methods", "lorra"])
    assert "svft_random" in capsys.readouterr().err
