import pytest

from tests.harness.finished_runs import Finished


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Finished:
    return Finished(tmp_path_factory.mktemp("finished"))
