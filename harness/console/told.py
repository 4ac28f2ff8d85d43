"""What is told of an error: one sentence of those that the user mends, nothing of a bug; and what has been told."""

from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from errors import UserError
from harness.store import disk

failures: list[str] = []  # sentences told by this process; with any of them it ends with 1


def sentence(error: Exception) -> str | None:
    """What to tell the user; None of a bug."""
    if isinstance(error, OmegaConfBaseException):
        return " ".join(_without_wrapping(error).split())
    if disk.refuses(error):
        return disk.sentence(error)
    return " ".join(str(error).split()) if isinstance(error, UserError) else None


def _without_wrapping(error: OmegaConfBaseException) -> str:
    """The message of what a resolver raised, without OmegaConf's words around it; of a value left open, its key."""
    message = str(error).split("\n")[0]
    _, open_value, key = message.rpartition("Missing mandatory value: ")
    if open_value:
        key = error.full_key if isinstance(error, MissingMandatoryValue) else key
        return f"{key} has to be given: {key}=..."
    return message.split(" raised while resolving interpolation: ")[-1]
