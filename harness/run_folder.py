"""The folder of one run: who holds it, what is already there, and how it is left.

config.yaml          resolved configuration, written before anything is loaded
checkpoint/          while training: what an interrupted run resumes from
adapter/             what was trained, with train.json (the record's `train` section)
predictions/         one JSON a benchmark and split; scores are computed from these
record.json          written last; see harness/record.py
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import yaml
from torch import nn

from harness import files, record, trained
from harness.adapt import Adapted
from harness.record import Record
from harness.settings import SettingError


class Busy(Exception):
    """Another process is at this run."""


class RunFolder:
    """Use as a context: holds a lock (released when the process dies), and records how the run ended."""

    def __init__(self, path: Path, new_record: Record):
        self.path = path
        self.new_record = new_record
        self.checkpoint, self.adapter, self.predictions = path / "checkpoint", path / "adapter", path / "predictions"
        self.record_path = path / record.FILE

    def prepare(self, force: bool) -> Record | None:
        """The finished record that is there, if any; else the configuration is written and the run may begin or resume.

        A failed run begins anew. Raises RecordError for an unreadable record, which is the user's to move away.
        """
        found = record.read(self.record_path) if self.record_path.exists() and not force else None
        if found is not None and found.status == "done":
            return found
        if force or (found is not None and found.status == "failed"):
            self._clear()
        files.write_text(self.path / "config.yaml", yaml.safe_dump(self.new_record.config, sort_keys=False))
        return None

    @contextmanager
    def recording(self, done: Record | None) -> Iterator[Record]:
        """The record to fill in; written when the block ends, as done, or as failed with the reason.

        A run that fails before `begin` was not a run: nothing of it stays. Raises SettingError where a finished run
        lost its adapter: another training would be mixed with predictions of the first.
        """
        if done is not None and self.train_section() is None:
            raise SettingError(
                f"{self.path} is done, but its adapter is not there, so nothing can be added to its scores; "
                "force=true trains it again and replaces the record"
            )
        result = done or self.new_record
        self.began = done is not None
        try:
            yield result
        except Exception as error:
            if self.began and done is None:
                result.status = "failed"
                reason = " ".join(str(error).split()) or type(error).__name__
                result.failure = {"reason": reason, "step": getattr(error, "step", None)}
                self._write(result)
            elif not self.began:
                self._discard()
            raise
        result.status = "done"
        self._write(result)

    def begin(self, result: Record, adapted: Adapted, provenance: dict[str, Any]) -> None:
        """Write a record that says `running`, unless an evaluation is being added to a finished one."""
        if self.began:
            return
        self.began = True
        result.provenance = provenance
        result.parameters = adapted.parameters
        result.adapter = {
            "layers": adapted.layers,
            "trained_tensors": adapted.trained_tensors,
            "warnings": adapted.warnings,
            "decomposition_seconds": adapted.decomposition_seconds,
        }
        self._write(result)

    def __enter__(self) -> Self:
        self.created = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise Busy(f"another process is running {self.path}; its record will be there when it is done") from None
        files.remove_leftovers(self.path)
        return self

    def __exit__(self, *exception) -> None:
        self._lock.close()

    def _write(self, value: Record) -> None:
        files.write_json(self.record_path, asdict(value))

    def _discard(self) -> None:
        """Leave nothing of a run that never began: the folder goes, and parents that it leaves empty."""
        if not self.created:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in self.path.parents[:5]:
            if not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()

    def _clear(self) -> None:
        """Remove what an earlier run left, all but the lock."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()

    def finish_training(self, model: nn.Module, train: dict[str, Any]) -> None:
        """Write adapter/ whole, weights and numbers together; then drop the checkpoints."""

        def fill(folder: Path) -> None:
            trained.save(model, folder)
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
            train["trained_bytes"] = files.folder_bytes(folder)
            files.write_json(folder / "train.json", train)

        files.write_folder(self.adapter, fill)
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def train_section(self) -> dict[str, Any] | None:
        """The `train` section of a finished training, or None."""
        path = self.adapter / "train.json"
        return json.loads(path.read_text()) if path.exists() else None

    def stored_predictions(self, benchmark: str, split: str) -> dict[str, Any] | None:
        path = self._predictions_path(benchmark, split)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def store_predictions(self, benchmark: str, split: str, values: dict[str, Any]) -> None:
        files.write_json(self._predictions_path(benchmark, split), values)

    def _predictions_path(self, benchmark: str, split: str) -> Path:
        return self.predictions / f"{benchmark}-{split}.json"

    def summary(self, value: Record) -> str:
        """One line for the terminal."""
        scores = [
            f"{split} {name} {score['mean']:.1%} ± {score['standard_error']:.1%}"
            for splits in value.scores.values()
            for split, entry in splits.items()
            for name, score in entry["scorers"].items()
        ]
        return f"{value.run['label']}, seed {value.run['seed']}: {'; '.join(scores)}  ({self.path})"
