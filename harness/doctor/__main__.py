"""Is this machine ready? One page: what is well, what to know, what to mend and how. Nothing is started or fetched.

python -m harness.doctor                                  the machine
python -m harness.doctor experiment=table1                and what the runs of a table load
python -m harness.doctor model=gemma2b task=gsm8k         and what one run loads
python -m harness.doctor --json                           for programs

Ends with 0 where there is no problem, with 1 elsewhere.
"""

import argparse
import json
import sys
import textwrap
from collections import Counter
from functools import partial
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.text import Text

from errors import SettingError, UserError
from harness.doctor import machine, needs, services, software
from harness.doctor.checks import Finding, Section, examine
from harness.plan import config
from harness.settings import hints, limits
from harness.settings.hints import CONF
from harness.settings.typed import arguments
from svft.decomposition import cache

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
INDENT = 11  # columns before a sentence
OF_NEEDS = 60  # seconds

Page = dict[str, list[Finding]]


def examined(overrides: list[str]) -> Page:
    """Sections by their titles. Raises what a wrong override raises."""
    runs, cfgs = records_folder(overrides), needs.configurations(overrides)
    missing = needs.missing_bytes(cfgs) if overrides else 0
    disks = [
        partial(machine.disk, name, folder, missing if name == "hub's cache" else 0)
        for name, folder in machine.places(runs, cache.folder())
    ]
    m, p, s = machine, software, services
    sections = [
        Section("Software", (p.python, p.packages, m.code, m.encoding)),
        Section("Devices", (m.processor, m.gpus, m.compiler, m.shared_memory, m.limits)),
        Section("Disks", disks),
        Section("Services", (s.hub, s.token, s.wandb, s.slurm)),
    ]
    page = {section.title: examine(section) for section in sections}
    loaded = Section(
        f"What {' '.join(overrides) or 'the default run'} loads",
        (partial(needs.checkpoints, cfgs), partial(needs.data, cfgs)),
    )
    return page | {loaded.title: examine(loaded, OF_NEEDS)}


def records_folder(overrides: list[str]) -> Path:
    """Where a run would put its record. Raises SettingError for what is no override, and no name of a folder."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as error:
        raise SettingError(
            f"{error.override!r} is no override; it takes experiment=NAME, or what run.py takes, as model=NAME"
        ) from error
    own = [each.input_line for each in parsed if each.key_or_group == "runs_dir"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        named = OmegaConf.to_container(compose("config", overrides=own))["runs_dir"]
    limits.check({"runs_dir": named})
    return Path(named)


def show(page: Page, console: Console) -> None:
    for title, findings in page.items():
        console.print(Text(f"\n{title}", style="bold"))
        for finding in findings:
            first, *others = textwrap.wrap(finding.what, max(console.width - INDENT, 40), break_on_hyphens=False)
            console.print(Text.assemble("  ", (f"{finding.verdict:<9}", STYLES[finding.verdict]), first))
            for line in others:
                console.print(Text(" " * INDENT + line))
            if finding.remedy:  # in one piece, however long, to be copied
                console.print(Text(" " * INDENT + f"-> {finding.remedy}", style="cyan"), soft_wrap=True)
    counts = Counter(finding.verdict for findings in page.values() for finding in findings)
    console.print(Text(f"\n{counts['ok']} ok, {counts['note']} to know, {counts['problem']} to mend"))


def as_json(page: Page) -> str:
    findings = [{"section": title, **vars(finding)} for title, found in page.items() for finding in found]
    return json.dumps({"problems": problems(page), "findings": findings}, indent=1)


def problems(page: Page) -> int:
    return sum(finding.verdict == "problem" for findings in page.values() for finding in findings)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harness.doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="as of run.py: experiment=NAME, or the choices of one run")
    parser.add_argument("--json", action="store_true", help="findings for programs")
    a = parser.parse_args()
    config.register_resolvers()
    try:
        page = examined(arguments(a.overrides))
    except (HydraException, OmegaConfBaseException, UserError) as error:
        print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
        if not isinstance(error, UserError):
            for sentence in hints.sentences(a.overrides):
                print(f"error: {sentence}", file=sys.stderr)
        return 1
    if a.json:
        print(as_json(page))
    else:
        show(page, Console(highlight=False))
    return 1 if problems(page) else 0


if __name__ == "__main__":
    sys.exit(main())
