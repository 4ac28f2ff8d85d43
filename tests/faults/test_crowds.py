"""Many processes at once, and processes that die: each SVD is computed once, each run is run once."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.store import files, record
from harness.store.lock import Lock
from harness.store.run_folder import RunFolder
from svft.decomposition import Basis, cache, decompose
from svft.decomposition.cache import cached, content_key
from tests import processes
from tests.conftest import TINY

fork = multiprocessing.get_context("fork")
WEIGHTS = [torch.randn(24, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
W = WEIGHTS[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path / "svd"))
    cache._say.cache_clear()
    return tmp_path / "svd"


def side_by_side(count: int, work: Callable[[int], object]) -> list:
    """What work(0), work(1), ... return in processes of their own; an error in one is raised here."""
    start, answers = fork.Event(), fork.Queue()

    def run(number: int) -> None:
        start.wait()
        try:
            answers.put((number, work(number)))
        except BaseException as error:
            answers.put((number, error))

    workers = [fork.Process(target=run, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    start.set()
    found = dict(answers.get(timeout=processes.PATIENCE) for _ in workers)
    for worker in workers:
        worker.join(processes.PATIENCE)
    for answer in found.values():
        if isinstance(answer, BaseException):
            raise answer
    return [found[number] for number in range(count)]


def noted(log: Path) -> Callable[[torch.Tensor], Basis]:
    """`decompose`, which writes a line into `log` whichever process calls it, and takes a while."""

    def compute(weight: torch.Tensor) -> Basis:
        with log.open("a") as file:
            file.write(f"{content_key(weight)}\n")
        time.sleep(0.05)
        return decompose(weight)

    return compute


def content(basis: Basis) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in basis)


def die(work: Callable[[Callable[[], None]], object]) -> None:
    """Call `work` in a process of its own, which is killed by -9 at the place where it calls its argument."""
    process = fork.Process(target=lambda: work(lambda: os.kill(os.getpid(), signal.SIGKILL)))
    process.start()
    process.join(processes.PATIENCE)
    assert process.exitcode == -signal.SIGKILL


def test_sixteen_processes_on_a_cold_cache_compute_each_svd_once_and_get_the_same_bytes(folder, tmp_path):
    log = tmp_path / "log"

    def work(number: int) -> dict[int, bytes]:
        order = [(number + k) % len(WEIGHTS) for k in range(len(WEIGHTS))]
        return {k: content(cached(WEIGHTS[k], noted(log))) for k in order}

    found = side_by_side(16, work)
    assert sorted(log.read_text().split()) == sorted(map(content_key, WEIGHTS))
    assert found == [{k: content(decompose(weight)) for k, weight in enumerate(WEIGHTS)}] * 16
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{content_key(weight)}.{ending}" for weight in WEIGHTS for ending in ("lock", "safetensors")
    )


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_all_compute_and_write_at_once_and_the_entry_is_sound(folder, monkeypatch, number):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    together = fork.Barrier(6)
    replace = os.replace

    def all_at_once(*paths) -> None:
        together.wait(processes.PATIENCE)  # each has written its temporary file
        assert len(list(folder.glob("*.tmp"))) == 6
        together.wait(processes.PATIENCE)
        replace(*paths)

    monkeypatch.setattr(os, "replace", all_at_once)
    said: list[str] = []
    monkeypatch.setattr(cache.logging.Logger, "warning", lambda self, sentence: said.append(sentence))

    def work(_: int) -> tuple[bytes, list[str]]:
        return content(cached(W, decompose)), said

    for bytes_, sentences in side_by_side(6, work):
        assert bytes_ == content(decompose(W))
        assert len(sentences) == 1
        assert f"{folder} has no file locks" in sentences[0]
    assert content(cached(W, None)) == content(decompose(W))
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize("moment", ["computing", "writing", "renaming"])
def test_the_lock_and_the_files_of_a_process_killed_in_the_middle_harm_no_one(folder, moment):
    def work(stop: Callable[[], None]) -> None:
        if moment == "writing":
            os.fsync = lambda _: stop()
        if moment == "renaming":
            os.replace = lambda *_: stop()
        cached(W, lambda weight: stop() if moment == "computing" else decompose(weight))

    die(work)
    left = {path.suffix for path in folder.iterdir()}
    assert left == ({".lock"} if moment == "computing" else {".lock", ".tmp"})
    assert content(cached(W, decompose)) == content(decompose(W))
    assert content(cached(W, None)) == content(decompose(W))
    assert {path.suffix for path in folder.iterdir()} == {".lock", ".safetensors"}


def test_who_waited_for_a_process_that_is_killed_computes_instead(folder, tmp_path, monkeypatch):
    log, computing, coming, flock = tmp_path / "log", fork.Event(), fork.Semaphore(0), fcntl.flock

    def dying(weight: torch.Tensor) -> Basis:
        computing.set()
        signal.pause()
        return decompose(weight)

    def announced(*how) -> None:
        coming.release()
        flock(*how)

    first = fork.Process(target=lambda: cached(W, dying), daemon=True)
    first.start()
    assert computing.wait(processes.PATIENCE)
    monkeypatch.setattr(fcntl, "flock", announced)

    def work(number: int) -> bytes:
        if number == 0:
            assert all(coming.acquire(timeout=processes.PATIENCE) for _ in range(3))  # the others are at the lock
            os.kill(first.pid, signal.SIGKILL)
        return content(cached(W, noted(log)))

    assert side_by_side(4, work) == [content(decompose(W))] * 4
    first.join()
    assert log.read_text() == f"{content_key(W)}\n"


def test_a_lock_whose_folder_goes_while_it_is_taken_is_taken_in_the_new_folder(tmp_path, monkeypatch):
    flock, folder = fcntl.flock, tmp_path / "run"
    going = [True]

    def gone_before(*how) -> None:
        if going:
            going.pop()
            shutil.rmtree(folder)
        flock(*how)

    monkeypatch.setattr(fcntl, "flock", gone_before)
    lock = Lock(folder)
    with pytest.raises(BlockingIOError):
        Lock(folder)
    lock.release()
    Lock(folder).release()


def test_a_lock_is_one_process_although_its_holders_remove_the_folder(tmp_path):
    inside = tmp_path / "inside"

    def work(_: int) -> int:
        held = 0
        while held < 20:
            try:
                lock = Lock(tmp_path / "a" / "b")
            except BlockingIOError:
                continue
            inside.touch(exist_ok=False)
            held += 1
            inside.unlink()
            shutil.rmtree(tmp_path / "a" / "b", ignore_errors=True)
            lock.release()
        return held

    assert side_by_side(6, work) == [20] * 6


def new_record() -> record.Record:
    return record.Record("k" * 64, {"label": "x", "seed": 0}, {"method": "x"}, {})


def test_the_run_folder_of_a_killed_process_is_taken_over_and_its_temporary_files_go(tmp_path):
    path = tmp_path / "run"

    def work(stop: Callable[[], None]) -> None:
        with RunFolder(path, new_record()) as folder:
            folder.prepare(False)
            os.replace = lambda *_: stop()
            (path / "predictions").mkdir()
            (path / f".adapter.{os.getpid()}.partial").mkdir()
            (path / f".adapter.{os.getpid()}.partial" / "weights").touch()
            files.write_text(path / "predictions" / "digits-test.json", "half")

    die(work)
    assert list((path / "predictions").iterdir())
    with RunFolder(path, new_record()) as folder:
        assert folder.prepare(False) is None
    assert sorted(p.name for p in path.rglob("*")) == [".lock", "config.yaml", "predictions"]


def test_a_run_on_a_disk_without_locks_says_so_and_goes_on(tmp_path, monkeypatch, capsys):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    path = tmp_path / "run"
    path.mkdir()
    partial = path / ".record.json.1.partial"
    partial.touch()
    with RunFolder(path, new_record()) as folder:
        assert folder.prepare(False) is None
        assert partial.exists()  # it may be of a process that lives
    assert capsys.readouterr().err == (
        f"warning: {path} has no file locks (No locks available); do not start the same command twice at a time\n"
    )


def test_of_eight_processes_that_start_the_same_run_one_runs_and_the_others_say_so(tmp_path):
    command = (
        *TINY,
        f"runs_dir={tmp_path}",
        "wandb.mode=disabled",
        "threads=1",
        "method=svft_plain",
        "train.max_steps=2",
    )
    programs = [processes.Program(*command) for _ in range(8)]
    try:
        codes = [program.wait() for program in programs]
        said = [(program.said("stdout").strip(), program.said("stderr").strip()) for program in programs]
    finally:
        for program in programs:
            program.__exit__()
    (path,) = tmp_path.rglob("record.json")
    assert record.read(path).status == "done"
    ran = 0
    for code, (out, err) in zip(codes, said, strict=True):
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        if code:
            assert errors == [
                f"error: another process is running {path.parent}; its record will be there when it is done"
            ]
            assert (code, out) == (1, "")
            assert "Traceback" not in err
        else:
            assert not errors
            ran += not out.startswith("done before: ")
    assert ran == 1
    names = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert not [name for name in names if name.endswith((".partial", ".old", ".tmp"))]
    assert len(list(tmp_path.rglob("config.yaml"))) == 1
    assert not (path.parent / "checkpoint").exists()
