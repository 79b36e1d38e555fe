"""Tables and figures over constructed run folders, whose answers are known; states read from folders."""

import os

import numpy as np
import pandas as pd
import pytest

from dni_jax.app.pipeline._inspecting import findings_table
from dni_jax.app.query import open_runs
from dni_jax.app.report._figures import save
from dni_jax.app.sweep import SweepConfig, features_table, stability_table, steps_table, sweep_table
from dni_jax.app.sweep._comparison import (
    compare_runs,
    gap_figure,
    size_figure,
    stability_figure,
    steps_figure,
)
from dni_jax.app.sweep._folder import SweepFolder
from dni_jax.app.sweep._states import RunMonitor, read_state
from dni_jax.app.sweep._tables import seed_groups
from dni_jax.inspection import best_per_feature
from tests.support.made_runs import FEATURES, LARGE, write_run
from tests.support.made_runs import SMALL as TWO

_CHANCE = [[0.5, 0.0, 0.5, 0.5, 0.5]] * 2
SMALL = [*TWO, *_CHANCE]  # digit, depth, depth=1, space, rare; the table of findings names three neurons
MEDIUM = [[0.9, 0.4, 0.8, 0.85, 0.5], [0.55, 0.45, 0.6, 0.7, 0.55], *_CHANCE]


def write(path, auc, *, same=None, **settings):
    made = write_run(path, auc, **{"hidden": 4 if auc is LARGE else 2, **settings})
    if settings.get("finished", True):
        table = findings_table(best_per_feature(made.relevance, by="auc"), same or {}, None)
        table.to_csv(made.folder.findings, index=False)
    return made


@pytest.fixture
def folder(tmp_path):
    """Two seeds of two neurons, one of four, one that was cut off, one that failed."""
    write(tmp_path / "a", SMALL, seed=0, loss=0.66)
    write(tmp_path / "b", MEDIUM, seed=1, loss=0.69)
    write(tmp_path / "c", LARGE, seed=0, loss=0.61, same={"depth=1": "digit"})
    write(tmp_path / "d", SMALL, seed=2, finished=False)
    write(tmp_path / "e", LARGE, seed=1, finished=False)
    (tmp_path / "e" / "error.txt").write_text("expected luck\n\nmore")
    return tmp_path


def test_one_row_a_run(folder):
    table = sweep_table(folder).set_index("run")
    assert table.index.tolist() == ["a", "b", "c", "d", "e"]
    assert table["state"].tolist() == ["done", "done", "done", "training", "failed"]
    assert table["hidden"].tolist() == [2, 2, 4, 2, 4]
    assert table["seed"].tolist() == [0, 1, 0, 2, 1]
    np.testing.assert_allclose(table["gap"], [0.1, 0.15, 0.61 / 0.6 - 1, np.nan, np.nan])
    np.testing.assert_allclose(table["loss"], [0.66, 0.69, 0.61, np.nan, np.nan])
    # Medians of the best neurons for digit, depth=1, space and rare; of c without depth=1, which is digit once more.
    np.testing.assert_allclose(table["auc"][:3], [0.935, 0.825, 0.99], atol=1e-6)
    assert table["error"]["e"] == "expected luck"
    assert table["step"].tolist() == [200] * 5
    assert sweep_table([folder / "c"])["run"].tolist() == ["c"]
    with pytest.raises(ValueError, match="got no run"):
        sweep_table(folder / "a")


def test_one_row_a_run_and_feature(folder):
    table = features_table(folder)
    assert table["run"].unique().tolist() == ["a", "b", "c"]
    assert "depth=1" not in table[table["run"] == "c"]["feature"].tolist()
    digit = table[table["feature"] == "digit"].set_index("run")
    np.testing.assert_allclose(digit["auc"], [0.95, 0.9, 0.99], atol=1e-6)
    np.testing.assert_allclose(digit["strength"], [0.9, 0.8, 0.98], atol=1e-6)
    assert digit["hidden"].tolist() == [2, 2, 4]
    assert digit["language"].tolist() == ["parentheses"] * 3
    depth = table[table["feature"] == "depth"].set_index("run")
    np.testing.assert_allclose(depth["strength"], [0.5, 0.45, 0.8], atol=1e-6)
    assert len(features_table([folder / "d"])) == 0


def test_one_row_a_run_step_and_feature(folder):
    table = steps_table(folder).set_index(["run", "feature", "step"])["strength"]
    assert table["a", "digit", 100] == pytest.approx(0.45, abs=1e-6)  # half of 2 * .95 - 1
    assert table["a", "digit", 200] == pytest.approx(0.9, abs=1e-6)
    assert table["a", "depth", 200] == pytest.approx(0.5, abs=1e-6)
    assert set(table.index.get_level_values("run")) == set("abcde")
    (folder / "a" / "dynamics.parquet").unlink()
    alone = steps_table([folder / "a"]).set_index(["feature", "step"])["strength"]
    assert alone["digit", 200] == pytest.approx(0.9, abs=1e-6)
    assert len(alone) == len(FEATURES)


def test_runs_that_differ_in_nothing_but_their_seed(folder):
    groups = [rows["run"].tolist() for rows in seed_groups(sweep_table(folder))]
    assert groups == [["a", "b", "d"], ["c", "e"]]
    (row,) = stability_table(folder, ["hidden"]).to_dict("records")
    assert (row["hidden"], row["runs"], row["seeds"], row["features"]) == (2, "a, b", 2, 5)
    # Best strengths, digit depth depth=1 space rare: a .9 .5 .84 .96 .1, b .8 .45 .6 .7 .1; one pair of ranks swapped.
    assert row["k"] == 4
    assert row["spearman"] == row["spearman_low"] == pytest.approx(0.9)
    assert row["overlap"] == 1.0
    assert row["sd"] == pytest.approx(np.mean([0.1, 0.05, 0.24, 0.26, 0.0]) / np.sqrt(2), abs=1e-6)


@pytest.mark.slow
def test_figures_are_drawn(folder, tmp_path):
    inspected = [folder / name for name in "abc"]
    stability = stability_table(inspected, ["hidden"])
    figures = {
        "size": size_figure(features_table(inspected)),
        "steps": steps_figure(steps_table(inspected)),
        "gap": gap_figure(sweep_table(inspected)),
        "seeds": stability_figure(stability, ["hidden"]),
    }
    size = figures["size"].axes[0]
    (digit,) = [line for line in size.lines if line.get_label() == "digit"]
    np.testing.assert_allclose(digit.get_xdata(), [2, 4])
    np.testing.assert_allclose(digit.get_ydata(), [0.925, 0.99], atol=1e-6)
    assert [axis.get_title() for axis in figures["steps"].axes] == ["parentheses, 2 neurons", "parentheses, 4 neurons"]
    dots, line = figures["gap"].axes[0].lines
    np.testing.assert_allclose(dots.get_ydata(), [0.1, 0.15, 0.61 / 0.6 - 1])
    np.testing.assert_allclose(line.get_ydata(), [0.125, 0.61 / 0.6 - 1])
    for name, figure in figures.items():
        save(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000


def test_without_a_best_possible_loss_the_loss_is_drawn(folder):
    table = sweep_table([folder / "a", folder / "c"]).assign(gap=np.nan)
    axis = gap_figure(table).axes[0]
    assert axis.get_ylabel() == "loss (nats per symbol)"
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [0.66, 0.61])


def test_runs_are_compared_as_far_as_they_are(tmp_path):
    config = SweepConfig("s", {"inspect_every": 100}, {"hidden": [2, 4], "seed": [0, 1]}, out=str(tmp_path / "s"))
    sweep_folder = SweepFolder.claim(config)
    assert sweep_folder.plan_tasks(config)[0].runs == config.runs[:2]
    names = [run.name for run in config.runs]
    write(tmp_path / "s" / names[0], SMALL, seed=0)
    write(tmp_path / "s" / names[1], MEDIUM, seed=1)
    write(tmp_path / "s" / names[2], LARGE, seed=0)
    table = compare_runs(sweep_folder, config)
    assert table["run"].tolist() == names[:3]
    sweep_folder.release()
    left = {path.name for path in (tmp_path / "s").iterdir() if path.is_file()}
    figures = {"known_by_size.png", "loss_by_size.png", "known_by_step.png", "known_over_seeds.png"}
    assert left == figures | {"sweep.toml", "sweep.csv", "stability.csv", "sweep.html"}
    assert (tmp_path / "s" / "sweep.html").read_text().count("data:image/png") == 4
    runs = open_runs(f"{tmp_path}/s/*")
    asked = runs.query("SELECT hidden, count(*) AS n, avg(gap) AS gap FROM runs GROUP BY hidden ORDER BY hidden")
    assert asked["n"].tolist() == [2, 1]
    np.testing.assert_allclose(asked["gap"], [0.05, 0.05])
    best = runs.query("SELECT run, max(auc) AS auc FROM scores WHERE feature = 'digit' GROUP BY run ORDER BY run")
    np.testing.assert_allclose(best["auc"], [0.95, 0.9, 0.99], atol=1e-6)


def test_stages_are_read_from_the_folder(folder, tmp_path):
    assert read_state(tmp_path / "nothing").stage == "waiting"
    made = write(tmp_path / "run", SMALL)
    run = made.folder
    run.update_summary(finished=False)
    run.model.mkdir()
    assert read_state(run.path).stage == "reporting"
    run.effects.unlink()
    assert read_state(run.path).stage == "verifying"
    run.relevance.unlink()
    assert read_state(run.path).stage == "inspecting"
    run.model.rmdir()
    state = read_state(run.path)
    assert (state.stage, state.step, state.loss) == ("training", 200, pytest.approx(0.63))


def test_what_failed_before_waits_until_it_is_tried_again(folder):
    watch = RunMonitor(folder, ["a", "e"], ["e"])
    assert [state.stage for state in watch.read()] == ["done", "waiting"]
    (folder / "e" / "error.txt").unlink()
    assert [state.stage for state in watch.read()] == ["done", "training"]
    (folder / "e" / "error.txt").write_text("again")
    os.utime(folder / "e" / "error.txt", (1, 1))
    assert [state.stage for state in watch.read()] == ["done", "failed"]
    assert pd.isna(watch.read()[1].error) is False
