"""What the first steps of a user import: nothing that takes long and is not needed."""

import subprocess
import sys

import pytest

HEAVY = {"duckdb", "flax", "jax", "joblib", "lark", "matplotlib", "numpy", "optax", "orbax", "pandas", "pyarrow",
         "scipy", "sklearn", "tensorstore", "xarray"}  # fmt: skip
COMMAND = """
import sys
from dni_jax.app.cli import main
sys.argv = ["dni", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
"""


def imported(script):
    """Return the heavy packages that a script imports in a process of its own."""
    script += f"\nimport sys\nprint('imported:', *sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported:")[2].split())


def test_the_package_imports_nothing_heavy():
    assert imported("import dni_jax") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "--hidden", "many"]])
def test_help_and_wrong_flags_do_not_wait(arguments):
    assert imported(COMMAND.format(arguments=arguments)) == set()


def test_training_and_inspection_do_not_wait_for_what_few_calls_need():
    rare = {"sklearn", "matplotlib", "duckdb", "orbax"}
    assert imported("import dni_jax as dni\ndni.train, dni.inspect").isdisjoint(rare)
