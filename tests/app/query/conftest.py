"""Three constructed runs: where they are and what they hold, and all of them opened."""

import pytest

from dni_jax.app.query import open_runs
from tests.support.made_runs import write_three


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return root, write_three(root)


@pytest.fixture(scope="session")
def runs(made):
    return open_runs(made[0] / "*")
