"""The folder of one run.

config.yaml          the resolved configuration, for people to read; the record has the same for programs
checkpoint/          during training: what an interrupted run resumes from; see harness/train/checkpoints.py
adapter/             what was trained, and train.json (the record's `train` section); see harness/store/stored.py
predictions/         a JSON file for each benchmark and split, from which the scores are computed; see there
measured/            seconds and peak memory of adapter/ and predictions/, until the record has them; see there
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
    """A context in which the folder is locked, and that records how the run ended."""

    def __init__(self, path: Path, new_record: Record):
        self.path = path
        self.new_record = new_record
        self.stored = Stored(path, new_record)
        self.checkpoint, self.adapter = path / "checkpoint", self.stored.adapter
        self.record_path = path / record.FILE

    def prepare(self, force: bool) -> Record | None:
        """The record of the run if it is done. If not, config.yaml is written, and the run may begin or resume.

        A run that failed begins anew. Raises RecordError for a damaged record, which the user has to move away, and
        SettingError if the record that is there was made with another tokenizer, which the key does not contain.
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
        """Compares nothing where one of the two has no fingerprint: an old record, or a checkpoint of the hub."""
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
        """Gives the record to fill in. It is written when the block ends: as done, or as failed with the reason.

        If a run fails before `begin`, nothing of it stays. If the disk stops it, it stays `running`, and the same
        command goes on with it. Raises SettingError if a finished run has no adapter any more, and RecordError if that
        is damaged, since predictions of another training would be mixed with those of the first.
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
        """Write a record with status `running`, unless an evaluation is being added to a finished run.

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
        """Remove the folder of a run that never began, and parents that are empty without it."""
        if not self.created:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # a parent that is not empty; another process may write there at this moment
            for parent in self.path.parents[:5]:
                parent.rmdir()

    def _clear(self) -> None:
        """Remove everything that an earlier run left, except the lock."""
        for path in self.path.iterdir():
            if path.name != lock.NAME:
                files.remove(path)

    def finish_training(self, model: nn.Module, train: dict[str, Any]) -> None:
        """Write adapter/, then remove the checkpoints."""
        self.stored.write_adapter(model, train)
        files.remove(self.checkpoint)

    def train_section(self) -> dict[str, Any] | None:
        """The `train` section of a finished training, or None. A damaged adapter is removed and will be trained again.

        Raises RecordError for a damaged adapter of a run that is done, because its scores are those of that adapter.
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
        """What was stored, or None. Damaged predictions are removed and will be made again."""
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
