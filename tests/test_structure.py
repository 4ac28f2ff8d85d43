"""The house of the design: rooms import only from rooms to their left, and every yaml names code that exists."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "svft": set(),
    "baselines": {"svft"},
    "tasks": set(),
    "harness": {"tasks", "svft.acting", "svft.decomposition.cache"},  # which know tuners of PEFT, whichever they are
    "papers": {"harness", "svft"},
    "bench": {"svft", "harness"},
    "cluster": {"tasks", "harness", "run"},
    "hydra_plugins": {"harness", "cluster"},
    "analysis": {"harness.store.record", "harness.store.identity", "harness.store.files", "harness.store.disk"},
    "assets": {"tasks", "harness.store.files", "harness.store.disk", "harness.store.provenance"},
    "examples": {"svft", "baselines"},
}
# The house from left to right: each may import from what stands before it, and MAY_IMPORT says from which of that.
HOUSE = (
    "errors", "svft", "baselines", "tasks", "harness", "run", "cluster", "hydra_plugins", "papers", "bench", "analysis",
    "assets", "examples", "tests",
)  # fmt: skip
INSTALLED_ALONE = ("svft", "baselines", "examples")  # without errors.py, so they raise what PEFT would
ROOMS = {*MAY_IMPORT, "run", "tests"}
HARNESS = (  # each imports from those before it
    "settings", "layers", "store", "console", "ranks", "models", "adapters", "generate", "modality", "train",
    "retention", "plan", "run", "sweep", "finished", "fusion", "doctor",
)  # fmt: skip
TASKS = ("metrics", "reading", "splits", "scoring", "micro", "own")  # each imports from those before it
BESIDE_THEM = {"audit", "base", "fingerprints", "prompts"}  # besides the modules that a `_target_` names
ANALYSIS = (  # the same
    "writing", "load", "statistics", "checks", "pages", "figures", "methods", "energy", "content", "report",
)  # fmt: skip
OF_A_ROOM = 9  # files
SVFT_ROOMS = {"decomposition": set(), "arithmetic": set(), "basis": {"decomposition"}}  # and what each may import
SVFT_NEEDS = {"torch", "peft", "transformers", "safetensors", "numpy", "tqdm"}  # all come with torch and peft


@cache
def imported(path: Path) -> set[str]:
    """Names that the file imports, at its top and in functions; relative ones in full. Not what types alone need."""
    names = set()
    package = path.relative_to(ROOT).parent.parts
    for node in walked(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            within = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*within, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def walked(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from walked(child)


@cache
def modules() -> dict[str, Path]:
    """Every module of the house by its name, a package by the name of its folder."""
    paths = [*ROOT.glob("*.py"), *(path for folder in folders() for path in (ROOT / folder).rglob("*.py"))]
    parts = {path: path.relative_to(ROOT).with_suffix("").parts for path in paths}
    return {".".join(p[:-1] if p[-1] == "__init__" else p): path for path, p in parts.items()}


def folders() -> list[str]:
    """Those that hold code."""
    return [path.name for path in ROOT.iterdir() if path.name[0] != "." and path.is_dir() and any(path.rglob("*.py"))]


def module_of(name: str) -> str | None:
    """The module of the house that is imported by this name, or whose content is; None of a library's."""
    return next((found for found in (name, name.rpartition(".")[0]) if found in modules()), None)


def test_every_folder_and_script_has_its_place_in_the_house():
    assert {*folders(), *(path.stem for path in ROOT.glob("*.py"))} <= set(HOUSE)
    for name, allowed in MAY_IMPORT.items():
        assert {each.partition(".")[0] for each in allowed} <= set(HOUSE[: HOUSE.index(name)]), name
    assert {name.partition(".")[0] for name in imported(ROOT / "run.py")} & set(HOUSE) == {"harness"}
    assert not {name.partition(".")[0] for name in imported(ROOT / "errors.py")} & set(HOUSE)


def test_no_modules_import_each_other_in_a_circle():
    """Tests and their helpers, and what is imported inside functions, included. CycleError names the circle."""
    graph = {name: {module_of(each) for each in imported(path)} - {None, name} for name, path in modules().items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph) > 400


def test_what_is_installed_alone_needs_nothing_of_the_rest():
    for name, path in modules().items():
        if name.partition(".")[0] in INSTALLED_ALONE:
            assert not {each.partition(".")[0] for each in imported(path)} & (set(HOUSE) - set(INSTALLED_ALONE)), path


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_from_rooms_to_its_left(room):
    for path in (ROOT / room).rglob("*.py"):
        for name in imported(path):
            if name.split(".")[0] in ROOMS - {room}:
                assert any(f"{name}.".startswith(f"{allowed}.") for allowed in MAY_IMPORT[room]), f"{path}: {name}"


@pytest.mark.parametrize("room", HARNESS)
def test_a_room_of_the_harness_imports_only_from_those_before_it(room):
    allowed = HARNESS[: HARNESS.index(room) + 1]
    for path in (ROOT / "harness" / room).rglob("*.py"):
        for name in imported(path):
            if name.split(".")[0] == "harness":
                assert name.split(".")[1] in allowed, f"{path}: {name}"


def test_rooms_of_the_harness_are_small_and_beside_them_are_commands_alone():
    assert {path.name for path in (ROOT / "harness").iterdir() if path.is_dir()} - {"__pycache__"} == set(HARNESS)
    for room in HARNESS:
        assert len({path.name for path in (ROOT / "harness" / room).glob("*.py")} - {"__init__.py"}) <= OF_A_ROOM, room
    for path in (ROOT / "harness").glob("[!_]*.py"):
        assert '__name__ == "__main__"' in path.read_text(), path


def targets_of_tasks() -> set[str]:
    paths = (ROOT / "conf" / "task").glob("*.yaml")
    found = {target for path in paths for target in targets(OmegaConf.to_container(OmegaConf.load(path)))}
    return {target.split(".")[1] for target in found}


@pytest.mark.parametrize("room", TASKS)
def test_a_room_of_tasks_imports_only_from_those_before_it_and_no_task(room):
    allowed = {*TASKS[: TASKS.index(room) + 1], *BESIDE_THEM}
    for path in (ROOT / "tasks" / room).rglob("*.py"):
        for name in imported(path):
            if name.split(".")[0] == "tasks":
                assert name.split(".")[1] in allowed, f"{path}: {name}"


def test_rooms_of_tasks_are_small_and_beside_them_are_what_keys_of_runs_name():
    assert {path.name for path in (ROOT / "tasks").iterdir() if path.is_dir()} - {"__pycache__"} == set(TASKS)
    for room in TASKS:
        assert len({path.name for path in (ROOT / "tasks" / room).glob("*.py")} - {"__init__.py"}) <= OF_A_ROOM, room
    assert {path.stem for path in (ROOT / "tasks").glob("[!_]*.py")} == targets_of_tasks() | BESIDE_THEM


@pytest.mark.parametrize("room", ANALYSIS)
def test_a_room_of_the_analysis_is_small_and_imports_only_from_those_before_it(room):
    allowed = ANALYSIS[: ANALYSIS.index(room) + 1]
    files = list((ROOT / "analysis" / room).glob("[!_]*.py"))
    assert 0 < len(files) <= OF_A_ROOM
    for path in files:
        for name in imported(path):
            if name.split(".")[0] == "analysis":
                assert name.split(".")[1] in allowed, f"{path}: {name}"


def test_the_rooms_of_the_analysis_are_those_named():
    assert {path.parent.name for path in (ROOT / "analysis").glob("*/*.py")} == set(ANALYSIS)


@pytest.mark.parametrize("room", ["svft", "baselines"])
def test_the_packages_of_the_wheel_need_nothing_but_torch_and_peft(room):
    import sys

    for path in (ROOT / room).rglob("*.py"):
        for name in imported(path):
            top = name.split(".")[0]
            assert top in SVFT_NEEDS | {"svft", room} | set(sys.stdlib_module_names), f"{path}: {name}"


@pytest.mark.parametrize("room", ["", *SVFT_ROOMS])
def test_rooms_of_svft_are_small_and_import_nothing_from_svft_itself(room):
    folder = ROOT / "svft" / room
    files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    assert {path.name for path in folder.iterdir() if path.is_dir()} - {"__pycache__"} <= SVFT_ROOMS.keys()
    assert 0 < len(files) <= OF_A_ROOM
    for path in files if room else []:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module.split(".")[0] in SVFT_ROOMS[room], f"{path}: {node.module}"


def targets(node) -> list[str]:
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [t for value in node.values() for t in targets(value)]
    return []


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_target_in_the_configuration_exists(path):
    for target in targets(OmegaConf.to_container(OmegaConf.load(path), resolve=False)):
        assert callable(get_object(target))


@pytest.mark.parametrize("path", sorted(ROOT.glob("conf/[mt]*/*.yaml")), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_choice_is_named_as_its_file(path):
    if path.parent.name in ("method", "model", "task"):
        assert OmegaConf.load(path).get("name", path.stem) == path.stem


def test_no_code_branches_on_the_name_of_a_method_task_or_model():
    import re

    for room in (*MAY_IMPORT, "run.py"):
        for path in [ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"):
            found = re.findall(r"if [a-z_.]*(?:method|task|model)(?:_name|\.name)? *(?:==|in) .*", path.read_text())
            assert not found, f"{path}: {found}"


def test_the_harness_reads_no_attribute_of_a_task_with_a_default_of_its_own():
    """tasks/base.py and harness/modality/interface.py have the defaults, so that a misspelt name is an error."""
    import re

    read = re.compile(
        r"(?:get|has)attr\((?:self\.)?_?(?:task|benchmark|modality|owner|source|example)\w*, *f?[\"'][^)]*"
    )
    for path in [ROOT / "run.py", *(ROOT / "harness").rglob("*.py")]:
        assert not read.findall(path.read_text()), path
