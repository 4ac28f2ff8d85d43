"""What a run keeps besides its record: adapter/, predictions/ and measured/. Each file is checked when it is read.

adapter/train.json   {schema, key, seed, files: {name: SHA-256} of the files beside it, train: the record's section
                     without what is measured, sha256}
adapter/config.json  of a classifier, with the names of the classes; see harness/store/trained.py
predictions/*.json   {schema, key, seed, benchmark, split, data, generated_tokens, rows, warnings if there were any,
                     sha256}; a row: {id, prediction, gold, and of classes with names predicted_class, gold_class}.
                     The id of a row of one's own file has the split of that file and the row's number in it: test-17.
measured/*.json      {schema, key, seed, of: "adapter" or the name of a file of predictions, sha256} and the MEASURED
                     numbers of it, for the record of a run that is interrupted before it is done

Two runs of one key on one machine differ by what is measured alone, so their adapter/ and predictions/ have the same
bytes. Files of earlier versions have the numbers in themselves.

If the record has a file's SHA-256, that decides whether the file is used. If not, the file must have a seal that fits
its content and must name this run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from errors import Damaged
from harness.store import files, trained
from harness.store.record import Record

TRAIN = "train.json"
MEASURED = ("seconds", "step_seconds", "step_times", "peak_bytes")  # what no two runs have alike
PREDICTED = {"data", "generated_tokens", "rows"}


class Stored:
    """In folder `path`, of the run of `record`, whose `files` gets the SHA-256 of each file that is written or read."""

    def __init__(self, path: Path, record: Record):
        self.path, self.record = path, record
        self.adapter, self.predictions, self.measured = (path / name for name in ("adapter", "predictions", "measured"))

    def write_adapter(self, model: nn.Module, train: Mapping[str, Any]) -> None:
        """adapter/ with weights and numbers. Predictions of an earlier training are removed."""
        for earlier in (self.predictions, self.measured):
            files.remove(earlier)
        section = self._keep_measured("adapter", train)

        def fill(folder: Path) -> None:
            trained.save(model, folder)
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
            section["trained_bytes"] = files.folder_bytes(folder)
            trained.save_configuration(model, folder)
            files.write_sealed(folder / TRAIN, {**self._of(), "files": files.sums(folder), "train": section})

        files.write_folder(self.adapter, fill)

    def train_section(self) -> dict[str, Any] | None:
        """Of a finished training whose files are all as they were; None where there is none. Raises Damaged."""
        path = self.adapter / TRAIN
        if not path.exists():
            return None
        content = self._read(path, self._of())
        section, expected = content["train"], content["files"]
        recorded = self.record.files.items()
        expected |= {n.removeprefix("adapter/"): digest for n, digest in recorded if n.startswith("adapter/")}
        found = files.checked_sums(self.adapter, expected)
        if self.record.status == "done" and section.get("loss") != self.record.train.get("loss"):
            raise Damaged(path, "its losses are not those of the record")
        section = self._with_measured("adapter", section, self.record.train)
        self.record.files |= {f"adapter/{name}": digest for name, digest in found.items()}
        return section

    def write_predictions(self, benchmark: str, split: str, values: Mapping[str, Any]) -> None:
        path = self._predictions_path(benchmark, split)
        # The numbers first: predictions that are there have theirs, whenever the process is killed.
        values = self._keep_measured(path.stem, values)
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
        content = self._with_measured(path.stem, content, self.record.scores.get(benchmark, {}).get(split, {}))
        self._note(path)
        return content

    def _predictions_path(self, benchmark: str, split: str) -> Path:
        return self.predictions / f"{benchmark}-{split}.json"

    def _of(self, **more: str) -> dict[str, Any]:
        return {"key": self.record.key, "seed": self.record.run["seed"], **more}

    def _keep_measured(self, of: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write what of `values` is measured to a file of its own, and return the rest."""
        numbers = {name: value for name, value in values.items() if name in MEASURED}
        files.write_sealed(self.measured / f"{of}.json", {**self._of(of=of), **numbers})
        return {name: value for name, value in values.items() if name not in MEASURED}

    def _with_measured(self, of: str, values: dict[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
        """`values` with what was measured. It is in them, if an earlier version wrote them; in the record, once the run
        is done; and until then in a file of its own.

        recorded: the record's section on `of`, which may be empty. Raises Damaged.
        """
        for numbers in (values, recorded):
            if found := {name: numbers[name] for name in MEASURED if name in numbers}:
                return values | found
        apart = files.read_sealed(self.measured / f"{of}.json", self._of(of=of))
        return values | {name: apart[name] for name in MEASURED if name in apart}

    def _read(self, path: Path, of: Mapping[str, Any]) -> dict[str, Any]:
        recorded = self.record.files.get(self._name(path))
        if recorded is None:
            return files.read_sealed(path, of)
        content = files.read_json(path)
        if recorded != files.sha256(path):
            raise Damaged(path, f"its SHA-256 is not {recorded}, which the record has")
        return content

    def _note(self, path: Path) -> None:
        self.record.files[self._name(path)] = files.sha256(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()
