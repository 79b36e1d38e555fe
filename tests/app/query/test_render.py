"""Tables on the terminal and as files: nothing lost in csv, json and parquet; what the terminal leaves out is said."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from dni_jax.app.query import render

FRAME = pd.DataFrame(
    {
        "feature": ["symbol:,", 'say "é"\n', "[bold]東"],
        "neurons": [[3, 17], [], [5]],
        "auc": [1 / 3, np.nan, 1e-300],
        "small": np.array([0.1, 0.2, 0.3], np.float32),
        "k": pd.array([1, None, 3], "Int64"),
        "ok": [True, False, True],
    }
)


@pytest.fixture
def written(capsys, monkeypatch):
    """Give what is printed on a terminal of some width."""

    def printed(frame, kind="table", width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        render(frame, kind)
        return capsys.readouterr().out

    return printed


def test_csv_holds_everything(written):
    again = pd.read_csv(io.StringIO(written(FRAME, "csv")), keep_default_na=False, na_values=[""])
    assert again["feature"].tolist() == FRAME["feature"].tolist()
    assert [json.loads(text) for text in again["neurons"]] == FRAME["neurons"].tolist()
    assert again["auc"].tolist()[::2] == [1 / 3, 1e-300]
    assert pd.isna(again["auc"][1])
    np.testing.assert_array_equal(again["small"].astype(np.float32), FRAME["small"])
    assert written(FRAME, "csv").splitlines()[-1].split(",")[4] == "3"


def test_json_holds_everything(written):
    records = json.loads(written(FRAME, "json"))
    assert [list(record) for record in records] == [list(FRAME.columns)] * 3
    assert [record["neurons"] for record in records] == FRAME["neurons"].tolist()
    assert [record["auc"] for record in records] == [1 / 3, None, 1e-300]
    assert [record["k"] for record in records] == [1, None, 3]
    assert [record["ok"] for record in records] == [True, False, True]
    assert [record["feature"] for record in records] == FRAME["feature"].tolist()
    assert np.float32(records[1]["small"]) == np.float32(0.2)
    assert json.loads(written(FRAME.head(0), "json")) == []


def test_json_has_no_infinity():
    with pytest.raises(ValueError, match="finite numbers for json, got inf in 'x'"):
        render(pd.DataFrame({"x": [np.inf]}), "json")


def test_parquet_wants_a_file(tmp_path):
    with pytest.raises(ValueError, match="--out"):
        render(FRAME, "parquet")
    render(FRAME, "parquet", tmp_path / "answer.parquet")
    again = pd.read_parquet(tmp_path / "answer.parquet")
    assert [list(one) for one in again["neurons"]] == FRAME["neurons"].tolist()
    pd.testing.assert_frame_equal(again.drop(columns="neurons"), FRAME.drop(columns="neurons"))


@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_a_file_holds_what_the_terminal_shows(tmp_path, kind, written):
    printed = written(FRAME, kind)
    render(FRAME, kind, tmp_path / "answer")
    assert (tmp_path / "answer").read_bytes().decode() == printed


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(ValueError, match="finite"):
        render(pd.DataFrame({"x": [1.0, np.inf]}), "json", tmp_path / "answer.json")
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_rounds(written):
    frame = pd.DataFrame({"auc": [1.0, 0.93899999], "p": [0.005, 1.5e-7], "n": [20000, 3], "loss": [12.34567, np.nan]})
    lines = [line.split() for line in written(frame).splitlines() if line.strip()]
    assert lines[0] == ["auc", "p", "n", "loss"]
    assert lines[2:] == [["1.000", "0.005", "20000", "12.35"], ["0.939", "1.5e-07", "3", "-"]]


def test_the_terminal_shows_names_as_they_are(written):
    shown = written(FRAME)
    assert "[bold]東" in shown
    assert 'say "é"\\n' in shown
    assert "3 17" in shown
    assert "\x1b" not in written(pd.DataFrame({"x": ["\x1b[31mred"]}))


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_columns_that_do_not_fit_are_named(width, written):
    frame = pd.DataFrame({f"column{place}": ["word"] for place in range(16)})
    shown = written(frame, width=width)
    *table, last = shown.splitlines()
    assert max(map(len, table)) <= width
    for name in frame.columns:
        assert name in shown
    assert ("more columns" in last) == (width < 200)


def test_rows_that_are_left_out_are_counted(written):
    shown = written(pd.DataFrame({"n": range(1_234)}))
    assert "1,134 more rows" in shown
    assert "99" in shown.split()
    assert "100" not in shown.split()
    assert "No rows" in written(pd.DataFrame({"n": []}))


def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="table, csv, json, parquet, got 'xml'"):
        render(FRAME, "xml")
