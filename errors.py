"""What can go wrong that a user mends: each of these is told in its one sentence, and the command ends with 1.

Any other exception is a bug, of this project or of a library, and keeps its traceback.
"""

from pathlib import Path


class UserError(Exception):
    """The message is one sentence: it names what is wrong and the remedy."""


class SettingError(UserError):
    """A value of the configuration that cannot be used; the message names the key and what it may be."""


class RoleError(SettingError):
    """A role letter that this model has not, or that matches other layers than its yaml states."""


class DataError(UserError):
    """The data are not there or not as described; the message names the file."""


class MissingData(DataError):
    """A file is not there."""


class ModelError(UserError):
    """A checkpoint that is not there or not of the stated architecture."""


class RecordError(UserError):
    """A record that cannot be used; the message names the file."""


class Damaged(UserError):
    """A file that is not as it was written, or not where it belongs."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.reason}"


class DiskError(UserError):
    """The disk refuses; the message names the place and the reason. What it holds is as it was before."""


class Busy(UserError):
    """Another process is at this run."""


class OfAllRanks(UserError):
    """What all ranks of a run find out together, so that each of them raises it (see harness/ranks/distributed.py)."""

    on_all_ranks = True


class Diverged(OfAllRanks):
    """The loss, on one rank or more, or what it led to, is not finite."""

    def __init__(self, step: int, what: str = "the loss"):
        super().__init__(f"{what} is not a finite number at step {step}")
        self.step = step


class NotFinite(OfAllRanks):
    """The model predicts something that is not a number, as after a training that diverged."""


class DoesNotAct(OfAllRanks, SettingError):
    """What would be trained and counted takes no part in training or in evaluation."""
