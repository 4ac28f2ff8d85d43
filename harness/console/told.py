"""The sentence that tells an error which the user can mend, and the list of sentences that were told."""

from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from errors import UserError
from harness.store import disk

failures: list[str] = []  # sentences told by this process; if there are any, its exit code is 1


def sentence(error: Exception) -> str | None:
    """What to tell the user; None for a bug, which keeps its traceback."""
    if isinstance(error, OmegaConfBaseException):
        return " ".join(_without_wrapping(error).split())
    if disk.refuses(error):
        return disk.sentence(error)
    return " ".join(str(error).split()) if isinstance(error, UserError) else None


def _without_wrapping(error: OmegaConfBaseException) -> str:
    """The message without OmegaConf's own words: what a resolver said, or the key of a value that has to be given."""
    message = str(error).split("\n")[0]
    _, open_value, key = message.rpartition("Missing mandatory value: ")
    if open_value:
        key = error.full_key if isinstance(error, MissingMandatoryValue) else key
        return f"{key} has to be given: {key}=..."
    return message.split(" raised while resolving interpolation: ")[-1]
