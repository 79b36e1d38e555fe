"""A run's settings and results carry the number of their format; older ones are read, newer ones refused."""

import json
import tomllib

import pytest

from dni_jax.app.config import RunConfig, TrainConfig
from dni_jax.app.run_folder import RunFolder, read_config, resume_config
from dni_jax.files import FORMAT


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.claim(RunConfig(out=str(tmp_path / "run"), strings=70, train=TrainConfig(hidden=5)))
    folder.update_summary(loss=0.5, ideal=None)
    return folder


def test_both_files_carry_the_number(folder):
    config, summary = folder.path / "config.toml", folder.path / "summary.json"
    assert tomllib.loads(config.read_text())["format"] == FORMAT
    assert json.loads(summary.read_text()) == {"format": FORMAT, "loss": 0.5, "ideal": None}
    assert read_config(config) == RunConfig(strings=70, train=TrainConfig(hidden=5))
    assert folder.summary() == {"loss": 0.5, "ideal": None}


def resumed(folder):
    return resume_config(RunConfig(out=str(folder.path), resume=True))


def test_a_run_without_a_number_goes_on(folder):
    config = folder.path / "config.toml"
    config.write_text(config.read_text().replace(f"format = {FORMAT}\n", ""))
    assert "format" not in config.read_text()
    (folder.path / "manifest.json").unlink()  # neither had such a run
    begun = resumed(folder)
    assert (begun.strings, begun.train.hidden) == (70, 5)
    RunFolder.claim(begun)
    assert tomllib.loads(config.read_text())["format"] == FORMAT


def test_a_newer_run_is_refused(folder):
    (folder.path / "manifest.json").unlink()
    for name in ("config.toml", "summary.json"):
        file = folder.path / name
        file.write_text(file.read_text().replace(f"format = {FORMAT}", "format = 99").replace(f": {FORMAT},", ": 99,"))
    with pytest.raises(ValueError, match=r"config\.toml'.*format 99.*update it"):
        resumed(folder)
    with pytest.raises(ValueError, match=r"summary\.json'.*format 99.*update it"):
        folder.summary()


@pytest.mark.parametrize("number", ['"2"', "true", "0", "2.0"])
def test_a_number_that_is_none_is_refused(folder, number):
    file = folder.path / "config.toml"
    file.write_text(file.read_text().replace(f"format = {FORMAT}", f"format = {number}"))
    with pytest.raises(ValueError, match=r"config\.toml' with a format number"):
        read_config(file)


@pytest.mark.parametrize("text", ["", "[1]", '{"loss": 1'])
def test_broken_results_are_named(folder, text):
    (folder.path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=r"summary\.json"):
        folder.summary()
