"""What can go wrong that a user can mend: each of these is told in one sentence, and the command ends with 1.

Any other exception is a bug, of this project or of a library, and keeps its traceback. `svft` and `baselines` raise
what PEFT would; harness/settings/refusals.py finds out which of that refuses a setting. harness/console/told.py makes
the sentence, of errors of the disk and of OmegaConf as well.
"""

from pathlib import Path


class UserError(Exception):
    """The message is one sentence, which names what is wrong and the remedy."""


class SettingError(UserError):
    """A value of the configuration that cannot be used; the message names the key and the values that can be."""


class RoleError(SettingError):
    """A role letter that this model does not have, or that matches other layers than its yaml states."""


class DataError(UserError):
    """The data are not there or not as described; the message names the file."""


class MissingData(DataError):
    """A file is not there."""


class ModelError(UserError):
    """A checkpoint that is not there, or not of the stated architecture."""


class RecordError(UserError):
    """A record that cannot be used; the message names the file."""


class Damaged(UserError):
    """A file that has changed since it was written, or is in another run's folder."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.reason}"


class DiskError(UserError):
    """The disk cannot be written; the message names the place and the reason. Nothing there has changed."""


class Busy(UserError):
    """Another process is doing this run."""


class OfAllRanks(UserError):
    """Found by all ranks of a run together, so that each of them raises it (see harness/ranks/distributed.py)."""

    on_all_ranks = True


class Diverged(OfAllRanks):
    """The loss of one rank or more is not finite, or a weight that it led to."""

    def __init__(self, step: int, what: str = "the loss"):
        super().__init__(f"{what} is not a finite number at step {step}")
        self.step = step


class NotFinite(OfAllRanks):
    """A prediction of the model is not a number, as after a training that diverged."""


class DoesNotAct(OfAllRanks, SettingError):
    """Something that is trained and counted has no effect in training or in evaluation."""
