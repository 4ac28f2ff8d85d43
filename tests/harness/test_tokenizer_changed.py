"""The tokenizer is no part of a run's key, so a record says with which it was made, and no other goes on from it."""

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import run
from errors import SettingError
from harness.models import pretrained
from harness.plan import config
from harness.run import command_line
from harness.store import record
from harness.store.record import Record
from harness.store.run_folder import RunFolder
from tests import one_block
from tests.conftest import ROOT

QUICK = (
    "model.blocks=1",
    "task.source.train_size=16", "task.source.validation_size=4", "task.source.test_size=4", "train.max_steps=1",
    "train.log_every=1", "evaluate.splits=[validation]", "method=svft_plain", "wandb.mode=disabled",
)  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return shutil.copytree(ROOT / one_block.folder("micro_gemma"), tmp_path / "mine")


@pytest.fixture
def go(composed, tmp_path, checkpoint, capsys):
    """Run in process on `checkpoint`; the record that is there then, and what was said."""

    def start(*overrides: str) -> tuple[Record, str]:
        command_line.failures.clear()
        run.main(composed(*QUICK, f"model.checkpoint={checkpoint}", f"runs_dir={tmp_path}/runs", *overrides))
        [found], broken = record.find(tmp_path / "runs")
        assert not broken
        said = capsys.readouterr()
        return found, said.out + said.err

    return start


def swap_two_digits(checkpoint: Path) -> None:
    path = checkpoint / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["1"], vocabulary["2"] = vocabulary["2"], vocabulary["1"]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def test_a_finished_run_is_not_taken_for_that_of_another_tokenizer(go, composed, checkpoint):
    first, _ = go()
    assert "done before" in go()[1]
    cfg = composed(*QUICK, f"model.checkpoint={checkpoint}")
    keyed = {name: digest for name, digest in first.fingerprints.items() if name != "tokenizer"}
    assert set(keyed) == {"data", "model"} and first.key == config.identity(cfg, keyed)
    swap_two_digits(checkpoint)
    kept, said = go("evaluate.splits=[validation,test]")
    assert kept == first and "done before" not in said
    assert f"error: there is another tokenizer in {checkpoint} than that of " in said
    assert said.rstrip().endswith("runs_dir=PATH keeps both runs, force=true replaces the record")
    replaced, _ = go("force=true")
    assert replaced.status == "done" and replaced.key == first.key
    assert replaced.fingerprints["tokenizer"] != first.fingerprints["tokenizer"]
    assert replaced.train["loss"] != first.train["loss"]


FOLDER = ("lora-01234567", "seed=0")


def left(path: Path, status: str, **fingerprints: str) -> RunFolder:
    """The folder of a run that was left so."""
    value = Record("01234567ab", {"seed": 0, "label": ""}, {"model": {"checkpoint": "mine"}}, fingerprints)
    value.status = status
    record.write(path / record.FILE, value)
    return RunFolder(path, Record(value.key, value.run, value.config, {"tokenizer": "new"}))


@pytest.mark.parametrize("status", ["done", "running"])
def test_a_record_of_another_tokenizer_is_neither_used_nor_gone_on_from(tmp_path, status):
    path = tmp_path.joinpath(*FOLDER)
    with left(path, status, tokenizer="old") as folder:
        before = (path / record.FILE).read_bytes()
        with pytest.raises(SettingError, match="^there is another tokenizer in mine than that of .*record.json; runs_"):
            folder.prepare(force=False)
        assert (path / record.FILE).read_bytes() == before and not (path / "config.yaml").exists()
        assert folder.prepare(force=True) is None and not (path / record.FILE).exists()


@pytest.mark.parametrize("fingerprints", [{}, {"tokenizer": "new"}])
def test_a_record_without_the_field_or_of_the_same_tokenizer_is_used(tmp_path, fingerprints):
    with left(tmp_path.joinpath("done", *FOLDER), "done", **fingerprints) as folder:
        assert folder.prepare(force=False).status == "done"
    with left(tmp_path.joinpath("running", *FOLDER), "running", **fingerprints) as folder:
        assert folder.prepare(force=False) is None and folder.record_path.exists()


def test_a_failed_run_of_another_tokenizer_begins_anew(tmp_path):
    with left(tmp_path.joinpath(*FOLDER), "failed", tokenizer="old") as folder:
        assert folder.prepare(force=False) is None and not folder.record_path.exists()


def of(checkpoint: Path | str, family: str = "decoder") -> dict[str, str]:
    section = {"name": "mine", "checkpoint": str(checkpoint), "revision": "main", "family": family}
    return pretrained.tokenizer_fingerprint(OmegaConf.create(section))


@pytest.mark.parametrize("name", [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spm.model", "tokenizer.model", "chat_template.jinja", "generation_config.json",
])  # fmt: skip
def test_each_file_of_a_tokenizer_counts(checkpoint, name):
    before = of(checkpoint)
    (checkpoint / name).write_text("{}")
    after = of(checkpoint)
    assert before.keys() == after.keys() == {"tokenizer"} and before != after
    (checkpoint / name).rename(checkpoint / "renamed")
    assert of(checkpoint) != after


def test_nothing_else_of_a_checkpoint_does(checkpoint):
    before = of(checkpoint)
    for name in ("training_log.jsonl", "MANIFEST.json", "model.safetensors", "config.json", "README.md"):
        (checkpoint / name).write_text("{}")
    assert of(checkpoint, "encoder") == of(checkpoint) == before


def test_a_model_of_the_hub_or_of_images_or_without_a_tokenizer_has_no_such_fingerprint(checkpoint, tmp_path):
    assert of("google/gemma-2b") == of(checkpoint, "vision") == of(tmp_path) == {}
