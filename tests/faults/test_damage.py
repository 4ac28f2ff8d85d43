"""Files that were truncated, that lost or gained a bit, or that lie in another's place are named and never used."""

import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

import run
from errors import Damaged, RecordError
from harness import seal
from harness.run import command_line
from harness.store import files, record, trained
from harness.store.record import Record
from harness.store.run_folder import RunFolder
from harness.store.stored import Stored
from harness.train import checkpoints
from tests import processes
from tests.conftest import without_clocks
from tests.harness.test_interruption import COMMAND, kill_when_there_is, read

KEY, OTHER_KEY = "a1b2c3d4" * 8, "0f0f0f0f" * 8
SCORE = {"mean": 1 / 3, "standard_error": 0.1 + 0.2, "unparsed": 0.0, "items": "001"}
ENTRY = {"metric": "accuracy", "n": 3, "data": "d", "seconds": 1e-05, "scorers": {"strict": SCORE}}
PREDICTED = {"data": "d", "seconds": 0.5, "generated_tokens": 7,
             "rows": [{"id": "0", "prediction": "“7” é \x07", "gold": "7"}]}  # fmt: skip
TRAIN = {"steps": 2, "loss": [[1, 0.25], [2, 0.125]]}


def a_record(key: str = KEY, seed: int = 3, **more) -> Record:
    return Record(key, {"seed": seed, "label": "LoRA “r=4”"}, {}, {"data": "d"}, **more)


def done(key: str = KEY, seed: int = 3) -> Record:
    return a_record(key, seed, train=dict(TRAIN), scores={"sums": {"test": ENTRY}}, status="done")


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut(data: bytes) -> Iterator[bytes]:
    yield from (data[: round(len(data) * share)] for share in (0, 0.1, 0.5, 0.9))
    yield from (data[:1], data[:-2], b"\0" * len(data), data[: len(data) // 2].ljust(len(data), b"\0"))


def damaged(data: bytes, flips: int) -> Iterator[bytes]:
    """Cut in several places, and with each of so many random bits flipped alone."""
    yield from cut(data)
    bits = random.Random(0).sample(range(8 * len(data)), min(flips, 8 * len(data)))
    yield from (flipped(data, bit) for bit in bits)


def refusal(function: Callable[..., object], *arguments: object) -> tuple[object, Exception | None]:
    """What the function returns, and the error by which it refuses instead."""
    try:
        return function(*arguments), None
    except (Damaged, RecordError) as error:
        return None, error


# -- sealed files and the record


UNREADABLE = {
    "nothing": b"",
    "zeros": bytes(100),
    "Latin-1": '{"schema": 2, "key": "é"}'.encode("latin-1"),
    "a name twice": b'{"key": "k", "run": {}, "config": {}, "fingerprints": {}, "schema": 1, "key": "l"}',
    "deep nesting": b'{"a":' * 100_000,
    "NaN": b'{"key": "k", "run": {"seed": NaN}, "config": {}, "fingerprints": {}, "schema": 1}',
    "a number of many digits": b'{"schema": ' + b"1" * 10_000 + b"}",
    "a list": b"[]",
    "another schema": b'{"schema": 3}',
    "no schema": b'{"key": "k", "run": {}, "config": {}, "fingerprints": {}}',
    "a seal and schema 1": b'{"key": "k", "run": {}, "config": {}, "fingerprints": {}, "schema": 1, "sha256": ""}',
    "schema 2 and no seal": b'{"key": "k", "run": {}, "config": {}, "fingerprints": {}, "schema": 2}',
    "an unknown status": b'{"key": "k", "run": {}, "config": {}, "fingerprints": {}, "schema": 1, "status": "dond"}',
    "a section that is a list": b'{"key": "k", "run": {}, "config": {}, "fingerprints": [], "schema": 1}',
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_record_that_cannot_be_one_is_refused_by_name(tmp_path, kind):
    path = tmp_path / "record.json"
    path.write_bytes(UNREADABLE[kind])
    with pytest.raises(RecordError, match=re.escape(str(path))):
        record.read(path)


def test_a_folder_in_the_place_of_a_record_is_refused_and_listed(tmp_path):
    (tmp_path / "run" / "record.json").mkdir(parents=True)
    with pytest.raises(RecordError, match="it is a folder"):
        record.read(tmp_path / "run" / "record.json")
    records, broken = record.find(tmp_path)
    assert (records, len(broken)) == ([], 1)


def test_no_single_bit_of_a_record_can_flip_unseen(tmp_path):
    """Every bit there is. What is not refused is the same record: an exponent of a number may become E."""
    path = tmp_path / "record.json"
    written = done()
    record.write(path, written)
    whole = path.read_bytes()
    assert record.read(path) == written
    refused = 0
    for bit in range(8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        found, error = refusal(record.read, path)
        if error is None:
            assert found == written
        else:
            refused += 1
            assert str(path) in str(error)
    assert refused > 0.9 * 8 * len(whole)


def test_a_record_that_was_cut_is_refused(tmp_path):
    path = tmp_path / "record.json"
    record.write(path, done())
    for data in cut(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(RecordError, match=re.escape(str(path))):
            record.read(path)


@pytest.mark.parametrize(("other", "sentence"), [(done(seed=4), "it is of seed 4"), (done(OTHER_KEY), "key 0f0f0f0f")])
def test_the_record_of_another_run_is_refused(tmp_path, other, sentence):
    path = tmp_path / f"r4-QK-{KEY[:8]}" / "seed=3" / record.FILE
    record.write(path, done())
    assert record.read(path) == done()
    record.write(path, other)
    with pytest.raises(RecordError, match=sentence):
        record.read(path)


def test_text_that_has_no_utf8_is_written_and_read(tmp_path):
    """Halves of a surrogate pair, as a file of examples may have as escapes."""
    values = {"rows": ["\ud83d", "a\udc00b", "\ud83d\ude00"], 1: "a number as a name"}
    files.write_sealed(tmp_path / "x.json", values)
    found = files.read_sealed(tmp_path / "x.json")
    assert found == {"rows": ["\ud83d", "a\udc00b", "😀"], "1": "a number as a name", "schema": 2}


def test_a_seal_is_the_digest_of_the_rest_in_compact_ascii(tmp_path):
    import hashlib

    files.write_sealed(tmp_path / "x.json", {"b": 1.5, "a": ["é", None]})
    expected = hashlib.sha256(b'{"b":1.5,"a":["\\u00e9",null],"schema":2}').hexdigest()
    assert json.loads((tmp_path / "x.json").read_text())["sha256"] == expected


# -- adapter and predictions

STORED = ("sums-validation", "sums-test", "words-validation", "words-test")


def a_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def store(path: Path, of: Record, weights: int = 0) -> Stored:
    """A run folder with an adapter and predictions on two splits of two benchmarks."""
    stored = Stored(path, of)
    stored.write_adapter(a_model(weights), dict(TRAIN))
    for name in STORED:
        stored.write_predictions(*name.split("-"), PREDICTED | {"data": name})
    return stored


FILES = ("adapter/trained.safetensors", "adapter/train.json", "predictions/sums-test.json")


def use(path: Path, of: Record) -> list:
    """All that a run would use of what is stored."""
    stored = Stored(path, of)
    return [stored.train_section(), stored.read_predictions("sums", "test")]


@pytest.mark.parametrize("name", FILES)
def test_damage_beside_a_finished_record_is_found_in_every_file(tmp_path, name):
    finished = done()
    finished.train = store(tmp_path, finished).train_section()
    assert set(finished.files) >= set(FILES)
    whole = (tmp_path / name).read_bytes()
    assert use(tmp_path, finished)[0] == finished.train
    for data in damaged(whole, 300):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Damaged, match=re.escape(str(tmp_path / name))):
            use(tmp_path, finished)


@pytest.mark.parametrize("name", FILES)
def test_damage_in_a_run_under_way_is_found_in_every_file(tmp_path, name):
    store(tmp_path, a_record())
    expected = use(tmp_path, a_record())
    whole, refused = (tmp_path / name).read_bytes(), 0
    for data in damaged(whole, 300):
        (tmp_path / name).write_bytes(data)
        found, error = refusal(use, tmp_path, a_record())
        assert found == expected if error is None else error.path == tmp_path / name
        refused += error is not None
    assert refused > 250


@pytest.mark.parametrize("name", FILES)
def test_a_folder_or_nothing_in_the_place_of_a_file_is_found(tmp_path, name):
    finished = done()
    finished.train = store(tmp_path, finished).train_section()
    (tmp_path / name).unlink()
    if name == FILES[0]:
        with pytest.raises(Damaged, match="it is not there"):
            use(tmp_path, finished)
    else:
        assert None in use(tmp_path, finished)
    (tmp_path / name).mkdir()
    with pytest.raises(Damaged, match=re.escape(str(tmp_path / name))):
        use(tmp_path, finished)


@pytest.mark.parametrize(("key", "seed", "sentence"), [(KEY, 4, "of seed 4, not of 3"), (OTHER_KEY, 3, "of key '0f0f")])
@pytest.mark.parametrize("name", [*FILES[1:], "adapter"])
def test_the_files_of_another_run_are_refused(tmp_path, key, seed, sentence, name):
    store(tmp_path / "this", a_record())
    store(tmp_path / "other", a_record(key, seed))
    files.remove(tmp_path / "this" / name)
    copy = shutil.copytree if name == "adapter" else shutil.copy
    copy(tmp_path / "other" / name, tmp_path / "this" / name)
    with pytest.raises(Damaged, match=sentence):
        use(tmp_path / "this", a_record())


@pytest.mark.parametrize(("other", "sentence"), [("sums-validation", "split 'validation', not of 'test'"),
                                                 ("words-test", "benchmark 'words', not of 'sums'")])  # fmt: skip
def test_the_predictions_of_another_split_or_benchmark_are_refused(tmp_path, other, sentence):
    store(tmp_path, a_record())
    shutil.copy(tmp_path / "predictions" / f"{other}.json", tmp_path / "predictions" / "sums-test.json")
    with pytest.raises(Damaged, match=sentence):
        use(tmp_path, a_record())


def test_the_weights_of_another_run_are_refused(tmp_path):
    store(tmp_path / "this", a_record())
    store(tmp_path / "other", a_record(seed=4), weights=1)
    shutil.copy(tmp_path / "other" / FILES[0], tmp_path / "this" / FILES[0])
    with pytest.raises(Damaged, match=r"this/adapter/trained\.safetensors is damaged: its SHA-256 is"):
        use(tmp_path / "this", a_record())


@pytest.mark.parametrize("name", ["adapter", "predictions"])
def test_what_another_training_of_the_same_run_left_is_refused_by_the_record(tmp_path, name):
    finished = done()
    finished.train = store(tmp_path / "this", finished).train_section()
    again = store(tmp_path / "again", a_record(), weights=1)
    again.write_predictions("sums", "test", PREDICTED | {"seconds": 0.75})
    shutil.rmtree(tmp_path / "this" / name)
    shutil.copytree(tmp_path / "again" / name, tmp_path / "this" / name)
    with pytest.raises(Damaged, match=f"this/{name}/.* is damaged"):
        use(tmp_path / "this", finished)


def test_predictions_of_an_earlier_training_go_with_it(tmp_path):
    stored = store(tmp_path, a_record())
    stored.write_adapter(a_model(1), dict(TRAIN))
    assert not list(stored.predictions.glob("*"))


OLD_TRAIN = TRAIN | {"step_seconds": 0.25, "peak_bytes": None}
OLD_PREDICTED = PREDICTED | {"rows": 3 * PREDICTED["rows"]}


def unsealed(path: Path) -> Path:
    """The record of a finished run as it was before there were seals."""
    store(path, done())
    files.remove(path / "measured")
    for file in (path / "predictions").iterdir():
        files.write_json(file, OLD_PREDICTED)
    files.write_json(path / "adapter" / "train.json", OLD_TRAIN)
    of = {"task": "t", "model": "m", "method": "lora", "label": "LoRA", "seed": 3}
    values = {"key": KEY, "run": of, "config": {}, "fingerprints": {}, "provenance": {}, "adapter": {},
              "parameters": {}, "train": OLD_TRAIN, "scores": {"sums": {"test": ENTRY}}, "failure": None,
              "status": "done", "schema": 1}  # fmt: skip
    files.write_json(path / record.FILE, values)
    return path / record.FILE


def test_a_run_older_than_seals_is_used_once_it_is_sealed_and_nothing_else_of_it_changes(tmp_path):
    path = unsealed(tmp_path)
    before, predicted = json.loads(path.read_text()), (tmp_path / FILES[2]).read_bytes()
    with pytest.raises(RecordError, match=r"`python -m harness\.seal RUNS` seals all records"):
        record.read(path)
    assert seal.seal(path) and not seal.seal(path)
    sealed = record.read(path)
    assert json.loads(path.read_text()).items() >= {**before, "schema": 2}.items()
    assert (tmp_path / FILES[2]).read_bytes() == predicted
    assert sealed.files.keys() == {*FILES, *(f"predictions/{name}.json" for name in STORED)}
    assert use(tmp_path, sealed) == [OLD_TRAIN, OLD_PREDICTED]
    for name in FILES:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(flipped(whole, 8 * (len(whole) // 2)))
        with pytest.raises(Damaged, match=re.escape(name)):
            use(tmp_path, sealed)
        (tmp_path / name).write_bytes(whole)


def test_sealing_that_was_killed_before_the_record_is_written_goes_on(tmp_path, monkeypatch):
    path = unsealed(tmp_path)
    before, write = path.read_bytes(), files.write_sealed
    monkeypatch.setattr(files, "write_sealed", lambda place, values: place != path and write(place, values))
    seal.seal(path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    assert seal.seal(path)
    assert use(tmp_path, record.read(path)) == [OLD_TRAIN, OLD_PREDICTED]


def test_files_without_a_seal_are_refused_beside_a_record_that_has_one(tmp_path):
    unsealed(tmp_path)
    for of in (a_record(), done()):
        with pytest.raises(Damaged, match=r"train\.json is damaged: it has no seal"):
            Stored(tmp_path, of).train_section()
        with pytest.raises(Damaged, match=r"sums-test\.json is damaged: it has no seal"):
            Stored(tmp_path, of).read_predictions("sums", "test")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"rows": [], "data": "d", "seconds": 1.0}',
                                     '{"rows": [], "data": "d", "generated_tokens": 1}'])  # fmt: skip
def test_a_run_older_than_seals_is_not_sealed_with_broken_predictions(tmp_path, content):
    path = unsealed(tmp_path)
    before = path.read_bytes()
    (tmp_path / FILES[2]).write_text(content)
    with pytest.raises(Damaged, match=re.escape(FILES[2])):
        seal.seal(path)
    assert path.read_bytes() == before


def test_a_run_older_than_seals_is_not_sealed_with_the_adapter_of_another_seed(tmp_path):
    path = unsealed(tmp_path)
    files.write_json(tmp_path / "adapter" / "train.json", OLD_TRAIN | {"loss": [[1, 0.5], [2, 0.25]]})
    with pytest.raises(Damaged, match="its losses are not those of the record"):
        seal.seal(path)


# -- what is measured, apart from what two runs have alike


MEASURED = {"step_seconds": 0.25, "peak_bytes": 1024}


def test_what_is_measured_is_beside_the_files_that_two_runs_have_alike(tmp_path):
    for name, seconds in (("this", 0.5), ("again", 0.75)):
        stored = Stored(tmp_path / name, a_record())
        stored.write_adapter(a_model(), TRAIN | MEASURED | {"step_seconds": seconds})
        stored.write_predictions("sums", "test", PREDICTED | {"seconds": seconds})
        assert stored.train_section()["step_seconds"] == stored.read_predictions("sums", "test")["seconds"] == seconds
    this, again = (files.sums(tmp_path / name) for name in ("this", "again"))
    assert {name for name in this if this[name] != again[name]} == {"measured/adapter.json", "measured/sums-test.json"}


def test_numbers_inside_the_files_of_an_earlier_version_are_read(tmp_path):
    store(tmp_path, a_record())
    files.remove(tmp_path / "measured")
    of = {"key": KEY, "seed": 3}
    weights = files.sums(tmp_path / "adapter")
    weights.pop("train.json")
    files.write_sealed(tmp_path / FILES[1], {**of, "files": weights, "train": TRAIN | MEASURED})
    files.write_sealed(tmp_path / FILES[2], {**of, "benchmark": "sums", "split": "test", **PREDICTED})
    section, predicted = use(tmp_path, a_record())
    assert section == TRAIN | MEASURED and predicted["seconds"] == PREDICTED["seconds"]


def test_a_finished_run_has_its_numbers_in_the_record_and_another_needs_the_file(tmp_path):
    finished = done()
    finished.train |= MEASURED
    stored = Stored(tmp_path, finished)
    stored.write_adapter(a_model(), finished.train)
    stored.write_predictions("sums", "test", PREDICTED)
    for spoil in (lambda file: file.write_text("{}"), Path.unlink):
        for name in ("adapter", "sums-test"):
            spoil(tmp_path / "measured" / f"{name}.json")
        assert Stored(tmp_path, finished).train_section().items() >= MEASURED.items()
        assert Stored(tmp_path, finished).read_predictions("sums", "test")["seconds"] == ENTRY["seconds"]
        with pytest.raises(Damaged, match=r"measured/adapter\.json"):
            Stored(tmp_path, a_record()).train_section()
        with pytest.raises(Damaged, match=r"measured/sums-test\.json"):
            Stored(tmp_path, a_record()).read_predictions("sums", "test")


# -- weights without a checksum beside them


def with_lora(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return get_peft_model(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), LoraConfig(r=2, target_modules=["0", "1"]))


@pytest.mark.parametrize(("model", "name"), [(a_model, trained.WEIGHTS), (with_lora, trained.PEFT_WEIGHTS)])
def test_a_safetensors_file_whose_header_or_length_is_wrong_is_refused(tmp_path, model, name):
    """A flipped bit in the header makes it none, names other tensors, or changes nothing that is read."""
    saved = model()
    trained.save(saved, tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    expected = {key: value for key, value in saved.named_parameters() if value.requires_grad}
    loaded, refused = model(1), 0
    for data in [*cut(whole), *(flipped(whole, bit) for bit in random.Random(0).sample(range(8 * header), 200))]:
        path.write_bytes(data)
        for key in expected:
            nn.init.constant_(loaded.get_parameter(key), 7.0)
        _, error = refusal(trained.load, loaded, tmp_path)
        if error is None:
            assert all(torch.equal(loaded.get_parameter(key), value) for key, value in expected.items())
        else:
            refused += 1
            assert str(path) in str(error)
    assert refused > 100


# -- checkpoints


def a_checkpoint(folder: Path, step: int, best: int | None = None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth"):
        (path / name).write_bytes(random.Random(f"{folder}{step}{name}").randbytes(200))
    state = {"global_step": step, "best_model_checkpoint": best and f"elsewhere/checkpoint-{best}"}
    (path / "trainer_state.json").write_text(json.dumps(state))
    checkpoints.mark(path)
    return path


def a_run(path: Path, seed: int = 3) -> Path:
    """The folder for checkpoints of a run that is under way."""
    record.write(path / record.FILE, a_record(seed=seed))
    return path / "checkpoint"


CHECKPOINT = ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json", "complete")


@pytest.mark.parametrize("name", CHECKPOINT)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, capsys, name):
    folder = a_run(tmp_path)
    first = a_checkpoint(folder, 90)
    a_checkpoint(folder, 100)
    whole = (folder / "checkpoint-100" / name).read_bytes()
    shutil.copytree(folder / "checkpoint-100", tmp_path / "kept")
    assert checkpoints.last(folder) == str(folder / "checkpoint-100")
    assert capsys.readouterr().err == ""
    for data in damaged(whole, 40):
        shutil.copytree(tmp_path / "kept", folder / "checkpoint-100", dirs_exist_ok=True)
        (folder / "checkpoint-100" / name).write_bytes(data)
        found = checkpoints.last(folder)
        said = capsys.readouterr().err
        if found != str(first):  # the bit means nothing, as one in a space outside strings may
            assert name == "complete"
            assert files.read_sealed(Path(found) / name) == files.read_sealed(tmp_path / "kept" / name)
        else:
            assert f"warning: {folder}/checkpoint-100/{name} is damaged" in said
            assert not (folder / "checkpoint-100").exists()


def test_where_no_checkpoint_is_whole_training_begins_anew(tmp_path, capsys):
    folder = a_run(tmp_path)
    for step in (4, 8):
        (a_checkpoint(folder, step) / "optimizer.pt").unlink()
    assert checkpoints.last(folder) is None
    assert capsys.readouterr().err.count("optimizer.pt is damaged: it is not there") == 2


def test_an_incomplete_checkpoint_goes_without_a_word(tmp_path, capsys):
    folder = a_run(tmp_path)
    (a_checkpoint(folder, 8) / "complete").unlink()
    (folder / "checkpoint-9").write_text("a file")
    assert checkpoints.last(folder) is None
    assert capsys.readouterr().err == ""
    assert not list(folder.iterdir())


def test_a_mark_without_a_seal_is_none(tmp_path, capsys):
    folder = a_run(tmp_path)
    (a_checkpoint(folder, 4) / "complete").write_text("{}")
    assert checkpoints.last(folder) is None
    assert "complete is damaged: it has no seal" in capsys.readouterr().err


def test_a_checkpoint_of_another_run_is_refused(tmp_path, capsys):
    this, other = a_run(tmp_path / "this"), a_run(tmp_path / "other", seed=4)
    a_checkpoint(this, 4)
    shutil.copytree(a_checkpoint(other, 8), this / "checkpoint-8")
    assert checkpoints.last(this) == str(this / "checkpoint-4")
    assert "it is of seed 4, not of 3" in capsys.readouterr().err


def test_a_checkpoint_whose_best_one_is_damaged_is_not_used(tmp_path, capsys):
    """Training would end with the weights of the best."""
    folder = a_run(tmp_path)
    best = a_checkpoint(folder, 4, best=4)
    a_checkpoint(folder, 8, best=4)
    assert checkpoints.last(folder) == str(folder / "checkpoint-8")
    (best / "adapter_model.safetensors").write_bytes(b"")
    assert checkpoints.last(folder) is None
    assert "checkpoint-8 needs it as the best" in capsys.readouterr().err


# -- the folder of a run


def folder(path: Path) -> RunFolder:
    return RunFolder(path, a_record(train=dict(TRAIN)))


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_force_begins_anew_beside_a_damaged_record(tmp_path, content):
    (tmp_path / record.FILE).write_bytes(content)
    (tmp_path / "adapter").mkdir()
    with folder(tmp_path) as this:
        with pytest.raises(RecordError, match=r"record\.json.* move it away, or begin anew with force=true"):
            this.prepare(force=False)
        assert this.prepare(force=True) is None
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.yaml"}


def test_force_begins_anew_where_the_record_is_a_folder(tmp_path):
    (tmp_path / record.FILE / "inner").mkdir(parents=True)
    with folder(tmp_path) as this:
        with pytest.raises(RecordError, match="it is a folder"):
            this.prepare(force=False)
        this.prepare(force=True)
        with this.recording(None) as result:
            result.scores = {}
    assert record.read(tmp_path / record.FILE).status == "done"


@pytest.mark.parametrize("name", FILES[:2])
def test_a_damaged_adapter_is_dropped_while_the_run_is_under_way_and_refused_when_it_is_done(tmp_path, capsys, name):
    with folder(tmp_path) as this:
        this.prepare(force=False)
        with this.recording(None) as result:
            this.finish_training(a_model(), dict(TRAIN))
            result.train = this.train_section()
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(flipped(whole, 4 * len(whole)))
    with folder(tmp_path) as this:
        finished = this.prepare(force=False)
        with pytest.raises(RecordError, match=f"{name} is damaged.*force=true"), this.recording(finished):
            pass
    assert (tmp_path / name).exists()
    (tmp_path / record.FILE).unlink()
    with folder(tmp_path) as this, this.recording(None):
        assert this.train_section() is None
    assert f"{name} is damaged" in capsys.readouterr().err
    assert not (tmp_path / "adapter").exists()


def test_damaged_predictions_are_dropped_with_a_warning(tmp_path, capsys):
    store(tmp_path, a_record())
    (tmp_path / FILES[2]).unlink()
    (tmp_path / FILES[2]).mkdir()
    with folder(tmp_path) as this, this.recording(None):
        assert this.stored_predictions("sums", "test") is None
        this.store_predictions("sums", "test", PREDICTED)
        assert this.stored_predictions("sums", "test")["rows"] == PREDICTED["rows"]
    assert "sums-test.json is damaged: it is a folder; these predictions are made again" in capsys.readouterr().err


# -- run.py


LORA = (*COMMAND, "method=lora")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder of runs with one that is done."""
    runs = tmp_path_factory.mktemp("undisturbed")
    done = processes.call(*LORA, f"runs_dir={runs}")
    assert done.returncode == 0, done.stderr
    return runs


@pytest.fixture
def again(undisturbed, tmp_path, composed, capsys):
    """A copy of the finished run as `again.folder`; again(...) runs it and returns what it says on stderr."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)

    def start(*overrides: str) -> str:
        command_line.failures.clear()
        run.main(composed(*LORA, f"runs_dir={tmp_path}", *overrides))
        command_line.failures.clear()
        return capsys.readouterr().err

    (start.record,) = tmp_path.rglob(record.FILE)
    start.folder = start.record.parent
    start.expected = without_clocks(read(undisturbed))
    start.result = lambda: without_clocks(read(tmp_path))
    return start


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(flipped(data, 4 * len(data) + 1))


def test_a_damaged_record_is_refused_and_once_moved_away_is_made_again_of_what_is_there(again):
    flip(again.record)
    assert "record.json is not a readable record" in again()
    again.record.rename(again.folder / "record.damaged")
    weights = (again.folder / "adapter" / trained.PEFT_WEIGHTS).stat().st_mtime_ns
    assert again() == ""
    assert again.result() == again.expected
    assert (again.folder / "adapter" / trained.PEFT_WEIGHTS).stat().st_mtime_ns == weights


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("adapter/adapter_model.safetensors", "the run is trained again"),
        ("predictions/micro_gsm-test.json", "these predictions are made again"),
    ],
)
def test_what_is_damaged_in_a_run_under_way_is_made_again_and_the_record_is_the_same(again, name, sentence):
    under_way = replace(read(again.folder), status="running", train={}, scores={}, files={})
    record.write(again.record, under_way)
    flip(again.folder / name)
    said = again()
    assert re.search(f"{name} is damaged.*{sentence}", said)
    assert again.result() == again.expected


def test_a_damaged_adapter_of_a_finished_run_gets_no_other_scores(again):
    before = record.read(again.record)
    before.scores["micro_gsm"].pop("test")
    record.write(again.record, before)
    flip(again.folder / "adapter" / "adapter_config.json")
    assert re.search(r"adapter_config\.json is damaged.*force=true trains it again", again())
    assert record.read(again.record) == before
    assert "damaged" not in again("force=true")
    assert again.result()["scores"] == again.expected["scores"]


def test_damaged_predictions_of_a_finished_run_are_made_again_when_they_are_read(again):
    before = record.read(again.record)
    before.scores["micro_gsm"].pop("test")
    record.write(again.record, before)
    (again.folder / "predictions" / "micro_gsm-validation.json").write_text("{")
    assert re.search(r"micro_gsm-validation\.json is damaged.*these predictions are made again", again())
    assert again.result() == again.expected


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_to_the_same_record(undisturbed, tmp_path):
    kill_when_there_is(tmp_path, "checkpoint/checkpoint-8/complete", "method=lora")
    (path,) = tmp_path.rglob("checkpoint-8/optimizer.pt")
    flip(path)
    resumed = processes.call(*LORA, f"runs_dir={tmp_path}")
    assert re.search(r"checkpoint-8/optimizer\.pt is damaged.*goes on from one before it", resumed.stderr)
    assert without_clocks(read(tmp_path)) == without_clocks(read(undisturbed))
