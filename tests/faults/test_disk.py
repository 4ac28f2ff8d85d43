"""A disk that is full or cannot be written ends a program with one sentence, and nothing that was there is lost."""

import contextlib
import errno
import multiprocessing
import os
import re
import resource
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from analysis import program as analysis
from errors import DiskError
from harness.run import command_line
from harness.store import disk, files, record
from harness.store.run_folder import RunFolder
from harness.train import checkpoints
from svft.decomposition import cache, decompose
from svft.decomposition.cache import cached
from tests.conftest import ROOT, TINY, without_clocks
from tests.harness.test_interruption import adapter, predictions, read
from tests.processes import PATIENCE

fork = multiprocessing.get_context("fork")
COMMAND = (*TINY, "train.max_steps=4", "train.checkpoint_every=1", "wandb.mode=disabled", "threads=1", "device=cpu",
           "method=svft_plain", "evaluate.benchmarks=[micro_gsm]", "evaluate.splits=[test]")  # fmt: skip
MEBIBYTE = 2**20


@dataclass
class Disk:
    """A folder whose disk is full from `fill` to `make_space`. `reason`: what the system then says."""

    folder: Path
    reason: str
    fill: Callable[[], None]
    make_space: Callable[[], None]


@contextlib.contextmanager
def mounted(folder: Path, size: int = 8 * MEBIBYTE) -> Iterator[None]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a disk of its own cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    ballast = folder / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

    with mounted(folder):
        yield Disk(folder, os.strerror(errno.ENOSPC), fill, lambda: ballast.unlink(missing_ok=True))


@contextlib.contextmanager
def limited_files(folder: Path) -> Iterator[Disk]:
    """Needs no rights: the kernel lets no file grow beyond 100 bytes. Python ignores the signal and gets an error."""
    folder.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> None:
        assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    try:
        yield Disk(folder, os.strerror(errno.EFBIG), limit, lift)
    finally:
        lift()


@pytest.fixture(params=[small_disk, limited_files])
def full(request, tmp_path):
    with request.param(tmp_path / "disk") as made:
        yield made


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The folder of a run that nothing happened to."""
    runs = tmp_path_factory.mktemp("alone")
    code, _, err = program(*COMMAND, f"runs_dir={runs}")
    assert code == 0, err
    return runs


def run(work: Callable[[], object]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `work` in a process of its own.

    Both are pipes, which no limit on files cuts, and are read together: each may be full before the other ends.
    """
    pipes = [os.pipe(), os.pipe()]

    def child() -> None:
        for number, (_, end) in enumerate(pipes, start=1):
            os.dup2(end, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        work()

    process = fork.Process(target=child)
    process.start()
    for _, end in pipes:
        os.close(end)
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.start()
    with ThreadPoolExecutor() as readers:
        said = list(readers.map(_everything, [start for start, _ in pipes]))
    process.join()
    alarm.cancel()
    return process.exitcode, *said


def _everything(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as file:
        return file.read()


def program(*arguments: str, before: Callable[[], None] = lambda: None) -> tuple[int, str, str]:
    """`python run.py <arguments>` after `before()`."""

    def work() -> None:
        torch.set_num_threads(1)
        command_line.failures.clear()  # of a test before, in the process that this one is forked from
        before()
        sys.argv = [str(ROOT / "run.py"), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")

    return run(work)


def errors(stderr: str) -> list[str]:
    assert "Traceback" not in stderr, stderr
    return re.findall("error: .*", stderr)  # a progress bar may be before it


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "ballast"
    }


def filled_at(stage: str, full: Disk, keep: Path) -> Callable[[], None]:
    """What to do before a program so that the disk is full when `stage` ("<file or folder> <how often>") is written.

    What is there at that moment is copied into folder `keep`.
    """
    name, _, often = stage.partition(" ")
    keep.mkdir()
    seen = []

    def reached() -> None:
        seen.append(name)
        if len(seen) == int(often or 1):
            for path, content in contents(full.folder).items():
                (keep / path).parent.mkdir(parents=True, exist_ok=True)
                (keep / path).write_bytes(content)
            full.fill()

    def before() -> None:
        writing, save = disk.writing, torch.save

        def watched(place: Path):
            if place.name == name:
                reached()
            return writing(place)

        def watched_save(*args, **kwargs):
            if name == "torch.save":
                reached()
            return save(*args, **kwargs)

        disk.writing, torch.save = watched, watched_save

    return before


def test_all_is_heard_of_a_process_that_says_much_on_both_streams():
    def talk() -> None:
        for stream in (sys.stderr, sys.stdout, sys.stderr):
            print("much" * 100_000, file=stream)

    code, out, err = run(talk)
    assert (code, len(out), len(err)) == (0, 400_001, 800_002)


STAGES = ("config.yaml", "record.json", "checkpoint", "torch.save", "complete 2", "checkpoint 2", "adapter",
          "micro_gsm-test.json", "record.json 2")  # fmt: skip
WITH_A_MOUNT, WITHOUT = (
    ("torch.save", "adapter", "record.json 2"),
    ("record.json", "checkpoint", "micro_gsm-test.json"),
)


@pytest.mark.parametrize(
    ("make", "stages"),
    [
        (small_disk, WITH_A_MOUNT),
        (limited_files, WITHOUT),
        pytest.param(small_disk, STAGES, marks=pytest.mark.slow),
        pytest.param(limited_files, STAGES, marks=pytest.mark.slow),
    ],
)
def test_a_run_whose_disk_fills_up_at_any_file_says_so_and_ends_as_one_left_alone(make, stages, alone, tmp_path):
    with make(tmp_path / "disk") as full:
        runs = full.folder / "runs"
        for stage in stages:
            stop_at(stage, full, runs, tmp_path / stage)
        code, _, err = program(*COMMAND, f"runs_dir={runs}")
        assert (code, errors(err)) == (0, [])
        assert_same(runs, alone)


def stop_at(stage: str, full: Disk, runs: Path, keep: Path) -> None:
    code, out, err = program(*COMMAND, f"runs_dir={runs}", before=filled_at(stage, full, keep))
    full.make_space()
    (said,) = errors(err)
    assert (code, [line for line in out.splitlines() if not line.startswith("data: ")]) == (1, []), stage
    assert said.startswith(f"error: {runs}/micro_gsm/"), stage
    assert full.reason in said or stage == "torch.save", (stage, said)  # which tells no reason
    assert said.endswith(", then start the same command again")
    old, new = contents(keep), contents(full.folder)
    assert {path: new.get(path) for path in old} == old, stage
    added = {path.rpartition("/")[2] for path in new.keys() - old.keys() if "/checkpoint/checkpoint-" not in path}
    assert added <= {".lock"}, stage
    assert all(read(path.parent).status == "running" for path in runs.rglob("record.json")), stage


def assert_same(runs: Path, alone: Path) -> None:
    """The runs ended alike, and nothing else is left of one than of the other."""
    assert without_clocks(read(runs)) == without_clocks(read(alone))
    assert predictions(runs) == predictions(alone)
    assert adapter(runs) == adapter(alone)
    assert contents(runs).keys() == contents(alone).keys()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make space there"),
        (errno.EDQUOT, "free some of your quota there"),
        (errno.EROFS, "name a folder on a disk that can be written"),
        (errno.EACCES, "name another folder, or give yourself the permission to write there"),
        (errno.EIO, "the disk, or the network to it, fails; name a folder on another one"),
    ],
)
def test_whatever_the_system_refuses_is_told_with_its_remedy_and_the_old_file_stays(
    number, remedy, tmp_path, monkeypatch
):
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "record.json"
    files.write_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(DiskError) as told:
            files.write_text(path, "new")
    assert str(told.value) == (
        f"{path} cannot be written: {os.strerror(number)}; {remedy}, then start the same command again"
    )
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("record.json", "old")]


@pytest.mark.parametrize(
    "save",
    [
        lambda tensors, path: torch.save(tensors, path),
        lambda tensors, path: save_file(tensors, path),
        lambda tensors, path: path.write_bytes(tensors["x"].numpy().tobytes()),
    ],
    ids=["torch", "safetensors", "plain"],
)
def test_what_libraries_say_of_a_full_disk_is_understood_and_the_old_folder_stays(full, save):
    folder = full.folder / "adapter"
    files.write_folder(folder, lambda partial: files.write_text(partial / "old", "old"))
    full.fill()
    with pytest.raises(DiskError, match=f"^{re.escape(str(folder))} cannot be written: "):
        files.write_folder(folder, lambda partial: save({"x": torch.zeros(1000)}, partial / "new"))
    full.make_space()
    assert contents(full.folder) == {"adapter/old": b"old"}


def test_an_error_that_is_not_of_the_disk_keeps_its_class():
    for error in (
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("x"),
        FileNotFoundError(2, "x"),
    ):
        assert not disk.refuses(error)
    with pytest.raises(RuntimeError, match="mat1"), disk.writing(Path("x")):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_failure_that_cannot_be_recorded_is_told_as_what_the_disk_refuses(full):
    new = record.Record("k" * 64, {"label": "x", "seed": 0}, {"method": "x"}, {})
    folder = RunFolder(full.folder / "run", new)

    def fail() -> None:
        with folder, folder.recording(None) as result:
            folder.prepare(False)
            folder.began = True
            folder._write(result)
            full.fill()
            raise ArithmeticError("the loss is not a finite number")

    with pytest.raises(DiskError, match=f"record.json cannot be written: {full.reason}"):
        fail()
    full.make_space()
    assert read(full.folder).status == "running"
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "config.yaml", "record.json"]


def test_a_run_that_the_disk_stopped_has_not_failed_although_its_record_could_say_so(tmp_path):
    new = record.Record("k" * 64, {"label": "x", "seed": 0}, {"method": "x"}, {})
    folder = RunFolder(tmp_path / "run", new)

    def stop() -> None:
        with folder, folder.recording(None) as result:
            folder.began = True
            folder._write(result)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"):
        stop()
    assert read(tmp_path).status == "running"


def test_a_full_disk_costs_the_svd_cache_but_not_the_svd(full, monkeypatch, caplog):
    monkeypatch.setenv("SVFT_CACHE_DIR", str(full.folder / "svd"))
    cache._say.cache_clear()
    W = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    cached(W, decompose)
    (entry,) = (full.folder / "svd").glob("*.safetensors")
    before = entry.read_bytes()
    full.fill()
    for weight in (W + 1, W + 2):
        assert torch.equal(cached(weight, decompose).U, decompose(weight).U)
    assert cached(W, None).s.shape == (30,)
    full.make_space()
    assert [r.message for r in caplog.records] == [
        f"SVDs cannot be written to {full.folder}/svd ({full.reason}) and are not kept; "
        "set SVFT_CACHE_DIR to a writable folder with space, or to 'off'"
    ]
    assert {path.suffix for path in (full.folder / "svd").iterdir()} == {".lock", ".safetensors"}
    assert entry.read_bytes() == before
    cached(W + 1, decompose)
    assert len(list((full.folder / "svd").glob("*.safetensors"))) == 2


def read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def test_a_cache_that_can_only_be_read_is_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SVFT_CACHE_DIR", str(tmp_path / "disk"))
    cache._say.cache_clear()
    W = torch.eye(3)
    with mounted(tmp_path / "disk"):
        cached(W, decompose)
        read_only(tmp_path / "disk")
        assert torch.equal(cached(W, None).U, decompose(W).U)
        assert not caplog.records
        assert torch.equal(cached(W + 1, decompose).U, decompose(W + 1).U)
    assert "(Read-only file system); set SVFT_CACHE_DIR to a writable folder" in caplog.text


def test_a_run_on_a_disk_that_can_only_be_read_says_so(tmp_path):
    with mounted(tmp_path / "disk"):
        read_only(tmp_path / "disk")
        code, _, err = program(*COMMAND, f"runs_dir={tmp_path}/disk/runs")
    (said,) = errors(err)
    assert code == 1
    assert said.startswith(f"error: {tmp_path}/disk/runs/micro_gsm/")
    assert "cannot be written: Read-only file system; name a folder on a disk that can be written" in said


@pytest.mark.parametrize("place", ["/proc/runs", "/dev/null/runs"])
def test_a_run_in_a_place_where_no_folder_can_be_says_so(place):
    """Needs no rights."""
    with pytest.raises(DiskError, match=f"^{place} cannot be written: "):
        RunFolder(Path(place), record.Record("k", {}, {}, {})).__enter__()


def test_tables_on_a_full_disk_are_the_old_ones_and_the_program_says_so(full, alone):
    out = full.folder / "tables"
    arguments = ["tables", "--runs", str(alone), "--out", str(out)]
    analysis.main(arguments)
    for path in out.iterdir():
        path.write_text("old")
    full.fill()
    with pytest.raises(SystemExit) as end:
        analysis.main(arguments)
    full.make_space()
    assert re.fullmatch(
        f"error: {re.escape(str(out))}/[^ ]+ cannot be written: {full.reason}; .*, then start the same command again",
        str(end.value),
    )
    assert len(contents(out)) == 3
    assert set(contents(out).values()) == {b"old"}
    analysis.main(arguments)
    assert len(contents(out)) == 3
    assert b"old" not in contents(out).values()


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EPIPE])
def test_output_that_cannot_be_written_ends_in_a_sentence_and_changes_nothing(alone, reason):
    before = contents(alone)

    def lose_stdout() -> None:
        start, end = os.pipe()
        os.close(start)
        os.dup2(os.open("/dev/full", os.O_WRONLY) if reason == errno.ENOSPC else end, 1)

    code, _, err = program(*COMMAND, f"runs_dir={alone}", before=lose_stdout)
    assert code == 1
    (said,) = errors(err)
    assert said.startswith(f"error: the output cannot be written: {os.strerror(reason)}; ")
    assert contents(alone) == before


def test_a_run_that_loses_its_terminal_can_be_gone_on_with(alone, tmp_path):
    def lose_stderr() -> None:
        mark = checkpoints.mark

        def marked(checkpoint: Path) -> None:
            mark(checkpoint)
            os.dup2(os.open("/dev/full", os.O_WRONLY), 2)

        checkpoints.mark = marked

    assert program(*COMMAND, f"runs_dir={tmp_path}", before=lose_stderr)[0] != 0
    assert read(tmp_path).status == "running"
    assert program(*COMMAND, f"runs_dir={tmp_path}")[0] == 0
    assert_same(tmp_path, alone)


# --- clocks ---


def clock_goes_wild() -> None:
    """Time of day goes back by a day with each look at it, and every checkpoint is older than the one before it."""
    days, mark = iter(range(10**6)), checkpoints.mark
    time.time = lambda: 2e9 - 86400 * next(days)

    def dated(checkpoint: Path) -> None:
        mark(checkpoint)
        os.utime(checkpoint, (time.time(), time.time()))

    checkpoints.mark = dated


def test_a_clock_that_is_set_back_changes_no_record(alone, tmp_path):
    runs = tmp_path / "disk" / "runs"
    with limited_files(tmp_path / "disk") as full:
        fill = filled_at("checkpoint 4", full, tmp_path / "keep")

        def before() -> None:
            clock_goes_wild()
            fill()

        assert program(*COMMAND, f"runs_dir={runs}", before=before)[0] == 1
    kept = {path.parent.name for path in runs.rglob("complete")}
    assert kept == {"checkpoint-2", "checkpoint-3"}
    assert program(*COMMAND, f"runs_dir={runs}", before=clock_goes_wild)[0] == 0
    assert_same(runs, alone)
    found = read(runs)
    assert found.train["step_seconds"] > 0
    assert found.adapter["decomposition_seconds"] > 0
    assert found.scores["micro_gsm"]["test"]["seconds"] > 0


def test_nothing_is_decided_or_measured_by_the_time_of_day():
    """perf_counter and monotonic clocks are set by no one; a file's time stamps and the time of day are."""
    of_day = re.compile(
        r"\btime\.time(_ns)?\(|from time import [^\n]*\btime\b|datetime\.(now|today)|\bst_[amc]time|get[amc]time"
    )
    rooms = ("svft", "baselines", "tasks", "harness", "bench", "analysis")
    sources = [ROOT / "run.py", *(path for room in rooms for path in (ROOT / room).rglob("*.py"))]
    assert [str(path) for path in sources if of_day.search(path.read_text(encoding="utf-8"))] == []
