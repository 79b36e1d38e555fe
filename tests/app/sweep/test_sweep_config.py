"""Which runs a sweep has, what they are called, which train together, and what is refused."""

import json
from dataclasses import replace

import pytest

from dni_jax.app.cli import main
from dni_jax.app.config import RunConfig, TrainConfig
from dni_jax.app.sweep import SweepConfig, parse_sweep, read_sweep
from dni_jax.app.sweep._folder import group_runs
from dni_jax.app.texts import get_language, load_corpus
from tests.support.cli_runs import refused

FILE = """
[settings]
strings = 500
[settings.train]
steps = 30
[grid]
seed = [3, 4]
[[list]]
hidden = 8
batch = 4
[[list]]
hidden = 16
batch = 8
"""


def test_grid_and_list_from_a_file(tmp_path):
    file = tmp_path / "pairs.toml"
    file.write_text(FILE)
    sweep = read_sweep(file)
    assert sweep.name == "pairs"
    assert [run.name for run in sweep.runs] == [
        "hidden-8_batch-4_seed-3", "hidden-8_batch-4_seed-4", "hidden-16_batch-8_seed-3", "hidden-16_batch-8_seed-4",
    ]  # fmt: skip
    last = sweep.runs[-1]
    assert last.values == {"train.hidden": 16, "train.batch": 8, "train.seed": 4}
    assert last.config == RunConfig(strings=500, text_seed=0, train=TrainConfig(hidden=16, batch=8, steps=30, seed=4))
    assert str(sweep.path) == "runs/pairs"


def test_the_same_axes_by_either_name():
    short = SweepConfig("s", {}, {"probe": ["svm", "ridge"], "learning_rate": [0.01]})
    full = SweepConfig("s", {}, {"inspect.probe": ["svm", "ridge"], "train.learning_rate": [0.01]})
    assert short.runs == full.runs
    assert [run.name for run in short.runs] == ["probe-svm_learning_rate-0.01", "probe-ridge_learning_rate-0.01"]


def test_axes_under_earlier_names_are_read():
    """Earlier versions called the precision of matrix products ``products``."""
    for name in ("products", "train.products"):
        plan = parse_sweep({"grid": {name: ["float32", "bfloat16"]}}, "s")
        assert [run.config.train.matmul_dtype for run in plan.runs] == ["float32", "bfloat16"]
        assert list(plan.runs[0].values) == ["train.matmul_dtype"]
    with pytest.raises(ValueError, match=r"expected every axis once, got train\.matmul_dtype twice"):
        parse_sweep({"grid": {"products": ["float32"], "matmul_dtype": ["bfloat16"]}}, "s")


def test_seeds_share_the_text_unless_told():
    grid = {"seed": [1, 2]}
    assert {run.config.text_seed for run in SweepConfig("s", {"train": {"seed": 7}}, grid).runs} == {7}
    apart = SweepConfig("s", {}, grid, share_text=False)
    assert {run.config.text_seed for run in apart.runs} == {None}
    assert [run.config.resolved_text_seed for run in apart.runs] == [1, 2]
    assert {run.config.text_seed for run in SweepConfig("s", {"text_seed": 5}, grid).runs} == {5}
    assert {run.config.text_seed for run in SweepConfig("s", {}, {"hidden": [4]}).runs} == {None}
    named = SweepConfig("s", {}, listed=[{"seed": 1, "text_seed": 3}, {"seed": 2, "text_seed": 4}])
    assert [run.config.text_seed for run in named.runs] == [3, 4]


def test_a_texts_seed_draws_the_text_and_nothing_else():
    plain = RunConfig(strings=200)
    other = replace(plain, train=TrainConfig(seed=5))
    same = replace(other, text_seed=0)
    texts = [load_corpus(one, get_language(one)).strings for one in (plain, other, same)]
    assert texts[0] == texts[2] != texts[1]


def test_names_that_are_no_paths():
    grammars = ["a/one.lark", "b/one.lark"]
    names = [run.name for run in SweepConfig("s", {}, {"grammar": grammars}).runs]
    assert names == ["grammar-a-one.lark", "grammar-b-one.lark"]
    clash = [run.name for run in SweepConfig("s", {}, {"grammar": ["a/x", "a-x"]}).runs]
    assert len(set(clash)) == 2
    assert all("/" not in name and "=" not in name for name in (*names, *clash))
    (long,) = SweepConfig("s", {}, {"text": ["x" * 300], "grammar": ["g"]}).runs
    assert len(long.name) < 140
    lists = SweepConfig("s", {}, {"headlines": [["digit", "depth=1"], []]})
    assert [run.name for run in lists.runs] == ["headlines-digit+depth-1", "headlines-none"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"grid": {"hiden": [1]}}, "hiden: did you mean hidden"),
        ({"grid": {"train.sed": [1]}}, "did you mean train.seed"),
        ({"grid": {"out": ["x"]}}, "expected a setting of a run as an axis, got out"),
        ({"grid": {"hidden": 8}}, "a list of values for the axis hidden, got 8"),
        ({"grid": {"cell": "lstm"}}, r"write \['lstm'\]"),
        ({"grid": {"hidden": []}}, "at least one value for the axis hidden"),
        ({"grid": {"hidden": [8, 16, 8]}}, "got 8 twice"),
        ({"grid": {"hidden": [8], "train.hidden": [16]}}, "train.hidden twice"),
        ({"grid": {"hidden": [8]}, "list": [{"hidden": 16}]}, "train.hidden twice"),
        ({"grid": {"hidden": ["8"]}}, "train.hidden to be int, got '8'"),
        ({"grid": {"hidden": [0]}}, "hidden of at least 1"),
        ({"list": [{"hidden": 8}, {"seed": 1}]}, "the same axes in every entry"),
        ({"list": [{"hidden": 8}, {"hidden": 8}]}, "different entries"),
        ({"list": [{}]}, "table of settings as entry 1"),
        ({"list": {"hidden": 8}}, "list to be a list of tables"),
        ({"grid": {"learning_rate": [1, 2]}, "together": 0}, "together of at least 1"),
        ({"grid": {"language": ["c_expressions", "c"]}}, "--text PATH"),
        ({}, r"at least one axis in \[grid\]"),
        ({"hidden": [8]}, "settings of runs into"),
        ({"grid": {"seed": [1]}, "settings": {"out": "x"}}, "got out, which the sweep sets itself"),
        ({"grid": {"seed": [1]}, "settings": {"hidden": 8}}, "expected the name of a setting, got hidden"),
        ({"grid": {"seed": [1]}, "name": "a/b"}, "a valid folder name"),
        ({"grid": {"seed": [1]}, "share_text": 1}, "share_text to be true or false"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        parse_sweep(table, "s")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="expected a sweep in"):
        read_sweep(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("grid = [")
    with pytest.raises(ValueError, match=r"broken\.toml"):
        read_sweep(tmp_path / "broken.toml")


def groups_of(together=16, **tables):
    return [[run.name for run in group.runs] for group in group_runs(SweepConfig("s", **tables).runs, together)]


def test_one_shape_on_one_text_trains_together():
    assert groups_of(grid={"hidden": [8, 16], "seed": [0, 1]}) == [
        ["hidden-8_seed-0", "hidden-8_seed-1"],
        ["hidden-16_seed-0", "hidden-16_seed-1"],
    ]
    for axis, values in {"steps": [1, 2], "language": ["parentheses", "arithmetic"], "cell": ["lstm", "gru"]}.items():
        assert [len(group) for group in groups_of(grid={axis: values, "seed": [0, 1]})] == [2, 2]
    assert [len(group) for group in groups_of(grid={"seed": [0, 1, 2]}, share_text=False)] == [1, 1, 1]
    assert [len(group) for group in groups_of(together=2, grid={"seed": range(5)})] == [2, 2, 1]


def test_a_population_has_every_seed_with_every_rate():
    sweep = SweepConfig("s", grid={"seed": [0, 1], "learning_rate": [0.01, 0.02]})
    (group,) = group_runs(sweep.runs, 16)
    assert (group.seeds, group.rates) == ((0, 1), (0.01, 0.02))
    pairs = [(run.config.train.learning_rate, run.config.train.seed) for run in group.firsts]
    assert pairs == [(0.01, 0), (0.01, 1), (0.02, 0), (0.02, 1)]  # as train_population numbers its networks
    rows = [{"seed": s, "learning_rate": r} for s, r in [(0, 0.01), (1, 0.01), (0, 0.02), (3, 0.03), (0, 0.04)]]
    parts = group_runs(SweepConfig("s", listed=rows).runs, 16)
    assert [(part.seeds, part.rates) for part in parts] == [
        ((0, 1), (0.01,)), ((0,), (0.02, 0.04)), ((3,), (0.03,)),
    ]  # fmt: skip
    (usual,) = group_runs(SweepConfig("s", grid={"seed": [0, 1]}).runs, 16)
    assert usual.rates is None


def test_runs_that_ask_one_network_train_it_once():
    axes = {"seed": [0, 1], "probe": ["svm", "ridge"], "random_sets": [8, 9]}
    (group,) = group_runs(SweepConfig("s", grid=axes).runs, 16)
    assert (len(group.networks), len(group.runs)) == (2, 8)
    # What is asked while they learn is part of the training.
    watched = group_runs(SweepConfig("s", {"inspect_every": 10}, axes).runs, 16)
    assert [(len(one.networks), len(one.runs)) for one in watched] == [(2, 4), (2, 4)]


def test_the_plan_is_shown_and_nothing_begun(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.toml").write_text(FILE)
    main(["sweep", "pairs.toml", "--dry-run", "--json"])
    plan = json.loads(capsys.readouterr().out)
    assert [(row["run"], row["task"], row["state"]) for row in plan["runs"]] == [
        ("hidden-8_batch-4_seed-3", 1, "waiting"),
        ("hidden-8_batch-4_seed-4", 1, "waiting"),
        ("hidden-16_batch-8_seed-3", 2, "waiting"),
        ("hidden-16_batch-8_seed-4", 2, "waiting"),
    ]
    main(["sweep", "pairs.toml", "--dry-run"])
    assert "4 runs in runs/pairs" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_workers_that_cannot_be(tmp_path, capsys, monkeypatch):
    file = tmp_path / "pairs.toml"
    file.write_text(FILE)
    monkeypatch.setattr("dni_jax.app.sweep._workers.find_spec", lambda name: None)
    for backend in ("dask", "ray"):
        told = refused(["sweep", str(file), "--dry-run", "--backend", backend, "--address", "x"], capsys)
        assert f"pip install 'dni-jax[{backend}]'" in told
    assert "along with --address" in refused(["sweep", str(file), "--dry-run", "--address", "x"], capsys)
    assert "at least 1 job" in refused(["sweep", str(file), "--dry-run", "--jobs", "0"], capsys)
    monkeypatch.undo()
    pytest.importorskip("distributed")
    assert "tcp://HOST:8786" in refused(["sweep", str(file), "--dry-run", "--backend", "dask"], capsys)
