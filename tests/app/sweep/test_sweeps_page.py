"""The page about sweeps: its files can be read, its Python runs in order."""

import re
from pathlib import Path

import pytest

from dni_jax.app.sweep import read_sweep

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_files_can_be_read(tmp_path):
    first, second = blocks("toml")
    (tmp_path / "sizes.toml").write_text(first)
    assert [run.name for run in read_sweep(tmp_path / "sizes.toml").runs][-1] == "hidden-12_seed-1"
    (tmp_path / "list.toml").write_text(second)
    assert [run.config.train.steps for run in read_sweep(tmp_path / "list.toml").runs] == [600, 1200]
    assert len(read_sweep(ROOT / "examples" / "sizes.toml").runs) == 4


@pytest.mark.slow
def test_the_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sizes.toml").write_text(blocks("toml")[0])
    names = {}
    for block in blocks("python"):
        exec(compile(block, "sweeps.md", "exec"), names)
    assert not names["result"].failed
    named = set(re.findall(r"`(\w+\.(?:html|csv|png))`", PAGE)) - {"known_by_step.png"}
    assert named <= {path.name for path in (tmp_path / "runs" / "sizes").iterdir()}
    assert names["known"]["hidden"].unique().tolist() == [12, 8]
