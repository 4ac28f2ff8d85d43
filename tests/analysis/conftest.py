"""Records made by hand, written as a run writes them."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from analysis import program
from harness.store import identity
from harness.store.files import write_sealed
from harness.store.record import FILE, Record


def built(runs: Path, out: Path, *names: str, command: str = "tables") -> int:
    """The exit code of making all pages (`plots`: figures) of the records in `runs`, or those that are named."""
    return program.main([command, *names, "--runs", str(runs), "--out", str(out)])


def score(items: str, unparsed: float) -> dict:
    mean = items.count("1") / len(items)
    error = (mean * (1 - mean) / len(items)) ** 0.5
    return {"mean": mean, "standard_error": error, "unparsed": unparsed, "items": items}


def entry(scorers: dict[str, str], unparsed: float) -> dict:
    values = {name: score(items, unparsed) for name, items in scorers.items()}
    n = len(next(iter(scorers.values())))
    return {"metric": "accuracy", "n": n, "seconds": 1.0, "generated_tokens": 0, "scorers": values}


@pytest.fixture(autouse=True)
def said_by_hand(monkeypatch) -> None:
    """A record made by hand, whose configuration is a few lines, says itself which cell it is in."""
    of_record = identity.cell
    monkeypatch.setattr(
        identity, "cell", lambda one: of_record(one) if "task" in one.config else one.run.get("identity", one.key)
    )


@pytest.fixture
def add(tmp_path: Path) -> Callable[..., Path]:
    """add(label, seed, scorers) writes one record below tmp_path/runs and returns its file."""

    def write(label: str, seed: int = 0, scorers: dict[str, str] | None = None, **changes) -> Path:
        method, benchmarks = changes.pop("method", "lora"), changes.pop("benchmarks", ["toy"])
        unparsed = changes.pop("unparsed", 0.0)
        key = hashlib.sha256(f"{label}{changes.get('config')}".encode()).hexdigest()
        tests = {name: {"test": entry(scorers, unparsed)} for name in benchmarks} if scorers else {}
        record = Record(
            key=key,
            run={"method": method, "task": "toy", "model": "tiny", "recipe": "clean", "seed": seed, "label": label,
                 "task_label": "Toy", "model_label": "Tiny", "targets": "QV", "variant": "QV"},
            config={"train": {"lr": 1e-3, "max_steps": 10, "select_best": False}, "recipe": {"name": "clean"}},
            fingerprints={"data": "d", "model": "m"},
            parameters={"adapter": 1234, "head": 0, "frozen": 10},
            train={"steps": 10, "step_seconds": 5.0, "trained_bytes": 4936},
            provenance={"device": {"type": "cpu", "name": "toy", "threads": 1}},
            scores=tests,
            status="done",
        )  # fmt: skip
        values = {**asdict(record), **changes}
        path = tmp_path / "runs" / "toy" / "tiny" / method / f"v-{key[:8]}" / f"seed={seed}" / FILE
        assert not path.exists()
        write_sealed(path, values)
        return path

    return write
