"""A real sweep of tiny runs: two networks that train together, and a run that cannot be done."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tomli_w

import dni_jax as dni
from dni_jax.app.cli import main
from dni_jax.app.pipeline import start_run, train_stage
from dni_jax.app.run_folder import RunFolder
from dni_jax.app.sweep import read_sweep, stability_table, sweep, sweep_table
from tests.support.cli_runs import refused
from tests.support.sweeps import TINY, weights_in

pytestmark = pytest.mark.slow

# The last one has more folds than there are strings; its network would be the first one's.
ROWS = [{"hidden": 12, "seed": seed, "folds": folds} for seed, folds in [(0, 4), (1, 4), (0, 5000)]]
NAMES = [f"hidden-12_seed-{row['seed']}_folds-{row['folds']}" for row in ROWS]
*GOOD, BAD = NAMES
KEPT = ("checkpoint", "relevance.parquet", "effects.parquet", "training.csv", "summary.json")


def written(path, rows=ROWS, **more):
    path.write_text(tomli_w.dumps({"name": "tiny", "settings": TINY, "list": rows, **more}))
    return str(path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The sweep's folder, its config file, and what the command said."""
    root = tmp_path_factory.mktemp("sweeps")
    file, folder = written(root / "tiny.toml"), root / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("sys.stdout.write", said.append, raising=False)
        with pytest.raises(SystemExit) as end:
            main(["sweep", file, "--out", str(folder), "--quiet", "--json"])
    assert end.value.code == 1
    return folder, file, json.loads("".join(said))


def stamps(folder):
    return {(name, file): (folder / name / file).stat().st_mtime_ns for name in GOOD for file in KEPT}


def test_every_run_but_the_one_that_cannot_be_is_finished(swept):
    folder, _, said = swept
    assert [name for name in NAMES if RunFolder(folder / name).is_finished] == GOOD
    assert list(said["failed"]) == [BAD]
    assert "for 5000 folds" in said["failed"][BAD]
    error = (folder / BAD / "error.txt").read_text()
    assert "for 5000 folds" in error
    assert "folds = 5000" in error  # its settings
    assert "Traceback" in error
    assert [row["state"] for row in said["runs"]] == ["done"] * 2 + ["failed"]
    assert not any(path.name.endswith((".part", ".old")) for path in folder.rglob("*"))


def test_a_member_of_a_population_is_what_a_run_alone_would_be(swept, tmp_path):
    """But for rounding: products are summed in another order."""
    member, config = swept[0] / GOOD[1], read_sweep(swept[1]).runs[1].config
    assert config.text_seed == 0
    job = start_run(replace(config, out=str(tmp_path / "alone")))
    train_stage(job)
    alone = job.folder
    assert (member / "config.toml").read_text() == (alone.path / "config.toml").read_text()
    for ours, theirs in zip(weights_in(member), weights_in(alone.path), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert RunFolder(member).summary()["loss"] == pytest.approx(alone.summary()["loss"], abs=1e-5)
    ours, theirs = (pd.read_csv(path / "training.csv") for path in (member, alone.path))
    assert ours["step"].tolist() == theirs["step"].tolist() == [20, 40]
    np.testing.assert_allclose(ours["validation_loss"], theirs["validation_loss"], atol=1e-5)


def test_networks_of_other_seeds_differ(swept):
    folder = swept[0]
    one, other = weights_in(folder / GOOD[0]), weights_in(folder / GOOD[1])
    assert max(np.abs(a - b).max() for a, b in zip(one, other, strict=True)) > 0.1


def test_the_sweep_is_compared(swept):
    folder = swept[0]
    page = (folder / "sweep.html").read_text()
    assert all(f">{name}</a>" in page for name in GOOD)
    assert page.count("data:image/png;base64,") == 1
    assert (folder / "known_over_seeds.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "known_by_size.png").exists()  # of one size
    table = pd.read_csv(folder / "sweep.csv")
    assert table["run"].tolist() == NAMES
    assert table["hidden"].tolist() == [12, 12, 12]
    assert np.isfinite(table["gap"][:2]).all()
    pd.testing.assert_series_equal(table["gap"], sweep_table(folder).set_index("run")["gap"][NAMES], check_index=False)
    (pair,) = stability_table(folder, ["hidden"]).to_dict("records")
    relevances = [dni.inspection.read_relevance(folder / name / "relevance.parquet") for name in GOOD[:2]]
    known = [set(pd.read_csv(folder / name / "findings.csv").query("same_as.isna()")["feature"]) for name in GOOD[:2]]
    common = [name for name in relevances[0]["feature"].values if name in known[0] & known[1]]
    ranks = dni.inspection.seed_stability([one.sel(feature=common) for one in relevances], k=10)
    assert pair["spearman"] == pytest.approx(float(ranks["spearman"][0, 1]))
    assert (pair["hidden"], pair["seeds"], pair["k"]) == (12, 2, 10)


def test_whole_runs_are_not_done_again_and_failed_ones_are(swept, tmp_path, capsys):
    shutil.copytree(swept[0], tmp_path / "tiny")
    before, failed = stamps(tmp_path / "tiny"), (tmp_path / "tiny" / BAD / "error.txt").stat().st_mtime_ns
    with pytest.raises(SystemExit) as end:
        main(["sweep", swept[1], "--out", str(tmp_path / "tiny")])
    assert end.value.code == 1
    told = capsys.readouterr().out
    assert "2 of them finished; left: 1 tasks" in told
    assert "train.folds" not in told
    assert "inspect.folds 5000" in told
    assert stamps(tmp_path / "tiny") == before
    assert (tmp_path / "tiny" / BAD / "error.txt").stat().st_mtime_ns > failed


def test_other_sweeps_are_kept_apart(swept, tmp_path, capsys):
    folder, _, _ = swept
    fewer = written(tmp_path / "fewer.toml", rows=ROWS[:1])
    assert f"one without its 2 runs {GOOD[1]}" in refused(["sweep", fewer, "--out", str(folder)], capsys)
    longer = written(tmp_path / "longer.toml", settings={**TINY, "strings": 1600})
    told = refused(["sweep", longer, "--out", str(folder)], capsys)
    assert "strings 1500 there, 1600 here" in told
    assert "--force" in told
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    assert "which holds no sweep" in refused(["sweep", fewer, "--out", str(tmp_path / "other")], capsys)
    assert "without sweep.toml" in refused(["sweep", fewer, "--force", "--out", str(tmp_path / "other")], capsys)
    assert (tmp_path / "other" / "letter.txt").exists()


def test_a_sweep_can_grow_and_only_what_is_new_is_planned(swept, tmp_path, capsys):
    folder = swept[0]
    rows = [*ROWS, {"hidden": 12, "seed": 5, "folds": 4}]
    grown = written(tmp_path / "grown.toml", rows=rows)
    main(["sweep", grown, "--out", str(folder), "--dry-run", "--json"])
    plan = json.loads(capsys.readouterr().out)["runs"]
    assert [row["state"] for row in plan] == ["done", "done", "failed", "waiting"]
    assert [row["task"] is None for row in plan] == [True, True, False, False]


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on(swept, tmp_path):
    """Stages that are left are done; the network stays."""
    shutil.copytree(swept[0], tmp_path / "tiny")
    cut = RunFolder(tmp_path / "tiny" / GOOD[1])
    before = stamps(tmp_path / "tiny")
    cut.remove_results("verify")
    config = replace(read_sweep(swept[1]), out=str(tmp_path / "tiny"))
    result = sweep(config)
    assert list(result.failed) == [BAD]
    assert cut.is_finished
    after = stamps(tmp_path / "tiny")
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {(GOOD[1], "effects.parquet"), (GOOD[1], "summary.json")}
    ours, theirs = (pd.read_parquet(root / GOOD[1] / "effects.parquet") for root in (cut.path.parent, swept[0]))
    pd.testing.assert_frame_equal(ours, theirs)
