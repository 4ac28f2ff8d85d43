"""Names of the libraries that are private there, and that this code overrides or uses: each is still what it was.

With a new version of a library, what fails here has to be read anew in its source before the bound in pyproject.toml
is raised: an override of a method that is called no more, or with other arguments, changes trainings without an error.
"""

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from functools import cache

import pytest
from hydra.utils import get_object
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import ROOT

ROOMS = ("svft", "baselines", "harness")
# By owner and name: the parameters of a function, or None of an attribute.
EXPECTED: dict[str, dict[str, str | None]] = {
    "transformers.Trainer": {
        "_run_epoch": "model epoch train_dataloader steps_in_epoch num_update_steps_per_epoch trial "
        "ignore_keys_for_eval start_time resume_from_checkpoint epochs_trained steps_trained_in_current_epoch",
        "_save_checkpoint": "model trial",
        "_save": "output_dir state_dict",
        "_load_from_checkpoint": "resume_from_checkpoint model",
        "_load_best_model": "",
        "_save_optimizer_and_scheduler": "output_dir",
        "_load_optimizer_and_scheduler": "checkpoint",
        "_defer_fsdp_gradient_reduction": "",
        "_get_grad_norm": "model grad_norm",
        "_get_train_sampler": "train_dataset",
        "_prepare_inputs": "inputs",
        "_train_batch_size": None,
        "_tr_loss": None,
        "_globalstep_last_logged": None,
        # Public by name; nothing but the Trainer's own code says what they do.
        "model_accepts_loss_kwargs": None,
        "is_distributed_loading_by_transformers": None,
        "loss_is_scaled_for_ga": None,
    },
    "torch.nn.Module": {"_forward_hooks": None, "_forward_pre_hooks": None, "_backward_hooks": None},
    "torch.Tensor": {"_version": None},
    "transformers.PreTrainedConfig": {"_name_or_path": None},
    "transformers.PreTrainedModel": {"_is_stateful": None},
    "transformers.GenerationMixin": {"_supports_default_dynamic_cache": ""},
    "peft.tuners.tuners_utils.BaseTuner": {
        "_create_and_replace": "peft_config adapter_name target target_name parent current_key parameter_name",
        "_replace_module": "parent child_name new_module child",
        "_cast_adapter_dtype": "adapter_name autocast_adapter_dtype",
        "_check_merge_allowed": "",
        "_get_adapter_state_dict": "model config adapter_name state_dict unwanted_adapter_names",
        "_remap_adapter_state_dict_for_load": "model config adapter_name state_dict",
    },
    "peft.tuners.tuners_utils.BaseTunerLayer": {
        "_move_adapter_to_device_of_base_layer": "adapter_name device",
        "_get_available_adapters": "",
        "_cast_input_dtype": "x dtype",
        "_active_adapter": None,
        "_disable_adapters": None,
    },
    "peft.utils.AuxiliaryTrainingWrapper": {"_adapters": None},
    "peft.tuners.tuners_utils": {"_get_in_out_features": "module"},
}
# What a library looks for on an object of ours, which no class of its own has: the module that does.
LOOKED_FOR = {
    "_enable_peft_forward_hooks": "peft.peft_model",
    "_ddp_params_and_buffers_to_ignore": "torch.nn.parallel.distributed",
}
# Of Python or torch, or keys of a configuration; not of a library whose private methods change from month to month.
ELSEWHERE = {
    "_fields", "_asdict", "_replace", "_target_", "_root_",
    "_member_names_", "_member_map_", "_value2member_map_", "_name_", "_value_",
    "_parameters", "_buffers", "_schema", "_NormBase", "_foreach_norm", "_foreach_div", "_foreach_sub",
    "_exit", "_run_exitfuncs",
}  # fmt: skip


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def sources() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if path.stem not in ("__main__", "__init__"):
                yield name, ast.parse(path.read_text())


@cache
def attributes_of(owner: type) -> set[str]:
    """Of the class and of its instances."""
    return {*dir(owner), *re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(owner))}


def of_libraries(cls: type) -> set[str]:
    """Attributes that a class has from classes of libraries."""
    theirs = (each for each in cls.__mro__ if each.__module__.split(".")[0] in ("transformers", "peft"))
    return set().union(*map(attributes_of, theirs))


def names_in(node: ast.AST) -> set[str]:
    """Private names that are defined, or looked up on an object, anywhere in the code."""
    defined = {each.name for each in ast.walk(node) if isinstance(each, ast.FunctionDef)}
    return set(filter(is_private, defined | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}))


def found() -> set[str]:
    derived, used, defined, imported = set(), set(), set(), set()
    for module, tree in sources():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.bases:
                derived |= names_in(node) & of_libraries(getattr(importlib.import_module(module), node.name))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                imported |= {each.name for each in node.names if is_private(each.name)}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Attribute):
                (defined if isinstance(node.ctx, ast.Store) else used).add(node.attr)
            elif isinstance(node, ast.Name):
                (defined if isinstance(node.ctx, ast.Store) else used).add(node.id)
    never_used = {name for name in defined - used if is_private(name)}  # a library calls them, or nobody
    return derived | imported | {name for name in used - defined if is_private(name)} | never_used


def test_each_private_name_of_a_library_is_written_down_here():
    written = {name for names in EXPECTED.values() for name in names} | LOOKED_FOR.keys()
    assert found() - ELSEWHERE == set(filter(is_private, written))


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in EXPECTED.items() for name in names])
def test_a_private_name_is_there_and_takes_what_it_took(owner, name):
    there, expected = get_object(owner), EXPECTED[owner][name]
    if expected is None:
        assert name in {*dir(there), *there.__annotations__} or name in attributes_of(there)
    else:
        parameters = [each for each in inspect.signature(getattr(there, name)).parameters if each != "self"]
        assert parameters == expected.split()


@pytest.mark.parametrize("name", LOOKED_FOR)
def test_a_library_looks_for_what_is_defined_for_it(name):
    assert name in inspect.getsource(importlib.import_module(LOOKED_FOR[name]))


def test_the_bound_of_transformers_admits_the_version_that_this_was_read_in_and_not_the_next():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bound,) = (Requirement(each) for each in project["optional-dependencies"]["bench"] if "transformers" in each)
    read = Version(re.search(r"^transformers==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[1])
    assert read in bound.specifier
    assert Version(f"{read.major}.{read.minor + 1}") not in bound.specifier
