"""What tests of the command line share."""

import pytest

from dni_jax.app.cli import main

SMALL = ["--strings", "1500", "--hidden", "12", "--steps", "40", "--batch", "8", "--window", "32",
         "--evaluate-every", "20", "--inspect-characters", "2000", "--verify-characters", "1000",
         "--random-sets", "4", "--folds", "4"]  # fmt: skip


def refused(arguments, capsys):
    """The message of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    output = capsys.readouterr()
    assert "Traceback" not in output.err + output.out
    return " ".join((output.err + output.out).split())
