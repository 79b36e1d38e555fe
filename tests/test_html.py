"""What notebooks show is well-formed, holds the objects' numbers, and no text of the user is read as HTML."""

from dataclasses import replace
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest

import dni_jax as dni
from dni_jax.html import card, cell, code, facts, numbers, sparkline, symbols, table
from dni_jax.languages import list_languages

NASTY = "<script>alert('1 & 2')</script>\t\"é日\n"
_VOID = {"br"}


class Page(HTMLParser):
    """All rows of cells, all tags, and the text; refuses tags that are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.tags, self.open, self.text = [], [], [], ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        style = dict(attrs).get("style", "")
        assert not {"white", "black"} & set(style.replace(";", ":").split(":"))
        assert "#" not in style

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open[-1:] != ["strong"] and self.rows:
            self.rows[-1][-1] += data

    def row(self, first):
        """The cells behind the one with this text."""
        (found,) = [row[1:] for row in self.rows if row[0] == first]
        return found


def read(thing):
    page = Page(thing._repr_html_())
    assert set(page.tags) <= {
        "div",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "span",
        "svg",
        "polyline",
    }
    return page


def test_parts():
    page = Page(
        card("<b>", table(["a&b", "n"], [["<i>", 1234567], [None, float("nan")]], total=5), facts({"<u>": True}))
    )
    assert page.rows == [["a&b", "n"], ["<i>", "1,234,567"], ["-", "-"], ["… and 3 more"], ["<u>", "yes"]]
    assert "<b>" in page.text
    assert {"b", "i", "u"}.isdisjoint(page.tags)
    assert Page(code("a b", 10)).text == "a␣b … (10)"
    assert Page(symbols([chr(n) for n in range(300, 400)])).text.endswith("… (100)")
    assert numbers(range(3)) == "0, 1, 2"
    assert numbers(range(30), limit=2) == "0, 1, … (30)"
    assert cell(np.float32(0.5)) == "0.5"
    assert table(["a"], []).count("<td") == 0


def test_sparkline():
    points = sparkline([3.0, 2.0, 1.0]).split('points="')[1].split('"')[0].split()
    across, down = np.array([point.split(",") for point in points], float).T
    np.testing.assert_allclose(across, [1, 60, 119])
    np.testing.assert_allclose(down, [1, 12, 23])
    assert sparkline([1.0]) == sparkline([1.0, np.nan]) == ""


def test_corpus(held_out):
    page = read(held_out)
    assert page.row("strings") == [f"{len(held_out):,}"]
    assert page.row("characters") == [f"{held_out.n_positions:,}"]
    assert page.row("parse trees") == [f"{len(held_out.trees.rule):,} nodes"]
    assert page.row("test") == [f"{len(held_out):,}", f"{held_out.n_positions:,}"]
    assert page.row("train") == ["0", "0"]
    first = held_out.strings[0]
    assert page.row("0") == ["test", first if len(first) <= 80 else f"{first[:80]} … ({len(first)})"]
    assert f"… and {len(held_out) - 5:,} more" in page.text


def test_a_nasty_corpus():
    corpus = dni.Corpus.from_strings([NASTY, "x" * 100], language=NASTY)
    corpus = replace(corpus, parsed=np.arange(corpus.n_positions) > 3)
    page = read(corpus)
    assert page.row("0") == ["train", "<script>alert('1␣&␣2')</script>→\"é□↵"]
    assert page.row("1") == ["train", "x" * 80 + " … (100)"]
    assert page.row("not parsed") == [f"4 characters ({4 / corpus.n_positions:.2%}): without labels"]
    assert NASTY in page.text
    assert page.row("parse trees") == ["none"]


def test_labels_and_library(held_out, labels):
    page = read(labels)
    digit = labels["digit"]
    kind, on, share, *_ = page.row("digit")
    assert (kind, on, share) == ("binary", f"{digit.sum():,}", f"{digit.mean():.4g}")
    kind, on, share, mean, *_ = page.row("depth")
    assert (kind, on, share, mean) == ("continuous", "-", "-", f"{labels['depth'].mean(dtype=np.float64):.4g}")
    assert f"… and {len(labels) - 40} more" in page.text
    library = dni.char_feature(NASTY, str.isdigit) + dni.char_feature("b", str.isalpha)
    assert read(library).row(NASTY)[0] in ("binary", "by its labels")
    made = library.label(dni.Corpus.from_strings(["1a"]))
    assert read(replace(made, mask=np.array([True, False]))).row(NASTY)[:3] == ["binary", "1", "1"]
    assert "1 positions masked" in read(replace(made, mask=np.array([True, False]))).text
    assert read(replace(made, mask=np.zeros(2, bool))).row("b")[1] == "0"
    assert "0 features" in read(made.select([])).text


@pytest.mark.parametrize("name", list_languages())
def test_languages(name):
    language = dni.languages.get(name)
    page = read(language)
    assert page.row("kinds of nodes") == [f"{len(language.kinds):,}"]
    assert language.kinds[0].name in [row[0] for row in page.rows]
    assert page.row("samples") == ["yes" if language.characters else "no"]
    if language.characters:
        assert page.row("an example") == [language.sample(1, seed=0).strings[0].replace(" ", "␣")]


def test_a_nasty_language():
    language = dni.Language.from_lark('start: "<b>" start | "&"', name="<i>")
    page = read(language)
    assert "Language <i>" in page.text
    assert page.row("symbols") == ["&<>b"]


def test_model_and_states(model, states):
    page = read(model)
    assert page.row("cell") == ["lstm, 24 neurons"]
    assert page.row("validation loss")[0].strip() == f"{model.validation_loss:.4f} nats per symbol"
    assert "polyline" in page.tags
    assert "seed 0" in page.row("training")[0]
    elsewhere = read(replace(model, config=None, history=(), boundary=False))
    assert "imported" in elsewhere.text
    assert elsewhere.row("boundary") == ["no"]
    page = read(states)
    assert page.row("hidden") == [
        f"{states.hidden.shape[0]} x 24",
        "float32",
        f"{states.hidden.nbytes / 2**20:.1f} MiB",
    ]
    assert page.row("order of gates") == ["i, f, g, o"]
    assert page.row("groups (strings or files)") == [f"{len(np.unique(states.groups)):,}"]


def test_interventions(labels, states):
    positions = len(labels.mask)
    on = int(labels["digit"].sum())
    chosen = (
        dni.ablate([3, 1])
        .then(dni.clamp([2, 5], [0.5, -1], part="c", when=labels["digit"] == 1))
        .then(dni.clamp_to_labels([0], labels["digit"], where="recurrent"))
        .then(dni.patch(range(24), states))
        .then(dni.clamp([7], 2.0, where="readout"))
    )
    page = read(chosen)
    assert page.rows[1:] == [
        ["3, 1", "h", "0", "every step", "recurrent"],
        ["2, 5", "c", "0.5, -1", f"at {on:,} of {positions:,} positions", "recurrent"],
        ["0", "h", "labels: 0 is -1, 1 is 1", f"at {positions:,} positions", "recurrent"],
        [
            numbers(range(24)),
            "h",
            f"one value for each of {positions:,} positions",
            f"at {positions:,} positions",
            "recurrent",
        ],
        ["7", "h", "2", "every step", "readout"],
    ]
    (override, *_), _ = chosen.bind(24, positions, ("h", "c"))
    assert read(override).rows[1] == ["1, 3", "h", "0", "0", "recurrent"]
    values = jnp.arange(24, dtype=jnp.float32) * jnp.ones((12, 1))
    many = replace(override, mask=jnp.eye(12, 24, dtype=bool), low=values, high=values)
    assert read(many).rows[4] == ["3", "h", "3", "3", "recurrent"]
    assert [row[0] for row in read(many).rows[1:]] == [*map(str, range(10)), "… and 2 more"]
