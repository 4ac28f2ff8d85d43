"""The house of the design: rooms import only from rooms to their left, and every yaml names code that exists."""

import ast
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
    "analysis": {"harness.store.record", "harness.store.files", "harness.store.disk"},
    "assets": {"tasks"},
}
ROOMS = {*MAY_IMPORT, "run", "tests"}
HARNESS = (  # each imports from those before it
    "settings", "store", "console", "ranks", "models", "adapters", "generate", "modality", "train", "plan", "run",
    "finished", "fusion", "doctor",
)  # fmt: skip
OF_A_ROOM = 9  # files
SVFT_ROOMS = {"decomposition": set(), "arithmetic": set(), "basis": {"decomposition"}}  # and what each may import
SVFT_NEEDS = {"torch", "peft", "transformers", "safetensors", "numpy", "tqdm"}  # all come with torch and peft


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


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
