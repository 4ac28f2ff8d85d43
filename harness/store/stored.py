"""What a run keeps besides its record: adapter/ and predictions/, sealed when written and checked when read.

adapter/train.json   {schema, key, seed, files: {name: SHA-256} of the files beside it, train: the record's section,
                     sha256}
adapter/config.json  of a classifier, with the names of the classes; see harness/store/trained.py
predictions/*.json   {schema, key, seed, benchmark, split, data, seconds, generated_tokens, rows, warnings if there were
                     any, sha256}; a row: {id, prediction, gold, and of classes with names predicted_class, gold_class}.
                     The id of a row of one's own file has the split of that file and the row's number in it: test-17.

A file is used if it is the one whose SHA-256 the record has; where the record says nothing of it, if its seal is whole
and names this run. Beside a record of schema 1, which is older than seals, a file without one is used as it is.
"""

from pathlib import Path
from typing import Any

from torch import nn

from errors import Damaged
from harness.store import files, trained
from harness.store.record import Record

TRAIN = "train.json"
PREDICTED = {"data", "seconds", "generated_tokens", "rows"}


class Stored:
    """In folder `path`, of the run of `record`, whose `files` gets the SHA-256 of each file that is written or read."""

    def __init__(self, path: Path, record: Record):
        self.path, self.record = path, record
        self.adapter, self.predictions = path / "adapter", path / "predictions"

    def write_adapter(self, model: nn.Module, train: dict[str, Any]) -> None:
        """adapter/ whole, weights and numbers together. Predictions of an earlier training go."""

        def fill(folder: Path) -> None:
            trained.save(model, folder)
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
            train["trained_bytes"] = files.folder_bytes(folder)
            trained.save_configuration(model, folder)
            files.write_sealed(folder / TRAIN, {**self._of(), "files": files.sums(folder), "train": train})

        files.remove(self.predictions)
        files.write_folder(self.adapter, fill)

    def train_section(self) -> dict[str, Any] | None:
        """Of a finished training whose files are all as they were; None where there is none. Raises Damaged."""
        path = self.adapter / TRAIN
        if not path.exists():
            return None
        content = self._read(path, self._of())
        sealed = content.get("schema") == files.SEALED
        section, expected = (content["train"], content["files"]) if sealed else (content, {})
        recorded = self.record.files.items()
        expected |= {n.removeprefix("adapter/"): digest for n, digest in recorded if n.startswith("adapter/")}
        found = files.checked_sums(self.adapter, expected)
        if self.record.status == "done" and section.get("loss") != self.record.train.get("loss"):
            raise Damaged(path, "its losses are not those of the record")
        self.record.files |= {f"adapter/{name}": digest for name, digest in found.items()}
        return section

    def write_predictions(self, benchmark: str, split: str, values: dict[str, Any]) -> None:
        path = self._predictions_path(benchmark, split)
        files.write_sealed(path, {**self._of(benchmark=benchmark, split=split), **values})
        self._note(path)

    def read_predictions(self, benchmark: str, split: str) -> dict[str, Any] | None:
        """None where there are none. Raises Damaged."""
        path = self._predictions_path(benchmark, split)
        if not path.exists():
            return None
        content = self._read(path, self._of(benchmark=benchmark, split=split))
        if missing := PREDICTED - content.keys():
            raise Damaged(path, f"it has no {', '.join(sorted(missing))}")
        self._note(path)
        return content

    def _predictions_path(self, benchmark: str, split: str) -> Path:
        return self.predictions / f"{benchmark}-{split}.json"

    def _of(self, **more: str) -> dict[str, Any]:
        return {"key": self.record.key, "seed": self.record.run["seed"], **more}

    def _read(self, path: Path, of: dict[str, Any]) -> dict[str, Any]:
        content = files.read_sealed(path, of)
        recorded = self.record.files.get(self._name(path))
        if recorded is not None:
            if recorded != files.sha256(path):
                raise Damaged(path, f"its SHA-256 is not {recorded}, which the record has")
        elif content.get("schema") != files.SEALED and self.record.schema == files.SEALED:
            raise Damaged(path, "it has no seal, and the record does not have its SHA-256")
        return content

    def _note(self, path: Path) -> None:
        self.record.files[self._name(path)] = files.sha256(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()
