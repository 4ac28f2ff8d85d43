"""README and docs: links lead somewhere, commands and options exist, sentences have the numbers of the tables."""

import re
import shlex
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT

TABLES = ROOT / "analysis" / "output" / "tables"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "findings" / "README.md", *(ROOT / "docs").glob("*.md")]
LINES, WIDTH = 180, 120
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r"\+?([a-z]\w*(?:[./][a-z_]\w*)*)=(.*)", re.DOTALL)
NOT_OF_HYDRA = {  # SvftConfig's, PEFT's, Python's
    "pattern", "preset", "form", "keep_weight", "factor_dtype", "save_basis", "scaled", "share", "target_modules",
    "adapter_names", "autocast_adapter_dtype",
}  # fmt: skip
TABLE = re.compile(r"<!-- table:.*?<!-- end -->", re.DOTALL)


def prose(page: Path) -> str:
    return FENCE.sub("", TABLE.sub("", page.read_text(encoding="utf-8")))


def code(page: Path) -> list[str]:
    """Lines of the shell in fences without a language, and what stands between backticks."""
    fenced = [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if not language]
    lines = [line for body in fenced for line in body.replace("\\\n", " ").splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_fit_a_window(page):
    for line in prose(page).splitlines():
        assert len(line) <= WIDTH or line.startswith(("|", "![")), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_to_a_file_and_its_heading(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_make_target_that_is_named_exists():
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in code(page):
            if line.startswith("make "):
                words = [word for word in shlex.split(line, comments=True)[1:] if re.fullmatch("[a-z-]+", word)]
                assert set(words) <= known, line


def test_every_module_and_script_that_is_named_exists():
    named = {found for page in PAGES for line in code(page) for found in re.findall(r"python (?:-m )?([\w./]+)", line)}
    assert {"run.py", "cluster", "harness.predict", "tasks.audit", "examples/trainer.py"} <= named
    for name in named:
        path = ROOT / (name if name.endswith(".py") else name.replace(".", "/"))
        assert (
            path.is_file() or path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() or name == "pytest"
        )


@cache
def options() -> set[str]:
    """Dotted names of everything that the yamls below conf/ state, each group at its place in the configuration."""
    found = set()
    for file in (ROOT / "conf").rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        package = re.match(r"# @package (\S+)", text)
        group = ".".join(file.relative_to(ROOT / "conf").parent.parts)
        found |= _names(yaml.safe_load(text) or {}, "" if package and package[1] == "_global_" else group)
    return found


def _names(node: object, place: str) -> set[str]:
    names = {place}
    for key, value in node.items() if isinstance(node, dict) else ():
        names |= _names(value, f"{place}.{key}".strip("."))
    return names


def settings(line: str) -> list[tuple[str, str]]:
    """Name and value of each `name=value` among the words of a command, without a `+` before it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # no command: a quotation mark in a formula
        return []
    return [(found[1], found[2]) for word in words if (found := SETTING.fullmatch(word))]


def test_every_option_of_a_command_is_one_of_the_configuration():
    seen = set()
    for page in PAGES:
        for line in code(page):
            for name, value in settings(line):
                assert is_option(name, value), f"{page.name}: {name}={value}"
                seen.add(name)
    assert {"method", "task", "model.checkpoint", "task.source.gold_after", "hydra.launcher.partition"} <= seen


def is_option(name: str, value: str) -> bool:
    """Of a group its choices are looked up, too."""
    group = ROOT / "conf" / name
    if group.is_dir():
        return all((group / f"{choice}.yaml").exists() for choice in value.split(",") if choice)
    return name in options() | NOT_OF_HYDRA


# --- sentences -------------------------------------------------------------------------------------------------------


def score(metric: str, label: str, column: str = "reproduced") -> str:
    frame = pd.read_csv(TABLES / "comparison.csv")
    (row,) = frame[(frame["metric"] == metric) & (frame["label"] == label)].to_dict("records")
    return f"{row[column]:,}" if column == "params" else f"{100 * row[column]:.1f}"


def measured(table: str) -> pd.DataFrame:
    """Of the processor whose targets docs/speed.md shows."""
    (device,) = re.findall(r"<!-- table:(bench_cpu-\S+)_targets -->", (ROOT / "docs" / "speed.md").read_text("utf-8"))
    return pd.read_csv(TABLES / f"{device}_{table}.csv")


def block() -> pd.DataFrame:
    frame = measured("steps")
    return frame[frame["panel"].str.startswith("block")]


def slowest(tokens: int) -> str:
    """Of SVFT's patterns with W0 kept, at so many tokens a step or more."""
    frame = block()
    svft = frame[frame["label"].str.fullmatch(r"SVFT-[PBR]( \(d=16\))?") & (frame["tokens"] >= tokens)]
    return f"{svft['ratio'].max():.2f}"


def fastest_and_slowest_of_minilm(tokens: int) -> str:
    frame = measured("steps")
    svft = frame[frame["label"].str.fullmatch(r"SVFT-[PBR]( \(d=\d+\))?") & (frame["tokens"] >= tokens)]
    ratios = svft[svft["panel"].str.startswith("encoder")]["ratio"]
    return f"{ratios.min():.2f} to {ratios.max():.2f}"


def whole_run(part: str) -> str:
    return f"{measured('runs').set_index('part').loc[part, 'value']:.2f}"


def step(label: str, tokens: int) -> str:
    frame = block()
    (row,) = frame[(frame["label"] == label) & (frame["tokens"] == tokens)].to_dict("records")
    return f"{row['ratio']:.2f}"


def level_with_lora() -> int:
    """On micro-GSM, where each SVFT of the comparison is worse."""
    frame = pd.read_csv(TABLES / "comparison.csv")
    own = frame[(frame["metric"] == "micro-GSM") & frame["reproduced"].notna()]
    assert set(own[own["label"].str.startswith("SVFT")]["verdict"]) == {"worse"}
    return (own["verdict"] == "tie").sum()


def findings() -> list[str]:
    gsm, digits = "micro-GSM", "digits"
    counts = pd.read_csv(TABLES / "params.csv")["match"]
    wrong = (counts == "no").sum()
    errata = pd.read_csv(TABLES.parent / "errata.csv")
    recovered = errata[errata["where"].str.contains("at most 85 %") & ~errata["holds"]]["computed"].item()
    return [
        f"SVFT-R (d=8) reaches {score(gsm, 'SVFT-R (d=8)')} % with {score(gsm, 'SVFT-R (d=8)', 'params')} parameters",
        f"LoRA (r=8) reaches {score(gsm, 'LoRA (r=8)')} % with {score(gsm, 'LoRA (r=8)', 'params')}",
        f"OFT (b=16) {score(gsm, 'OFT (b=16)')} % with {score(gsm, 'OFT (b=16)', 'params')}",
        f"SVFT-P reaches {score(gsm, 'SVFT-P')} %, SVF {score(gsm, 'SVF')} % and VectorFit {score(gsm, 'VectorFit')} %",
        f"SVFT-T (d=8) reaches {score(digits, 'SVFT-T (d=8)')} %, {score(digits, 'SVFT-T (d=8)', 'difference')} points",
        f"SVFT-P reaches {score(digits, 'SVFT-P')} % with {score(digits, 'SVFT-P', 'params')} parameters",
        f"LoRA is better than every SVFT of d = 8, and {level_with_lora()} other methods are level with it",
        f"{len(counts) - wrong} of {len(counts)} printed counts come out of the code; the other {wrong}",
        f"{(~errata['holds'] & (errata['kind'] == 'claim')).sum()} claims of the paper contradict its own tables",
        f"Of {len(errata)} checks of all kinds {(~errata['holds']).sum()} fail",
        f"Table 8 gives {recovered}",
        f"a step of a decoder's block takes at most {slowest(1024)} times that of LoRA (r=32)",
        f"one of MiniLM {fastest_and_slowest_of_minilm(1024)} times that of LoRA (r=8)",
        f"as released up to {step('SVFT-R (d=16), released formula', 1024)} times",
        f"A whole default run takes {whole_run('whole')} times LoRA's, one of MiniLM {whole_run('minilm')}",
        f"At 256 tokens a step SVFT-R (d=16) takes {step('SVFT-R (d=16)', 256)} times",
    ]


def test_sentences_of_the_readme_have_the_numbers_of_the_tables():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert [sentence for sentence in findings() if sentence not in text] == []
