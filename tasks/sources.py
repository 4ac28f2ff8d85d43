"""Where tables of examples are: a local file, or a file of a data set on the Hugging Face hub.

A hub file is looked for in the hub's cache and fetched into it where it is not there (`HF_HOME`, `HF_HUB_OFFLINE` and
the rest of huggingface_hub's variables hold), so `hf download` on a login node prepares a cluster without network.
"""

import errno
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tasks.base import DataError

FORMATS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}

Columns = Mapping[str, type]  # name -> type of every value; None is of no type


@dataclass(frozen=True)
class HubFile:
    """`file` (a path inside the data set's repository) at `revision`, a commit: a branch may change under a run key."""

    repo_id: str
    file: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repo_id}/{self.file} at revision {self.revision}"

    def fetch_command(self, local_dir: str | None = None) -> str:
        """The shell command that fetches it into the hub's cache, or into `local_dir`."""
        command = f"hf download {self.repo_id} {self.file} --repo-type dataset --revision {self.revision}"
        return f"{command} --local-dir {local_dir}" if local_dir else command

    def fingerprint(self) -> str:
        """SHA-256 of the identity; downloads nothing."""
        return hashlib.sha256(json.dumps([self.repo_id, self.file, self.revision]).encode()).hexdigest()

    def path(self) -> Path:
        """Where it lies on this machine, fetched if need be. Raises DataError."""
        try:
            return Path(hf_hub_download(self.repo_id, self.file, repo_type="dataset", revision=self.revision))
        except (HFValidationError, RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise DataError(f"the hub has no {self}, or asks for a login (`hf auth login`) to show it") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise  # of the cache's disk, not of the hub
            raise DataError(
                f"{self} is not in the hub's cache and the hub is not reachable; "
                f"where there is a network, `{self.fetch_command()}` fetches it"
            ) from error


@dataclass(frozen=True)
class Table:
    """Rows of named columns, in a HubFile or in a local json, jsonl, parquet or csv file.

    columns: alternatives, of which the first that the file has in full is read.
    published: where such a file can be had, for the message of one that is absent.
    """

    source: HubFile | str
    columns: Sequence[Columns]
    published: HubFile

    def fingerprint(self) -> str:
        """SHA-256 of a local file's content or of a hub file's identity. Raises DataError."""
        if isinstance(self.source, HubFile):
            return self.source.fingerprint()
        with self.path().open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def path(self) -> Path:
        """The file on this machine. Raises DataError."""
        if isinstance(self.source, HubFile):
            return self.source.path()
        path = Path(self.source).expanduser()
        if path.is_file():
            return path
        folder = f"data/{self.published.repo_id.rpartition('/')[2]}"
        raise DataError(
            f"no file {path} with the columns {self._wanted()}; "
            f"`{self.published.fetch_command(folder)}` fetches {folder}/{self.published.file}"
        )

    def rows(self) -> list[tuple[Any, ...]]:
        """Every row in file order, as the values of the columns in the order of `columns`. Raises DataError."""
        records = self._records()
        present = list(dict.fromkeys(name for record in records for name in record))
        for columns in self.columns:
            if columns.keys() <= set(present):
                return [self._row(record, number, columns) for number, record in enumerate(records, 1)]
        raise DataError(f"{self.source} has the columns {', '.join(present) or '(none)'}; expected {self._wanted()}")

    def _records(self) -> list[dict[str, Any]]:
        path = self.path()
        if path.suffix not in FORMATS:
            raise DataError(f"{path} is none of the formats {', '.join(FORMATS)}")
        if path.stat().st_size == 0:
            raise DataError(f"{self.source} is empty; expected the columns {self._wanted()}")
        try:
            # Streamed: no copy in the cache of `datasets`, and no lock on it among the runs of a sweep.
            builder = FORMATS[path.suffix]
            return list(datasets.load_dataset(builder, data_files=str(path), split="train", streaming=True))
        except (ValueError, TypeError, OSError, datasets.exceptions.DatasetsError) as error:
            where = _first_broken_line(path) or str(error).partition("\n")[0]
            raise DataError(f"{self.source} cannot be read as {FORMATS[path.suffix]}: {where}") from error

    def _row(self, record: Mapping[str, Any], number: int, columns: Columns) -> tuple[Any, ...]:
        for name, wanted in columns.items():
            if not isinstance(record.get(name), wanted):
                found = type(record.get(name)).__name__
                raise DataError(f"row {number} of {self.source}: {name!r} is {found}, expected {wanted.__name__}")
        return tuple(record[name] for name in columns)

    def _wanted(self) -> str:
        return " or ".join(", ".join(columns) for columns in self.columns)


def _first_broken_line(path: Path) -> str:
    """Where a json or jsonl file stops being one; empty for other formats and for sound files."""
    if FORMATS[path.suffix] != "json":
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    documents = text.split("\n") if path.suffix == ".jsonl" else [text]
    for number, document in enumerate(documents):
        try:
            if document.strip():
                json.loads(document)
        except json.JSONDecodeError as error:
            return f"line {number + error.lineno}: {error.msg}"
    return ""
