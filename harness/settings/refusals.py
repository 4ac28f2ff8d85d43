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
    return _package(_places(error)[-1])


def was_raised(error: BaseException) -> bool:
    """Whether the error came from a `raise` statement, or torch's word for one, not from an operation that failed."""
    place = _places(error)[-1]
    return _is_torchs_raise(place.tb_next) or place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def _places(error: BaseException) -> list[TracebackType]:
    """From the outermost call to where the error began, without what torch does in its word for `raise`."""
    places = [error.__traceback__]
    while (within := places[-1].tb_next) is not None and not _is_torchs_raise(within):
        places.append(within)
    return places


def _is_torchs_raise(place: TracebackType | None) -> bool:
    """Whether it is in torch._check and its like, which raise what their caller's condition is there to find."""
    return place is not None and _package(place) == "torch" and place.tb_frame.f_code.co_name.startswith("_check")


def _package(place: TracebackType) -> str:
    return str(place.tb_frame.f_globals.get("__name__")).partition(".")[0]
