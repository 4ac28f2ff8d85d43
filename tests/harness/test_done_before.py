"""A finished run is told without torch, from a record that is of this configuration, these data and this base."""

import json
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

import run
from harness.plan import config
from harness.run import command_line, done_before
from harness.store import provenance, record
from tests.conftest import ROOT

ROWS = "text,label\n" + "".join(f"word{i % 5} other,{i % 2}\n" for i in range(24))
LEFT_OUT = ("torch", "transformers", "peft", "datasets", "evaluate")
# Runs run.py, and prints what was imported.
TOLD = """
import json, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(json.dumps([name for name in sys.modules if "." not in name]))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Overrides of a finished run on a file of one's own, whose folder is named first."""
    from hydra import compose, initialize_config_dir

    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.csv").write_text(ROWS)
    overrides = ("task=classification", "model=micro_deberta", "method=head", f"task.source.train={folder}/mine.csv",
                 f"runs_dir={folder}/runs", "train.max_steps=1", "wandb.mode=disabled")  # fmt: skip
    command_line.failures.clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        run.main(compose("config", overrides=list(overrides)))
    assert command_line.failures == []
    return folder, overrides


def test_a_finished_run_is_told_without_torch(own):
    _, overrides = own
    command = [sys.executable, "-c", TOLD, str(ROOT / "run.py"), *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said, modules = done.stdout.strip().splitlines()
    assert said.startswith("done before: Head, seed 0: ")
    assert not set(LEFT_OUT) & set(json.loads(modules))


@pytest.mark.parametrize(("change", "times"), [("wandb.group=x", 1), ("train.lr=0.5", 0)])
def test_data_are_read_once_and_only_where_all_else_is_the_same(own, composed, monkeypatch, change, times):
    _, overrides = own
    made, instantiate = [], config.instantiate
    monkeypatch.setattr(config, "instantiate", lambda node: made.append(node._target_) or instantiate(node))
    done_before.find(composed(*overrides, change))
    assert made == times * ["tasks.own_text.OwnClassification"]


def test_what_is_told_is_what_the_run_itself_would_tell(own, composed, capsys, monkeypatch):
    _, overrides = own
    cfg = composed(*overrides)
    ended = done_before.find(cfg)
    quick = capsys.readouterr().out
    assert (ended.before, ended.record.status) == (True, "done")
    monkeypatch.setattr(done_before, "find", lambda cfg: None)
    assert run.main(cfg) == ended
    assert capsys.readouterr().out == quick


@pytest.mark.parametrize(
    "change",
    ["seed=1", "force=true", "train.lr=0.5", "task.data_seed=1", "evaluate.splits=[validation,test]", "plan=true"],
)
def test_another_run_is_not_taken_for_it(own, composed, change):
    _, overrides = own
    found = done_before.find(composed(*overrides, change))
    assert (found is not None) == (change == "evaluate.splits=[validation,test]")  # the default


def test_other_data_under_the_same_name_are_seen(own, composed):
    folder, overrides = own
    (folder / "mine.csv").write_text(ROWS.replace("word1", "word9"))
    try:
        assert done_before.find(composed(*overrides)) is None
    finally:
        (folder / "mine.csv").write_text(ROWS)


def test_another_base_under_the_same_name_is_seen(own, composed, monkeypatch):
    monkeypatch.setattr(done_before.pretrained, "fingerprint", lambda model: "other")
    assert done_before.find(composed(*own[1])) is None


def test_a_record_that_lacks_a_score_is_not_all_of_the_run(own, composed, monkeypatch):
    _, overrides = own
    read = record.read

    def without_test(path):
        value = read(path)
        value.scores["classification"].pop("test")
        return value

    monkeypatch.setattr(record, "read", without_test)
    assert done_before.find(composed(*overrides)) is None


def test_another_tokenizer_is_left_to_the_run_to_tell_of(own, composed, monkeypatch):
    _, overrides = own
    monkeypatch.setattr(done_before.pretrained, "tokenizer_fingerprint", lambda model: {"tokenizer": "other"})
    assert done_before.find(composed(*overrides)) is None


COMMIT = {"code": {"commit": "c", "dirty": False}, "packages": {"torch": "1"}}


@pytest.mark.parametrize(
    ("here", "taken"),
    [
        (COMMIT, True),
        ({**COMMIT, "packages": {"torch": "2"}}, False),
        ({**COMMIT, "code": {"commit": "other", "dirty": False}}, False),
        ({**COMMIT, "code": {"commit": "c", "dirty": True}}, False),
        ({**COMMIT, "code": {"commit": None, "dirty": None}}, False),
    ],
)
def test_what_was_found_in_a_checkpoint_is_taken_from_a_record_of_the_same_code_alone(
    composed, monkeypatch, here, taken
):
    """As roles of a model of one's own, which need the architecture to be built."""
    model = {"checkpoint": "assets/micro_deberta", "name": "m", "roles": "auto", "image": {"size": "auto", "mean": 0.5},
             "family": "encoder"}  # fmt: skip
    cfg = OmegaConf.create({"model": model})
    base = done_before.pretrained.fingerprint(cfg.model)
    there = {"roles": {"Q": "q"}, "image": {"size": 8, "mean": 0.1}}
    done = record.Record("k", {}, {"model": {**model, **there}}, {"model": base}, here if not taken else COMMIT)
    monkeypatch.setattr(provenance, "code", lambda: here["code"] if taken else COMMIT["code"])
    monkeypatch.setattr(provenance, "packages", lambda: COMMIT["packages"])
    found = done_before._completed(cfg, done)
    assert (found is not None) == taken
    if taken:
        assert (found.model.roles, found.model.image) == ({"Q": "q"}, {"size": 8, "mean": 0.5})
        assert cfg.model.roles == "auto"


@pytest.mark.parametrize(("given", "taken"), [({"Q": "q", "K": "k"}, True), ({"Q": "q"}, False)], ids=["same", "other"])
def test_letters_found_for_other_roles_are_not_taken_for_those_that_are_given(monkeypatch, given, taken):
    found = {"roles": {"Q": "q", "K": "k"}, "linear": "QK", "blocks": 2, "head": None}
    model = {"checkpoint": "assets/micro_deberta", "name": "m", "family": "encoder"}
    cfg = OmegaConf.create({"model": {**model, **dict.fromkeys(found, "auto"), "roles": given}})
    base = done_before.pretrained.fingerprint(cfg.model)
    done = record.Record("k", {}, {"model": {**model, **found}}, {"model": base}, COMMIT)
    monkeypatch.setattr(provenance, "code", lambda: COMMIT["code"])
    monkeypatch.setattr(provenance, "packages", lambda: COMMIT["packages"])
    completed = done_before._completed(cfg, done)
    assert (completed.model.linear if taken else completed) == ("QK" if taken else None)


@pytest.mark.parametrize(
    ("written", "taken"), [('{"size": 8}', True), ('{"size": 16}', False), (None, False)], ids=["same", "other", "gone"]
)
def test_how_images_are_taken_is_found_anew_where_the_checkpoint_says_it_otherwise(
    composed, tmp_path, monkeypatch, written, taken
):
    file = tmp_path / "preprocessor_config.json"
    file.write_text('{"size": 8}')
    model = {"checkpoint": str(tmp_path), "name": "m", "family": "vision", "image": {"size": "auto"}}
    cfg = OmegaConf.create({"model": model})
    of_files = done_before.pretrained.preprocessor_fingerprint(cfg.model)
    fingerprints = {"model": done_before.pretrained.fingerprint(cfg.model), **of_files}
    done = record.Record("k", {}, {"model": {**model, "image": {"size": 8}}}, fingerprints, COMMIT)
    monkeypatch.setattr(provenance, "code", lambda: COMMIT["code"])
    monkeypatch.setattr(provenance, "packages", lambda: COMMIT["packages"])
    file.unlink() if written is None else file.write_text(written)
    assert (done_before._completed(cfg, done) is not None) == taken
    done.fingerprints.pop("preprocessor")  # as in a record that is older than this
    assert done_before._completed(cfg, done) is None


def test_the_key_without_torch_is_that_of_the_run(own, composed):
    """`identity` of the record, made with everything loaded, and of here."""
    folder, overrides = own
    [path] = (folder / "runs").rglob("record.json")
    assert record.read(path).run["identity"] == config.identity(composed(*overrides))
