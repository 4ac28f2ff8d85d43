"""A SLURM of one node for the tests of this folder, which `make test-cluster` runs."""

import os

import pytest

from tests.cluster import node


@pytest.fixture(scope="session", autouse=True)
def slurm(tmp_path_factory):
    """SLURM's commands work while this lasts. Skips all where SLURM cannot be had."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        environment = node.start(folder, cpus=4)
    except node.Unavailable as error:
        pytest.skip(str(error))
    os.environ.update(environment)
    yield
    node.stop(folder)
