"""Where the rows of text tasks of one's own are: local files, with the columns named in the configuration.

Training rows come from one file. Validation and test rows come from files of their own or, where there are none, from
shares of the training file that are drawn with `data_seed`.
"""

import random
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from errors import DataError
from tasks import fingerprints
from tasks.base import DataFile, OwnBenchmark, SplitName
from tasks.reading.tables import Row, TableFile


class OwnText(OwnBenchmark):
    """What both tasks share: where the rows of each split are.

    train, validation, test: tables of local files (tasks/reading/ says how they are read); the last two may be None.
    validation_share, test_share: of the training table's rows, in (0, 1), held out where there is no such table.
    limit: keep the first so many examples of every split.
    """

    def __init__(
        self,
        *,
        train: str,
        validation: str | None,
        test: str | None,
        validation_share: float,
        test_share: float,
        data_seed: int,
        name: str,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit >= 1 (or null), not {limit}")
        for key, share in (("validation_share", validation_share), ("test_share", test_share)):
            if not (isinstance(share, float) and 0 < share < 1):
                raise ValueError(f"{key} is a share of the training rows between 0 and 1, not {share!r}")
        self.name = name
        self.data_seed = data_seed
        self.limit = limit
        self._files = {"train": TableFile(train)}
        self._shares: dict[SplitName, float] = {}
        for split, path, share in (("validation", validation, validation_share), ("test", test, test_share)):
            if path is None:
                self._shares[split] = share
            else:
                self._files[split] = TableFile(path)

    def fingerprint(self) -> str:
        files = {split: file.fingerprint() for split, file in self._files.items()}
        facts = [files, self._shares, self.data_seed if self._shares else None, self._facts()]
        facts += [{"limit": self.limit}] if self.limit is not None else []
        return fingerprints.of(*facts)

    @abstractmethod
    def _facts(self) -> list[Any]:
        """What determines the examples besides files, shares and seed."""

    def files(self) -> list[DataFile]:
        return [found for file in self._files.values() for found in file.files()]

    @property
    def notes(self) -> list[str]:
        return [note for file in self._files.values() for note in file.notes]

    def _usable(self, file: TableFile) -> list[Row]:
        """The rows of which examples can be made. Raises DataError where there are none."""
        return file.rows()

    @cached_property
    def _rows(self) -> dict[SplitName, list[tuple[str, Row]]]:
        """The rows of each split in file order, each with an id: its table's part and its number there."""
        rows = {split: self._usable(file) for split, file in self._files.items()}
        everything, held = rows["train"], dict[SplitName, list[Row]]()
        order = random.Random(f"{self.name} {self.data_seed}").sample(everything, len(everything))
        for split, share in self._shares.items():
            size = max(1, round(share * len(everything)))
            held[split], order = order[:size], order[size:]
        if not order:
            raise DataError(
                f"{self._files['train']} has {len(everything)} rows: too few to hold out {self._shares}; add rows, or "
                "name files: task.source.validation=FILE task.source.test=FILE"
            )
        chosen = {**rows, **held, "train": order}
        return {
            split: [(f"{'train' if split in held else split}-{row.index}", row) for row in _in_order(members)]
            for split, members in chosen.items()
        }

    def _kept(self, split: SplitName) -> list[tuple[str, Row]]:
        return self._rows[split][: self.limit]


def _in_order(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.index)
