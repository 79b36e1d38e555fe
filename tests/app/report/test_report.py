"""The page about any network, without a run's folder."""

import numpy as np
import pytest

import dni_jax as dni


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    corpus = dni.Corpus.from_strings(["".join(rng.choice(list("01()"), 12)) for _ in range(30)], language="riddles")
    library = dni.char_feature("digit", str.isdigit) + dni.char_feature("zero", lambda c: c == "0")
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    shapes = ((16, 4), (16, 4), (16,), (16,))
    weights = {name: rng.normal(size=shape) for name, shape in zip(names, shapes, strict=True)}
    kernel = rng.normal(size=(4, 4)).astype("float32")
    model = dni.from_torch(weights, None, list("01()"), readout=lambda trace: trace.top @ kernel)
    states, labels = dni.record(model, corpus), library.label(corpus)
    relevance = dni.inspect(states, labels, "ols", folds=3)
    relevance = relevance.pipe(dni.significance, states, labels, corpus, n_null=19)
    relevance = relevance.pipe(dni.baselines, states, labels, corpus, model=model, n_controls=1)
    effect = dni.verify(model, corpus, relevance, ["digit", "zero"], ks=(2,), n_random=4, match=None)
    return relevance, {"states": states, "corpus": corpus, "labels": labels}, effect


def test_the_page_has_the_findings_the_text_and_the_effects(parts, tmp_path):
    relevance, rest, effect = parts
    page = dni.report(relevance, **rest, effect=effect, path=tmp_path / "mine.html").read_text()
    assert "What a network knows about riddles" in page
    assert "digit" in page
    assert "compared with 4 random sets each" in page
    for absent in ("samples.json", "training.csv", "excerpt.npz", 'href="#samples"', 'id="training"'):
        assert absent not in page


def test_effects_may_be_missing_or_of_one_feature(parts, tmp_path):
    relevance, rest, effect = parts
    page = dni.report(relevance, **rest, path=tmp_path / "a.html", title="Mine & yours").read_text()
    assert "Mine &amp; yours" in page
    assert "was not tested" in page
    one = effect.isel(feature=0)
    assert "random sets each" in dni.report(relevance, **rest, effect=one, path=tmp_path / "b.html").read_text()


def test_parts_that_do_not_belong_together_are_refused(parts, tmp_path):
    relevance, rest, effect = parts
    with pytest.raises(ValueError, match="the same labels"):
        dni.report(relevance.isel(feature=[0]), **rest, path=tmp_path / "a.html")
    other = effect.assign_coords(feature=["digit", "other"])
    with pytest.raises(ValueError, match="effects of features"):
        dni.report(relevance, **rest, effect=other, path=tmp_path / "a.html")
