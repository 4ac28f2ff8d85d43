"""The folder of one run: who holds it, what is already there, and how it is left.

config.yaml          resolved configuration, written before anything is loaded; for people to read, not for programs
checkpoint/          while training: what an interrupted run resumes from; see harness/train/checkpoints.py
adapter/             what was trained, with train.json (the record's `train` section); see harness/store/stored.py
predictions/         one JSON a benchmark and split; scores are computed from these; see harness/store/stored.py
record.json          written last; see harness/store/record.py
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import yaml
from torch import nn

from errors import Busy, Damaged, RecordError, SettingError
from harness.store import disk, files, lock, record
from harness.store.lock import Lock
from harness.store.record import Record
from harness.store.stored import Stored


class RunFolder:
    """Use as a context: holds a lock (released when the process dies), and records how the run ended."""

    def __init__(self, path: Path, new_record: Record):
        self.path = path
        self.new_record = new_record
        self.stored = Stored(path, new_record)
        self.checkpoint, self.adapter = path / "checkpoint", self.stored.adapter
        self.record_path = path / record.FILE

    def prepare(self, force: bool) -> Record | None:
        """The finished record that is there, if any; else the configuration is written and the run may begin or resume.

        A failed run begins anew. Raises RecordError for a damaged record, which is the user's to move away, and
        SettingError where a record that would be kept was made with another tokenizer, which is not in the key.
        """
        found = None if force else self._found()
        if found is not None and found.status != "failed":
            self._refuse_other_tokenizer(found)
        if found is not None and found.status == "done":
            return found
        if force or (found is not None and found.status == "failed"):
            self._clear()
        files.write_text(self.path / "config.yaml", yaml.safe_dump(self.new_record.config, sort_keys=False))
        return None

    def _refuse_other_tokenizer(self, found: Record) -> None:
        """A record may be older than this field, and a checkpoint of the hub has none: then nothing is compared."""
        there, here = (each.fingerprints.get("tokenizer") for each in (found, self.new_record))
        if None not in (there, here) and there != here:
            raise SettingError(
                f"there is another tokenizer in {self.new_record.config['model']['checkpoint']} than that of "
                f"{self.record_path}; runs_dir=PATH keeps both runs, force=true replaces the record"
            )

    def _found(self) -> Record | None:
        if not self.record_path.exists():
            return None
        try:
            return record.read(self.record_path)
        except RecordError as error:
            raise RecordError(
                f"{error}; without it the run goes on from what else is in its folder, so move it away, or begin anew "
                "with force=true"
            ) from error

    @contextmanager
    def recording(self, done: Record | None) -> Iterator[Record]:
        """The record to fill in; written when the block ends, as done, or as failed with the reason.

        A run that fails before `begin` was not a run: nothing of it stays. One that the disk stops stays `running`: the
        same command goes on with it. Raises SettingError where a finished run lost its adapter, and RecordError where
        that is damaged: another training would be mixed with predictions of the first.
        """
        result = done or self.new_record
        self.stored = Stored(self.path, result)
        if done is not None and self.train_section() is None:
            raise SettingError(
                f"{self.path} is done, but its adapter is not there, so nothing can be added to its scores; "
                "force=true trains it again and replaces the record"
            )
        self.began = done is not None
        try:
            yield result
        except Exception as error:
            if self.began and done is None and not disk.refuses(error):
                result.status = "failed"
                reason = " ".join(str(error).split()) or type(error).__name__
                result.failure = {"reason": reason, "step": getattr(error, "step", None)}
                self._write(result)
            elif not self.began:
                self._discard()
            raise
        result.status = "done"
        self._write(result)

    def begin(
        self, result: Record, parameters: dict[str, int], adapter: dict[str, Any], provenance: dict[str, Any]
    ) -> None:
        """Write a record that says `running`, unless an evaluation is being added to a finished one.

        parameters, adapter, provenance: the record's sections of these names.
        """
        if self.began:
            return
        self.began = True
        result.provenance = provenance
        result.parameters = parameters
        result.adapter = adapter
        self._write(result)

    def __enter__(self) -> Self:
        try:
            with disk.writing(self.path):
                self._lock = Lock(self.path)
        except BlockingIOError:
            raise Busy(f"another process is running {self.path}; its record will be there when it is done") from None
        if self._lock.works:
            files.remove_leftovers(self.path)
        self.created = all(path.name == lock.NAME for path in self.path.iterdir())
        return self

    def __exit__(self, *exception) -> None:
        self._lock.release()

    def _write(self, value: Record) -> None:
        record.write(self.record_path, value)

    def _discard(self) -> None:
        """Leave nothing of a run that never began: the folder goes, and parents that it leaves empty."""
        if not self.created:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # one that is not empty, perhaps since this moment
            for parent in self.path.parents[:5]:
                parent.rmdir()

    def _clear(self) -> None:
        """Remove what an earlier run left, all but the lock."""
        for path in self.path.iterdir():
            if path.name != lock.NAME:
                files.remove(path)

    def finish_training(self, model: nn.Module, train: dict[str, Any]) -> None:
        """Write adapter/, then drop the checkpoints."""
        self.stored.write_adapter(model, train)
        files.remove(self.checkpoint)

    def train_section(self) -> dict[str, Any] | None:
        """The `train` section of a finished training, or None; a damaged adapter is dropped, to be trained again.

        Raises RecordError where the run is done: its scores are those of that adapter.
        """
        try:
            return self.stored.train_section()
        except Damaged as error:
            if self.stored.record.status == "done":
                raise RecordError(
                    f"{error}; that run is done, so nothing can be added to its scores; force=true trains it again and "
                    "replaces the record"
                ) from error
            self._drop(error, self.adapter, "the run is trained again")
            return None

    def stored_predictions(self, benchmark: str, split: str) -> dict[str, Any] | None:
        """What was stored, or None; damaged predictions are dropped, to be made again."""
        try:
            return self.stored.read_predictions(benchmark, split)
        except Damaged as error:
            self._drop(error, error.path, "these predictions are made again")
            return None

    def store_predictions(self, benchmark: str, split: str, values: dict[str, Any]) -> None:
        self.stored.write_predictions(benchmark, split, values)

    def _drop(self, error: Damaged, path: Path, consequence: str) -> None:
        print(f"warning: {error}; {consequence}", file=sys.stderr)
        files.remove(path)
