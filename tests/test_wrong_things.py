"""What is no corpus, network or relevance at all is refused in a sentence that says what to pass."""

import jaxtyping
import numpy as np
import pytest
import xarray as xr

import dni_jax as dni

CALLS = {
    "train": lambda wrong, model: dni.train(wrong),
    "train_population": lambda wrong, model: dni.train_population(wrong, seeds=(0, 1)),
    "record": lambda wrong, model: dni.record(model, wrong),
    "fine_tune": lambda wrong, model: dni.models.fine_tune(model, wrong),
    "label": lambda wrong, model: dni.char_feature("digit", str.isdigit).label(wrong),
    "verify": lambda wrong, model: dni.verify(model, wrong, xr.Dataset(), "digit"),
}


@pytest.fixture(autouse=True)
def unchecked():
    """Let wrong types pass the checker of the tests, as they do for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("name", CALLS)
def test_no_corpus(name, model):
    with pytest.raises(ValueError, match=r"expected a Corpus, got str: make one with dni\.Corpus\.from_strings"):
        CALLS[name]("0(1)", model)


def test_no_network(corpus):
    with pytest.raises(
        ValueError, match=r"expected a network that dni_jax runs itself, got str: pass the network first"
    ):
        dni.verify("lstm", corpus, xr.Dataset(), "digit")
    with pytest.raises(ValueError, match="expected a network that dni_jax runs itself, got str: import it"):
        dni.record("lstm", corpus)


def test_arguments_in_the_wrong_order(corpus, states, labels):
    with pytest.raises(ValueError, match="expected a Corpus, got list"):
        dni.from_arrays(corpus, [np.zeros((3, 2))])
    with pytest.raises(ValueError, match=r"expected states first, got Labels: dni\.inspect\(states, labels\)"):
        dni.inspect(labels, states)


def test_arrays_that_are_not_joined_yet(corpus, labels):
    strings = [np.zeros((len(string), 2)) for string in corpus.strings]
    with pytest.raises(ValueError, match=r"expected states as one array, got a list of .* dni\.from_arrays"):
        dni.inspect(strings, labels)
    with pytest.raises(ValueError, match="got ndarray: label the corpus with a feature"):
        dni.inspect(np.zeros((corpus.n_positions, 2)), np.zeros(corpus.n_positions))


def test_a_file_name_is_no_grammar():
    with pytest.raises(ValueError, match=r"expected the text of a grammar, got 'json.lark': pass pathlib\.Path"):
        dni.Language.from_lark("json.lark")


def test_p_values_before_there_are_any(relevance):
    with pytest.raises(ValueError, match=r"got 'p_family': dni\.significance adds it"):
        dni.top(relevance, "digit", by="p_family")


@pytest.mark.parametrize("wrong", [{}, xr.Dataset(), None])
def test_no_relevance(wrong):
    with pytest.raises(ValueError, match=r"expected the dataset that dni\.inspect returns, got"):
        dni.top(wrong, "digit")
