"""The overview compares runs and links to their reports."""

import re

import pytest

from dni_jax.app.report._overview import write_overview


def test_runs_are_compared(constructed, run_folder, tmp_path):
    other = constructed.write_run(tmp_path / "other & <more>", without=("effects.parquet", "summary.json"))
    page = write_overview([run_folder, other], tmp_path / "pages" / "overview.html").read_text(encoding="utf-8")
    assert "other &amp; &lt;more&gt;" in page
    assert "0.6400" in page
    assert "0.6300 (best possible)" in page
    links = re.findall(r'href="([^"#]+report.html)"', page)
    assert links[1] == "../other%20%26%20%3Cmore%3E/report.html"
    (cells,) = re.findall(r"depth=1</span></th>(.*?)</tr>", page, re.DOTALL)
    assert cells.count(">0.990</a>") == 2
    assert "#feature=depth%3D1" in cells
    assert "always</span>" not in page
    assert "copy</span>" not in page


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config.toml"):
        write_overview([tmp_path], tmp_path / "overview.html")
