"""Files of three networks that ship inside packages: the same architectures, small, with made-up weights.

Each has 20 neurons in all: the fewest with which one neuron can be compared with 19 others, for a p of .05.
"""

import json
from pathlib import Path

import numpy as np

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TEXT = _LETTERS + _LETTERS.upper() + " !?(),."


def _drawn(rng, *shape):
    return rng.normal(size=shape).astype("float32") * 0.5


def write_speller(folder: Path, hidden: int = 20) -> None:
    """g2p-en: two GRUs in PyTorch's order of gates."""
    rng = np.random.default_rng(0)
    arrays = {"fc_w": _drawn(rng, 9, hidden), "fc_b": _drawn(rng, 9)}
    for side, n_symbols in (("enc", 29), ("dec", 9)):
        arrays[f"{side}_emb"] = _drawn(rng, n_symbols, 4)
        arrays |= {f"{side}_w_ih": _drawn(rng, 3 * hidden, 4), f"{side}_w_hh": _drawn(rng, 3 * hidden, hidden)}
        arrays |= {f"{side}_b_ih": _drawn(rng, 3 * hidden), f"{side}_b_hh": _drawn(rng, 3 * hidden)}
    (folder / "g2p_en").mkdir(parents=True)
    np.savez(folder / "g2p_en" / "checkpoint20.npz", **arrays)


def write_writer(folder: Path, h5py, hidden: int = 10) -> None:
    """textgenrnn: two LSTMs in cuDNN's layout, an attention over both and the embedding."""
    rng = np.random.default_rng(1)
    codes = {"<s>": 1} | {character: code for code, character in enumerate(_TEXT, start=2)}
    n_codes, read = len(codes) + 1, 4 + 2 * hidden
    layers = {
        "embedding": {"embeddings:0": _drawn(rng, n_codes, 4)},
        "rnn_1": {"kernel:0": _drawn(rng, 4, 4 * hidden), "recurrent_kernel:0": _drawn(rng, hidden, 4 * hidden)},
        "rnn_2": {"kernel:0": _drawn(rng, hidden, 4 * hidden), "recurrent_kernel:0": _drawn(rng, hidden, 4 * hidden)},
        "attention": {"attention_W:0": _drawn(rng, read, 1)},
        "output": {"kernel:0": _drawn(rng, read, n_codes), "bias:0": _drawn(rng, n_codes)},
    }
    for name in ("rnn_1", "rnn_2"):
        layers[name]["bias:0"] = _drawn(rng, 8 * hidden)
    _write(folder / "textgenrnn", "textgenrnn", h5py, layers, codes, "2.1.5")


def write_judge(folder: Path, h5py, hidden: int = 20) -> None:
    """reactionrnn: a GRU of Keras 2.0.6 and five outputs."""
    rng = np.random.default_rng(2)
    codes = {character: code for code, character in enumerate(_TEXT, start=1)}
    layers = {
        "embedding": {"embeddings": _drawn(rng, len(codes) + 1, 4)},
        "rnn": {
            "kernel": _drawn(rng, 4, 3 * hidden),
            "recurrent_kernel": _drawn(rng, hidden, 3 * hidden),
            "bias": _drawn(rng, 3 * hidden),
        },
        "output": {"kernel": _drawn(rng, hidden, 5), "bias": _drawn(rng, 5) + 1},
    }
    _write(folder / "reactionrnn", "reactionrnn", h5py, layers, codes, "2.0.6")


def _write(folder, name, h5py, layers, codes, version):
    folder.mkdir(parents=True)
    (folder / f"{name}_vocab.json").write_text(json.dumps(codes))
    with h5py.File(folder / f"{name}_weights.hdf5", "w") as file:
        file.attrs["keras_version"] = version
        file.create_group("input")
        for layer, arrays in layers.items():
            for key, array in arrays.items():
                file.create_dataset(f"{layer}/{layer}/{key}", data=array)


def write_packages(folder: Path) -> None:
    """Write all whose format can be written here."""
    write_speller(folder)
    try:
        import h5py
    except ImportError:
        return
    write_writer(folder, h5py)
    write_judge(folder, h5py)
