"""A whole run; each command on what the one before has left; settings from files; what programs read.

What looks at the finished run stands here, so that one process makes it.
"""

import io
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

import dni_jax as dni
from dni_jax.app.cli import main
from dni_jax.app.cli._main import COMMANDS
from dni_jax.app.config import InspectConfig, RunConfig, TrainConfig, VerifyConfig, config_from_dict
from dni_jax.app.run_folder import STAGE_FILES, RunFolder, config_to_dict, read_config
from tests.support.cli_runs import SMALL, refused


def spoken(arguments, capsys):
    """The object that a command prints with --json, and what went to standard error."""
    capsys.readouterr()
    main([*arguments, "--json"])
    output = capsys.readouterr()
    return json.loads(output.out), output.err


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_the_run_folder_is_whole(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {"config.toml", "checkpoint", "relevance.parquet", "effects.parquet", "samples.json",
                     "relevance.png", "effects.png", "summary.json", "findings.csv", "training.csv", "excerpt.npz",
                     "report.html", "manifest.json"}  # fmt: skip
    relevance = pd.read_parquet(finished / "relevance.parquet")
    assert len(relevance) == 12 * 51 * 4
    looks = pd.read_csv(finished / "training.csv")
    assert looks["step"].tolist() == [20, 40]
    assert (looks[["train_loss", "validation_loss", "characters_per_second", "gradient_norm"]] > 0).all(axis=None)
    effects = pd.read_parquet(finished / "effects.parquet")
    assert set(effects["intervention"]) == {"ablate", "clamp", "oracle"}
    samples = json.loads((finished / "samples.json").read_text())
    assert len(samples["intact"]["texts"]) == 4
    assert dni.load(finished / "checkpoint").n_neurons == 12
    for picture in ("relevance.png", "effects.png"):
        assert (finished / picture).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_results_and_a_table_a_person_can_read(finished, tmp_path, capsys):
    main(["run", "parentheses", "--out", str(tmp_path / "again"), *SMALL])
    printed = capsys.readouterr().out
    for name in ("relevance.parquet", "effects.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(finished / name), pd.read_parquet(tmp_path / "again" / name))
    columns = ("feature", "neurons", "score", "AUC", "base", "symbol", "top 10", "random", "p of", "use")
    for word in ("best possible predictor", *columns, "Results:", "report.html"):
        assert word in printed


def test_another_run_is_not_overwritten(finished, capsys):
    before = (finished / "config.toml").read_text()
    message = refused(["run", "arithmetic", "--out", str(finished), *SMALL], capsys)
    assert "--force" in message
    assert "--resume" in message
    assert (finished / "config.toml").read_text() == before


def test_resume_wants_the_same_settings(finished, capsys):
    message = refused(["run", "parentheses", "--out", str(finished), "--resume", *SMALL, "--hidden", "13"], capsys)
    assert "train.hidden" in message


def test_resume_knows_its_settings(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    main(["run", "--out", str(tmp_path / "run"), "--resume"])
    assert "resuming the run" in capsys.readouterr().out
    assert (tmp_path / "run" / "config.toml").read_text() == (finished / "config.toml").read_text()
    for name in ("relevance.parquet", "effects.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(finished / name), pd.read_parquet(tmp_path / "run" / name))


@pytest.mark.slow
def test_stage_after_stage_is_the_whole_run(finished, tmp_path, capsys):
    folder = tmp_path / "steps"
    trained, _ = spoken(["train", "parentheses", "--out", str(folder), *SMALL], capsys)
    assert trained["neurons"] == 12
    assert not RunFolder(folder).is_finished
    assert not (folder / "relevance.parquet").exists()
    inspected, said = spoken(["inspect", str(folder)], capsys)
    assert "12 neurons x 51 features x 4 folds" in said
    assert all(row["effect"] is None for row in inspected["findings"])
    assert not RunFolder(folder).is_finished
    verified, _ = spoken(["verify", str(folder)], capsys)
    assert RunFolder(folder).is_finished
    assert verified["loss"] == trained["loss"]
    for name in ("relevance.parquet", "effects.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(finished / name), pd.read_parquet(folder / name))
    for name in ("findings.csv", "samples.json", "config.toml"):
        assert (finished / name).read_text() == (folder / name).read_text()


def test_a_stage_wants_the_one_before(copied, capsys):
    RunFolder(copied).remove_results("inspect", "verify", "report")
    assert "dni inspect" in refused(["verify", str(copied)], capsys)
    assert "dni inspect" in refused(["generate", str(copied), "--feature", "digit"], capsys)
    shutil.rmtree(copied / "checkpoint")
    assert "dni train --resume" in refused(["inspect", str(copied)], capsys)
    assert "has no config.toml" in refused(["inspect", str(copied.parent)], capsys)


@pytest.mark.slow
def test_results_are_not_replaced_unless_told(copied, capsys):
    before = (copied / "relevance.parquet").read_bytes()
    assert "--force" in refused(["inspect", str(copied), "--folds", "3"], capsys)
    assert (copied / "relevance.parquet").read_bytes() == before
    spoken(["inspect", str(copied), "--folds", "3", "--force"], capsys)
    assert pd.read_parquet(copied / "relevance.parquet")["fold"].nunique() == 3
    assert not (copied / "effects.parquet").exists()  # was made from the former scores
    config = read_config(copied / "config.toml")
    assert config.inspect == InspectConfig(2000, "svm", 3)
    assert not RunFolder(copied).is_finished


@pytest.mark.slow
def test_headlines_can_be_chosen(copied, capsys):
    chosen = ["--headlines", "depth=4", "--random-sets", "3", "--force"]
    spoken(["verify", str(copied), *chosen], capsys)
    effects = pd.read_parquet(copied / "effects.parquet")
    assert set(effects[effects["intervention"] == "clamp"]["feature"]) == {"depth=4"}
    assert "depth=4 neurons set to 1" in json.loads((copied / "samples.json").read_text())
    assert "among the features" in refused(["verify", str(copied), "--headlines", "x", "--force"], capsys)


@pytest.mark.slow
def test_a_settings_file_stands_behind_the_flags(finished, tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text((finished / "config.toml").read_text().replace("hidden = 12", "hidden = 7"))
    told, _ = spoken(["train", "--config", str(file), "--seed", "3", "--out", str(tmp_path / "run")], capsys)
    assert told["neurons"] == 7
    held = read_config(tmp_path / "run" / "config.toml")
    assert (held.train.seed, held.train.steps, held.strings, held.inspect.folds) == (3, 40, 1500, 4)
    file.write_text("[train]\nhiden = 3")
    assert "did you mean hidden" in refused(["run", f"--config={file}"], capsys)
    file.write_text("hidden = ")
    assert str(file) in refused(["run", "--config", str(file)], capsys)


def test_settings_survive_the_file_and_old_files_are_read():
    parts = {"inspect": InspectConfig(folds=7), "verify": VerifyConfig(headlines=("a",))}
    config = RunConfig(train=TrainConfig(hidden=3), **parts)
    assert config_from_dict(config_to_dict(config)) == config
    old = {"language": "parentheses", "probe": "ridge", "folds": 5, "random_sets": 9, "train": {"hidden": 3}}
    read = config_from_dict(old)
    assert (read.inspect.probe, read.inspect.folds, read.verify.random_sets) == ("ridge", 5, 9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strings": "many"}, "strings to be int"),
        ({"strings": 1.5}, "strings to be int"),
        ({"train": 3}, r"table \[train\]"),
        ({"train": {"clip": "x"}}, r"train\.clip to be float"),
        ({"verify": {"headlines": [1]}}, r"verify\.headlines to be a list"),
        ({"skip_unparsable": 1}, "skip_unparsable to be bool"),
        ({"color": 1}, "got color"),
    ],
)
def test_config_to_dict_the_wrong_type_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        config_from_dict(settings)


def test_whole_numbers_are_read_where_fractions_are_expected():
    assert config_from_dict({"train": {"clip": 2}}).train.clip == 2.0


def test_quiet_says_the_result_only(finished, capsys):
    capsys.readouterr()
    main(["generate", str(finished), "--neurons", "0", "3", "--n", "2", "--length", "30", "--quiet"])
    output = capsys.readouterr()
    assert " s  " not in output.out
    assert "matched brackets" in output.out
    assert output.err == ""


def test_generating_holds_the_best_neurons(finished, capsys):
    told, _ = spoken(["generate", str(finished), "--feature", "digit", "--k", "3", "--length", "40"], capsys)
    relevance = pd.read_parquet(finished / "relevance.parquet")
    means = relevance[relevance["feature"] == "digit"].groupby("neuron")["auc"].mean()
    assert set(told["neurons"]) == set(means.nlargest(3).index)
    model = dni.load(finished / "checkpoint")
    assert told["texts"] == dni.generate(model, n=4, length=40, intervention=dni.clamp(told["neurons"], 1.0))
    assert "got both" in refused(["generate", str(finished), "--feature", "digit", "--neurons", "1"], capsys)


def test_labeling_shows_figure_1(capsys, monkeypatch, tmp_path):
    main(["label", "parentheses", "0(1((3(44))2))", "--features", "depth=*", "digit"])
    rows = dict(line.rsplit(None, 1) for line in capsys.readouterr().out.splitlines()[1:] if line.strip())
    assert rows["digit"] == "█·█··█·██··█··"
    assert set(rows) == {"depth=0", "depth=1", "depth=2", "depth=3", "depth=4", "digit"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("0(1((3(44))2))"))
    told, _ = spoken(["label", "parentheses", "-", "--features", "digit"], capsys)
    assert told["labels"]["digit"] == [int(c.isdigit()) for c in told["text"]]
    main(["label", "parentheses", "0(1((3(44))2))", "--out", str(tmp_path / "labels.png")])
    assert (tmp_path / "labels.png").read_bytes()[:4] == b"\x89PNG"
    assert "ends too early" in refused(["label", "parentheses", "0(1"], capsys)


def test_answers_that_are_short_are_said():
    from dni_jax.app.cli._pipeline import _summarize_analyses

    needed = pd.DataFrame({"feature": ["digit", "symbol:\n", "never"], "dimension": [3.0, 8.0, np.nan]})
    rates = {"per_1000_before": [6.5, 6.5], "per_1000": [0.25, 6.0], "loss_before": [0.7, 0.7], "loss": [0.69, 0.7]}
    assert _summarize_analyses({"attribution": [4, 1], "dimension": needed, "repair": pd.DataFrame(rates)}) == [
        "Predictions depend most on neurons 4 1.",
        "The feature that needs the most random directions of the state is symbol:↵: 8.",
        "Repairing the head through all neurons reduces first mistakes per 1,000 symbols from 6.50 to 0.25, and "
        "changes the loss from 0.7000 to 0.6900 nats per symbol.",
    ]
    programs = pd.DataFrame({"feature": ["digit", "depth=1"], "program": "parser", "recovered": [np.nan, 0.875],
                             "random_recovered": 0.25})  # fmt: skip
    assert _summarize_analyses({"programs": programs}) == [
        "The program 'parser' restores 88% of what is lost when the best neurons for depth=1 are held at their means "
        "(random clusters: 25%)."
    ]
    assert _summarize_analyses({"run": "here", "dimension": needed.tail(1), "repair": None}) == []


def test_languages_are_listed(capsys):
    told, _ = spoken(["languages"], capsys)
    assert {"parentheses", "arithmetic", "python", "c"} <= set(told)


@pytest.mark.slow
def test_further_questions_are_asked_and_shown(copied, capsys):
    told, said = spoken(["analyse", str(copied), "--draws", "2"], capsys)
    assert {"attribution", "posterior", "dimension", "programs", "lags", "repair"} <= set(told)
    for name in STAGE_FILES["analyse"]:
        assert (copied / name).is_file(), (name, said)
    page = (copied / "report.html").read_text(encoding="utf-8")
    for words in (
        "Which neurons predictions depend on",
        "How certain the ranking is",
        "How many dimensions",
        "Which neurons a program can replace",
        "Whether errors show",
        "What earlier states add",
        "What a small change",
    ):
        assert words in page
    mended = pd.read_parquet(copied / "repair.parquet").set_index("free")
    assert mended.loc["all", "per_1000"] < mended.loc["all", "per_1000_before"]
    needed = pd.read_parquet(copied / "dimension.parquet").set_index("feature")
    assert needed["dimension"].dropna().between(1, 12).all()
    assert (needed["full"] >= needed["threshold"]).loc[needed["dimension"].notna()].all()


@pytest.mark.slow
def test_bench_measures_beside_scikit_learn(capsys):
    sizes = ["--positions", "200", "--neurons", "4", "--features", "3", "--folds", "4", "--repeats", "2"]
    told, _ = spoken(["bench", "--probe", "ridge", *sizes], capsys)
    probing, *others = told["rates"]
    assert probing["ratio_low"] <= probing["ratio"] <= probing["ratio_high"]
    assert probing["per_second"] == pytest.approx(4 * 3 * 4 / np.median(probing["seconds"]))
    assert [one["task"] for one in others] == ["training", "recording", "generating"]
    assert "positions of at least" in refused(["bench", "--positions", "3"], capsys)


def test_every_command_has_an_example(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        printed = capsys.readouterr().out
        assert f"\n    dni {name}" in printed
        assert "(default: None)" not in printed
        assert "(default: )" not in printed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--tyro-print-completion", shell])
    assert not stop.value.code
    assert "random-sets" in capsys.readouterr().out
