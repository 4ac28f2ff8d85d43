"""What is typed on a command line, as Hydra is to read it: text stays text, and flags may stand anywhere.

Hydra reads values by a grammar of its own, in which `123e456` is infinity, a comma makes a sweep, and = ( ) { } have a
meaning. The value of a setting that is text (harness/settings/limits.py) is quoted wherever that would make another of
it.
"""

import re
from collections.abc import Sequence
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from errors import SettingError
from harness.settings import limits

SEVERAL = {"-m", "--multirun"}
MODES = {*SEVERAL, "--run", "-r", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc"}
WITH_A_VALUE = {  # flags of Hydra
    "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--info",
    "-i", "--experimental-rerun",
}  # fmt: skip
FUNCTION = re.compile(r"\w+\(.*\)", re.DOTALL)  # of Hydra's, as choice(a, b), where Hydra knows it
OPENING, CLOSING, QUOTES = "([{", ")]}", "'\""


def arguments(typed: Sequence[str]) -> list[str]:
    """Flags first, then the settings, those that are text quoted where need be.

    Raises SettingError for what is no setting or cannot be read, and for several values where one run is asked for.
    """
    flags, settings = [], []
    for before, each in zip(["", *typed], typed, strict=False):
        (flags if each.startswith("-") or before in WITH_A_VALUE else settings).append(each)
    modes = [flag for flag in flags if flag in MODES]
    if len(modes) > 1:
        raise SettingError(f"{' '.join(modes)} do not go together: one at a time")
    several = not SEVERAL.isdisjoint(flags) or "hydra.mode=MULTIRUN" in settings
    return [*flags, *(forced(_setting(each, several)) for each in [*settings, *_titles(settings)])]


def forced(setting: str) -> str:
    """With ++ in the place of + before a key: an option that has come into a yaml may still be given with +."""
    key = setting.partition("=")[0]
    return f"+{setting}" if key.startswith("+") and not key.startswith("++") and "." in key else setting


def _titles(settings: Sequence[str]) -> list[str]:
    """A task or a model that is given a name is called so in tables and plots too, unless a label is given."""
    given = {each.partition("=")[0].lstrip("+") for each in settings}
    named = [of for of in ("task", "model") if f"{of}.name" in given and f"{of}.label" not in given]
    return [f"{of}.label=${{{of}.name}}" for of in named]


def _setting(argument: str, several: bool) -> str:
    key, equals, value = argument.partition("=")
    if not equals and not argument.startswith("~"):
        raise SettingError(f"{argument!r} is no setting; settings are given as NAME=VALUE, such as method=lora")
    if not argument.startswith("~") and limits.is_text(key.lstrip("+").partition("@")[0]):
        return f"{key}={_text(argument, value, several)}"
    parsed = _parsed(argument)
    if parsed is None:
        raise SettingError(
            f"{argument} cannot be read; a value with = ( ) {{ }} or the like is put in quotes of its own, inside "
            f"those of the shell: '{key}=\"{value}\"'"
        )
    if parsed.is_sweep_override() and not parsed.is_discrete_sweep():
        raise SettingError(f"{argument} has no values to run one after the other; give them: {key}=1,2,3")
    if parsed.is_sweep_override() and not several:
        raise SettingError(f"{argument} is several values, and so several runs: python run.py -m {argument} ...")
    return argument


def _text(argument: str, value: str, several: bool) -> str:
    """The value, quoted where Hydra would not read that text; null, interpolations and Hydra's functions stay."""
    parsed = _parsed(f"x={value}")
    if parsed is None or parsed.is_sweep_override():
        if parsed is not None and FUNCTION.fullmatch(value):
            return value
        if parsed is None and several and len(_split(value)) > 1:
            raise SettingError(
                f"{argument} cannot be read: with -m a comma separates the values of several runs; a text that has one "
                f"is put in quotes of its own, inside those of the shell: '{argument.partition('=')[0]}=\"{value}\"'"
            )
        return _each(argument, value) if several and parsed is not None else quoted(value)
    read = parsed.value()
    if isinstance(read, list):
        return f"[{_each(argument, value.strip()[1:-1])}]"
    if read is None or FUNCTION.fullmatch(value):
        return value
    as_typed = isinstance(read, str) and (read == value or "\\" in value or value[0] in QUOTES)
    return value if as_typed else quoted(value)


def _each(argument: str, values: str) -> str:
    return ",".join(_text(argument, each.strip(), False) for each in _split(values))


def quoted(text: str) -> str:
    """In Hydra's quotes, where backslashes count before a quote alone."""
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + (r"\'" if found[2] else ""), text) + "'"


def _split(value: str) -> list[str]:
    """At the commas that are in no brackets and no quotes; an empty text has no parts."""
    parts, depth, quote = [""], 0, ""
    for before, letter in zip(f" {value}", value, strict=False):
        if letter in QUOTES and before != "\\" and quote in ("", letter):
            quote = "" if quote else letter
        elif not quote:
            depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts if value else []


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _parsed(argument: str) -> Override | None:
    """None where Hydra cannot read it."""
    try:
        return _parser().parse_overrides([argument])[0]
    except OverrideParseException:
        return None
