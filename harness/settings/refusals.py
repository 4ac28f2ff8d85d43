"""Whether an error of code that was given settings says no to one of them, or is a bug.

PEFT, and methods and tasks in its manner, refuse a setting with `raise ValueError("...")`. A bug of theirs may be a
ValueError as well: numbers that torch or NumPy cannot put together, a text that is no number, too few values to unpack.
What tells them apart is where the error began: at a `raise` statement of the code that was given the settings.
"""

import dis
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import TracebackType

from errors import SettingError

REFUSALS = (ValueError, TypeError, NotImplementedError)
_RAISE = dis.opmap["RAISE_VARARGS"]


def packages_of(kind: type) -> set[str]:
    """Whose code a class is, with the packages of the classes that it extends: `peft`, `svft`."""
    return {each.__module__.partition(".")[0] for each in kind.__mro__}


@contextmanager
def told(packages: Collection[str]) -> Iterator[None]:
    """Around code of these packages: what it refuses becomes a SettingError of one line; a bug is raised as it is."""
    try:
        yield
    except REFUSALS as error:
        if not is_refusal(error, packages):
            raise
        raise SettingError(" ".join(str(error).split())) from error


def is_refusal(error: BaseException, packages: Collection[str]) -> bool:
    """Whether it is one of REFUSALS, and comes from a `raise` statement in code of these packages."""
    return isinstance(error, REFUSALS) and began_in(error) in packages and was_raised(error)


def began_in(error: BaseException) -> str:
    """The package of the code in which the error began."""
    return str(_last(error).tb_frame.f_globals.get("__name__")).partition(".")[0]


def was_raised(error: BaseException) -> bool:
    """Whether the error came from a `raise` statement, not from an operation that failed."""
    place = _last(error)
    return place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def _last(error: BaseException) -> TracebackType:
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    return place
