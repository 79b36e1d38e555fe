"""A Hugging Face transformer with random weights: its tokens' states at the characters, and what they know of them."""

import numpy as np
import pytest

import dni_jax as dni

WHY = "transformers or PyTorch is not installed: pip install 'dni-jax[other-networks]'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
tokenizers = pytest.importorskip("tokenizers", reason=WHY)


@pytest.fixture(scope="module")
def text(held_out):
    """The held-out strings, and one with a character of which the tokenizer knows the bytes only."""
    return dni.Corpus.from_strings([*held_out.strings[:60], "0(é1)", "(0)"])


@pytest.fixture(scope="module")
def tokenizer(text):
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.post_processor = tokenizers.processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(text.strings[:60], trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


@pytest.fixture(scope="module")
def network(tokenizer):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=128, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=1
    )
    return transformers.GPT2Model(config).eval()


@pytest.fixture(scope="module")
def encoded(tokenizer, text):
    return tokenizer(list(text.strings), return_offsets_mapping=True, padding=True, return_tensors="pt")


@pytest.fixture(scope="module")
def layer(network, encoded):
    with torch.no_grad():
        return network(
            encoded["input_ids"], attention_mask=encoded["attention_mask"], output_hidden_states=True
        ).hidden_states[1]


def test_tokens_hold_several_characters(encoded):
    widths = np.diff(encoded["offset_mapping"].numpy(), axis=-1)
    assert widths.max() >= 2
    assert (widths == 0).any()  # special and padding tokens


def test_chosen_characters_have_their_tokens_states(text, tokenizer, layer, encoded):
    containing = dni.from_tokens(layer, encoded["offset_mapping"], text)
    completed = dni.from_tokens(layer, encoded["offset_mapping"], text, assign="completed")
    assert containing.mask is None
    for string in (0, 7, len(text) - 1):
        base = text.offsets[string]
        for character in range(len(text.strings[string])):
            token = encoded.char_to_token(string, character)
            np.testing.assert_array_equal(containing.hidden[base + character], layer[string, token])
            ended = [
                token
                for token, (first, last) in enumerate(encoded["offset_mapping"][string].tolist())
                if first < last <= character + 1
            ]
            if ended:
                np.testing.assert_array_equal(completed.hidden[base + character], layer[string, ended[-1]])
            else:
                assert not completed.mask[base + character]
                assert not completed.hidden[base + character].any()


def test_a_character_of_several_tokens_has_the_last_of_them(text, layer, encoded):
    string = text.strings.index("0(é1)")
    covering = [n for n, pair in enumerate(encoded["offset_mapping"][string].tolist()) if pair[0] <= 2 < pair[1]]
    assert len(covering) >= 2
    for assign in ("containing", "completed"):
        states = dni.from_tokens(layer, encoded["offset_mapping"], text, assign=assign)
        np.testing.assert_array_equal(states.hidden[text.offsets[string] + 2], layer[string, covering[-1]])


def test_completed_states_do_not_depend_on_what_follows(network, tokenizer):
    def states(string):
        encoded = tokenizer([string], return_offsets_mapping=True, return_tensors="pt")
        with torch.no_grad():
            layer = network(encoded["input_ids"], output_hidden_states=True).hidden_states[-1]
        return dni.from_tokens(layer, encoded["offset_mapping"], dni.Corpus.from_strings([string]), "completed")

    first, second = states("0(11)x0(1)"), states("0(11)x(((")  # "x" is a token by itself
    np.testing.assert_allclose(first.hidden[:6], second.hidden[:6], atol=1e-6)
    assert np.abs(first.hidden[9] - second.hidden[8]).max() > 1e-3


@pytest.mark.parametrize("assign", ["containing", "completed"])
def test_a_network_ends_in_a_relevance_dataset(parentheses, held_out, network, tokenizer, assign):
    corpus = held_out.take(np.arange(60))
    encoded = tokenizer(list(corpus.strings), return_offsets_mapping=True)
    tokens = [torch.tensor([ids]) for ids in encoded["input_ids"]]
    with torch.no_grad():
        layers = [torch.cat(network(ids, output_hidden_states=True).hidden_states, -1)[0] for ids in tokens]
    states = dni.from_tokens(layers, encoded["offset_mapping"], corpus, assign=assign)
    labels = parentheses.features().select(["digit"]).label(corpus)
    relevance = dni.inspect(states, labels, folds=4)
    assert dict(relevance.sizes) == {"neuron": 48, "feature": 1, "fold": 4}
    stated = corpus.n_positions if states.mask is None else states.mask.sum()
    assert relevance.attrs["positions"] == stated
    assert (states.mask is None) == (assign == "containing")


def test_a_planted_neuron_is_found(parentheses, held_out, tokenizer):
    corpus = held_out.take(np.arange(60))
    offsets = tokenizer(list(corpus.strings), return_offsets_mapping=True)["offset_mapping"]
    rng = np.random.default_rng(0)
    states = [rng.normal(size=(len(spans), 5)) for spans in offsets]
    for rows, spans, string in zip(states, offsets, corpus.strings, strict=True):
        rows[:, 3] = [string[first:last].isdigit() for first, last in spans]  # whole tokens of digits
    feature = dni.feature("in digits", lambda string: _in_digits(string, offsets[corpus.strings.index(string)]))
    labels = dni.FeatureLibrary((feature,)).label(corpus)
    best = dni.top(dni.inspect(dni.from_tokens(states, offsets, corpus), labels, folds=4), "in digits", k=2)
    assert best["neuron"][0] == 3
    assert best["score"][0] == 1.0


def _in_digits(string, spans):
    marks = np.zeros(len(string), int)
    for first, last in spans:
        marks[first:last] = string[first:last].isdigit()
    return marks.tolist()


def test_wrong_tokens_are_named(text, layer, encoded, tokenizer):
    offsets = encoded["offset_mapping"]
    with pytest.raises(ValueError, match="array of states per string"):
        dni.from_tokens(layer[:-1], offsets, text)
    with pytest.raises(ValueError, match=r"states of string 0 of shape .*one row per token"):
        dni.from_tokens(layer[:, 1:], offsets, text)
    truncated = tokenizer(
        list(text.strings),
        return_offsets_mapping=True,
        padding=True,
        truncation=True,
        max_length=4,
        return_tensors="pt",
    )["offset_mapping"]
    with pytest.raises(ValueError, match="truncates"):
        dni.from_tokens(layer[:, : truncated.shape[1]], truncated, text, assign="completed")
