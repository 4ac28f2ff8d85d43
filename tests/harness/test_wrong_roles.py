"""What is said of `model.roles` that name no modules, also for a model whose roles and blocks are to be found."""

import pytest

from errors import RoleError, SettingError
from harness.models import bases
from harness.plan import config


@pytest.mark.parametrize("roles", ["Q", "3", "{Q: 3}"])
@pytest.mark.parametrize("model", [("model=decoder", "model.checkpoint=assets/micro_gemma"), ("model=micro_gemma",)])
def test_roles_that_name_no_modules_are_refused_with_an_example(composed, model, roles):
    cfg = composed("method=lora", *model, f"model.roles={roles}")
    with pytest.raises((RoleError, SettingError), match=r"^model.roles(=.*|\.Q=3) is not "):
        complete_and_resolve(cfg)


def complete_and_resolve(cfg) -> None:
    bases.complete(cfg)
    config.resolve(cfg)
