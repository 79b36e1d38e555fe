"""The report of a real run: its sentences are those of the run's findings, and it stays small."""

import pandas as pd
import pytest

import dni_jax as dni
from dni_jax.app.config import RunConfig, TrainConfig
from dni_jax.app.pipeline import run
from dni_jax.app.report._excerpt import make_excerpt
from dni_jax.app.report._page import write_report
from dni_jax.app.report._run_files import RunFiles
from dni_jax.app.report._verdicts import knowledge, use
from dni_jax.app.run_folder import RunFolder
from dni_jax.inspection import read_relevance


@pytest.mark.slow
def test_the_report_of_a_real_run(parentheses, tmp_path):
    train = TrainConfig(hidden=24, steps=200, batch=16, window=32)
    path = run(RunConfig(strings=4_000, out=str(tmp_path / "run"), train=train)).path
    held_out = parentheses.sample(4_000, seed=0).test.shuffle(0)
    labels, model = parentheses.features().label(held_out), dni.load(path / "checkpoint")
    relevance = read_relevance(path / "relevance.parquet")
    with RunFolder(path).writing("excerpt.npz") as excerpt:
        make_excerpt(held_out, dni.record(model, held_out), labels, relevance=relevance).save(excerpt)
    page = write_report(path)
    assert page.stat().st_size < 1_000_000
    findings = pd.read_csv(path / "findings.csv", keep_default_na=False, na_values=[""])
    rows = RunFiles.read(path).findings
    assert [row["feature"] for row in rows] == findings["feature"].tolist()
    for row, found in zip(rows, findings.to_dict("records"), strict=True):
        for name in ("auc", "score", "p_family", "auc_within_symbol", "effect", "random", "p_effect"):
            assert row[name] == pytest.approx(found[name], abs=1e-6, nan_ok=True)
        assert str(row["neurons"]) == found["neurons"]
    states = {knowledge(row) for row in rows}
    assert {"known", "echo", "same", "constant"} <= states
    assert {use(row) for row in rows} <= {"used", "not shown", "harm", ""}
