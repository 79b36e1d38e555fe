"""A report is one page with everything in it, says what is missing, and holds a run's numbers."""

import base64
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from dni_jax.app.report._colors import LEVELS, THEMES, diverging, ink, luminance
from dni_jax.app.report._excerpt import Excerpt
from dni_jax.app.report._feature_table import describe, families
from dni_jax.app.report._page import write_report
from dni_jax.app.report._page_data import cluster_rows, page_data, relevance_strengths, safe_json
from dni_jax.app.report._run_files import RunFiles
from dni_jax.characters import display_name
from dni_jax.features import feature_family
from dni_jax.inspection import ranking, read_relevance, relevance_table, write_table


class Page(HTMLParser):
    """The elements of a page, as a browser's first step would cut them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.scripts, self.inside = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text.append(data)

    def handle_endtag(self, tag):
        self.inside = None

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(run_folder):
    return write_report(run_folder)


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text(encoding="utf-8"))


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def test_the_page_refers_to_nothing_outside_itself(written, page):
    assert written.name == "report.html"
    assert page.of("html") == [{"lang": "en"}]
    assert not [attributes for attributes in (a for _, a in page.tags) if "src" in attributes]
    assert {attributes["href"] for attributes in page.of("link")} == {"data:,"}
    assert all(attributes["href"].startswith("#") for attributes in page.of("a"))
    style = written.read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
    assert "@import" not in style
    assert "url(" not in style
    (policy,) = [meta["content"] for meta in page.of("meta") if "http-equiv" in meta]
    assert "default-src 'none'" in policy
    assert "unsafe-inline'; script" in policy  # styles only


def test_text_that_would_break_out_stays_text(page, constructed):
    assert len(page.scripts) == 2
    assert not page.of("img")
    assert not page.of("b") or "hacked" not in " ".join(page.scripts[1:])
    assert constructed.evil in "".join(page.text)
    data = json.loads(page.scripts[0])
    assert constructed.evil in [one["name"] for one in data["features"]]
    assert "<" not in page.scripts[0]
    assert any("<script>hacked()" in text for text in page.text)  # a sample, as text
    assert "paren<theses>" in "".join(page.text)


def test_labels_name_controls_that_are_there(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in (a for _, a in page.tags):
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name, ids[0]) in ids
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    script = page.scripts[1]
    optional = {"by-use", "effect", "effect-of", "distribution", "dynamics", "losses", "ideal", "neutral", "characters"}
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) - set(ids) <= optional


def test_the_data_hold_the_runs_numbers(run_folder):
    run = RunFiles.read(run_folder)
    data = json.loads(safe_json(page_data(run)))
    relevance = read_relevance(run_folder / "relevance.parquet")
    names = [row["feature"] for row in run.findings]
    means = relevance.sel(feature=names).mean("fold")
    for name in ("auc", "score", "auc_within_symbol", "p_family"):
        steps = numbers(data["matrices"][name]["values"], "<i2").reshape(len(names), -1)
        values = np.where(steps == -32768, np.nan, steps * np.asarray(data["matrices"][name]["scale"])[:, None])
        np.testing.assert_allclose(values, means[name].transpose("feature", "neuron").values, atol=2e-5)
    order = numbers(data["order"], "<u2").reshape(len(names), -1)
    for place, name in enumerate(names):
        assert order[place].tolist() == ranking(relevance, name, "auc").tolist()
    assert sorted(data["map"]["neurons"]) == list(range(12))
    assert {names[at] for at in data["map"]["features"]} == set(names) - {"always", "copy"}
    falls = numbers(data["falls"], np.uint8).reshape(len(names), -1)
    assert falls[names.index("depth=1")].tolist() == [1, 0] * 6
    assert data["training"]["train_loss"] == [3, 2, 1]
    assert data["dynamics"]["best"][names.index("depth=1")] == [0.6, 0.7, 0.8]
    assert data["dynamics"]["best"][names.index("digit")] is None
    curve = data["effects"][names.index("depth=1")]["ablate"]
    assert curve["k"] == [1, 2]
    assert curve["loss_on"]["top"] == [0.25, 0.5]
    assert set(data["effects"][names.index("digit")]) == {"ablate", "symbols"}


def test_the_data_hold_the_excerpt(run_folder):
    run = RunFiles.read(run_folder)
    data, excerpt = page_data(run), Excerpt.load(run_folder / "excerpt.npz")
    shown = data["excerpt"]
    hidden = numbers(shown["hidden"], np.int8).reshape(12, -1)
    np.testing.assert_array_equal(hidden, excerpt.hidden.T)
    names = [row["feature"] for row in run.findings]
    bits = np.unpackbits(numbers(shown["labels"][names.index("digit")]["bits"], np.uint8))[: len(excerpt.text)]
    np.testing.assert_array_equal(bits, excerpt.labels[:, excerpt.names.index("digit")])
    known = np.unpackbits(numbers(shown["known"], np.uint8))[: len(excerpt.text)]
    np.testing.assert_array_equal(known, excerpt.known)
    assert shown["text"] == excerpt.text.tolist()


def test_of_a_large_run_the_best_neurons_stay(constructed, run_folder, monkeypatch):
    monkeypatch.setattr("dni_jax.app.report._page_data._CELLS", 50)
    data = page_data(RunFiles.read(run_folder))
    assert len(data["neurons"]) == 5
    assert data["nNeurons"] == 12
    assert len(numbers(data["order"], "<u2")) == 5 * len(constructed.names)


def test_findings_come_with_their_numbers(page):
    text = re.sub(r"\s+", " ", "".join(page.text))
    assert (
        "the network's loss is 0.6400 nats per symbol. The best possible predictor of this grammar has 0.6300" in text
    )
    assert "Known and used" in text
    assert "exactly 1 pair of brackets is open (AUC 0.990, p = 0.020)" in text
    assert "Too rare to judge: seldom." in text
    assert "copy as depth=1" in text
    assert "80.0% of class digit; 50.0% without intervention, 52.0% with one random set of neurons set to 1." in text


def test_a_run_of_an_earlier_version_has_the_same_page(constructed, written, tmp_path):
    """In earlier versions, ``auc_within_symbol`` was called ``given_symbol``, and ``class_probability`` ``mass``."""
    effects = constructed.effects()
    effects["measure"] = effects["measure"].replace({"class_probability_on": "mass_on"})
    folder = constructed.write_run(tmp_path / "small", effects=effects)
    relevance = constructed.relevance().rename(auc_within_symbol="given_symbol")
    write_table(relevance_table(relevance), folder / "relevance.parquet")
    assert "given_symbol" in pd.read_parquet(folder / "relevance.parquet")
    pages = (Page(write_report(run).read_text(encoding="utf-8")) for run in (folder, written.parent))
    old, new = (json.loads(page.scripts[0]) for page in pages)
    assert old == new


OPTIONAL = ("summary.json", "effects.parquet", "samples.json", "training.csv", "dynamics.parquet", "excerpt.npz")


@pytest.mark.parametrize("missing", [*((name,) for name in OPTIONAL), (*OPTIONAL, "findings.csv")])
def test_a_run_that_is_not_whole_still_has_a_page(constructed, tmp_path, missing):
    folder = constructed.write_run(tmp_path / "run", without=missing)
    text = "".join(Page(write_report(folder).read_text(encoding="utf-8")).text)
    if "effects.parquet" in missing:
        assert "Whether the network uses these features was not tested" in text
        assert "The network uses them" not in text
    if "excerpt.npz" in missing:
        assert "dni inspect" in text


def test_a_missing_or_broken_file_is_named_with_what_makes_it(constructed, tmp_path):
    folder = constructed.write_run(tmp_path / "run", without=("relevance.parquet",))
    with pytest.raises(ValueError, match=r"relevance.parquet.*`dni inspect .*run` makes it"):
        write_report(folder)
    with pytest.raises(ValueError, match=r"config.toml.*`dni run LANGUAGE`"):
        write_report(tmp_path)
    folder = constructed.write_run(tmp_path / "run")
    for name in ("samples.json", "effects.parquet", "training.csv", "config.toml"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(b"" if name == "training.csv" else b"{broken")
        with pytest.raises(ValueError, match=name):
            write_report(folder)
        (folder / name).write_bytes(kept)
    assert not (folder / "report.html").exists()


def test_effects_of_one_feature_only(constructed, tmp_path):
    effects = constructed.effects()
    folder = constructed.write_run(tmp_path / "run", effects=effects[effects["feature"] == "digit"])
    run = RunFiles.read(folder)
    tested = [row["feature"] for row in run.findings if not np.isnan(row["effect"])]
    assert tested == ["digit"]
    assert write_report(folder).is_file()


def test_lone_surrogates_and_no_feature_known(constructed, tmp_path):
    folder = constructed.write_run(tmp_path / "run")
    samples = json.loads((folder / "samples.json").read_text())
    samples["intact"]["texts"] = ["\ud800 alone"]
    (folder / "samples.json").write_text(json.dumps(samples))
    table = pd.read_parquet(folder / "relevance.parquet")
    held = table.attrs
    table["auc"] = table["auc"] * 0 + 0.5
    table["score"] = table["score"] * 0
    table.attrs = held
    table.to_parquet(folder / "relevance.parquet")
    text = "".join(Page(write_report(folder).read_text(encoding="utf-8")).text)
    assert "No single neuron encodes a feature." in text


@pytest.mark.parametrize("theme", list(THEMES))
def test_heat_is_even_and_can_be_read_on(theme):
    colors = diverging(theme)
    light = [luminance(color) for color in colors]
    middle = light[LEVELS]
    away = [abs(value - middle) for value in light]
    assert all(a < b for a, b in itertools.pairwise(away[LEVELS:]))
    assert all(a > b for a, b in itertools.pairwise(away[: LEVELS + 1]))
    for color, value in zip(colors, light, strict=True):
        other = 0.0 if ink(color) == "#000000" else 1.0
        high, low = max(value, other) + 0.05, min(value, other) + 0.05
        assert high / low >= 4.5  # WCAG AA


def test_the_map_puts_together_what_goes_together():
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], 8)
    rows = np.eye(3)[kinds] + 0.05 * rng.random((24, 3))
    mixed = rng.permutation(24)
    order = cluster_rows(rows[mixed])
    assert sorted(order) == list(range(24))
    assert (np.diff(kinds[mixed][order]) != 0).sum() == 2
    assert cluster_rows(rows[:2]).tolist() == [0, 1]


def test_strength_is_of_auc_or_r2(constructed):
    known = relevance_strengths(constructed.relevance())
    assert known.shape == (12, len(constructed.names))
    np.testing.assert_allclose(known[:3, :3].diagonal(), [0.8, 0.98, 0.8], atol=1e-6)
    assert not known[:, constructed.names.index("always")].any()


def test_names_in_words():
    assert describe("depth=0") == "no bracket is open"
    assert describe("impulse:e -> ( e )") == "the character is the first or last one of e → ( e )"
    assert describe("symbol:\n") == "the character is a line break"
    assert describe("my own") == ""
    assert feature_family("my own") == "other"
    assert families(["x", "range:e", "depth"]) == ["nesting", "range", "other"]
    assert display_name("symbol:\n") == "symbol:↵"
