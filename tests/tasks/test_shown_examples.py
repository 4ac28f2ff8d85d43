"""The example at the head of each task's file is what the task gives."""

import doctest
import importlib

import pytest
from omegaconf import OmegaConf

from tests.conftest import ROOT

TARGETS = {
    OmegaConf.load(path).source._target_
    for path in (ROOT / "conf" / "task").glob("*.yaml")
    if "source" in OmegaConf.load(path)
}
OWN = {"tasks.own_text": {"tasks.own.classification", "tasks.own.generation"}}  # where that module has its classes from
MODULES = sorted(
    module for target in TARGETS for name in [target.rpartition(".")[0]] for module in OWN.get(name, {name})
)


@pytest.mark.parametrize("name", sorted(set(MODULES)))
def test_the_example_at_the_head_of_a_file_is_what_its_task_gives(name):
    module = importlib.import_module(name)
    known = vars(module) | {"data": ROOT / "tests" / "tasks" / "data"}
    shown = doctest.DocTestParser().get_doctest(module.__doc__, known, name, module.__file__, 0)
    assert shown.examples, "there is none"
    said: list[str] = []
    doctest.DocTestRunner().run(shown, out=said.append)
    assert said == []
