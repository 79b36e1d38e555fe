"""A sweep that was stopped goes on with the rows that it wrote."""

import json

import pytest

from experiments._shared.results import Results


def test_rows_are_measured_once_and_kept(tmp_path):
    path, calls = tmp_path / "new" / "sweep.json", []

    def measure():
        calls.append(1)
        return {"loss": 0.5, "dims": [1, 2]}

    first = Results(path).measured(measure, network="small", seed=0)
    assert first == {"network": "small", "seed": 0, "loss": 0.5, "dims": [1, 2]}
    again = Results(path)
    assert again.measured(measure, network="small", seed=0) == first
    again.measured(measure, network="small", seed=1)
    assert len(calls) == 2
    assert [row["seed"] for row in Results(path).find(network="small")] == [0, 1]
    assert json.loads(path.read_text())[0] == first
    with pytest.raises(ValueError, match=r"\['loss'\] in both"):
        again.measured(measure, loss=3)
