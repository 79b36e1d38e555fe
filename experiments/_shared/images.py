"""MNIST and CIFAR-10 for experiments: read from the user's own copy, or from ``shared/data`` beside the checkout."""

import io
import itertools
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

_BESIDE = [folder / "shared" / "data" for folder in Path(__file__).resolve().parents[3:5]]
SHARED = next((folder for folder in _BESIDE if folder.is_dir()), _BESIDE[0])
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


class Images(NamedTuple):
    """Images float32 ``(T, height, width, channels)`` from 0 to 1, and labels int32 ``(T,)`` from 0 to 9."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def mnist(path: str | Path | None = None) -> Images:
    """Read MNIST from an ``.npz`` with x_train, y_train, x_test, y_test; where there is none, `digits`, and say so."""
    file = Path(path) if path is not None else SHARED / "mnist.npz"
    if path is None and not file.exists():
        print(f"no MNIST in {file} (--mnist PATH takes your own): scikit-learn's 1,797 digits instead")
        return digits()
    with np.load(file) as read:
        parts = {name: read[name] for name in Images._fields}
    return _images(parts["x_train"][..., None], parts["y_train"], parts["x_test"][..., None], parts["y_test"])


def digits() -> Images:
    """Give scikit-learn's digits, 8 x 8 pixels drawn up to 28 x 28 by straight lines; every fifth is a test image."""
    pixels, labels = load_digits(return_X_y=True)
    large = zoom(pixels.reshape(-1, 8, 8) * (255 / 16), (1, 3.5, 3.5), order=1)[..., None]
    tested = np.arange(len(labels)) % 5 == 0
    return _images(large[~tested], labels[~tested], large[tested], labels[tested])


def cifar10(path: str | Path | None = None) -> Images:
    """Read CIFAR-10 from a folder: its binary or Python version, or ``cifar10_jpeg_bytes.npz`` (or that file itself).

    The last holds JPEG images (quality about 75, median PSNR to the originals 30.5 dB): say so beside any result.
    The Python version is a pickle; open only one that you trust.

    Raises
    ------
    FileNotFoundError
        Where the folder holds none of the three.
    """
    folder = Path(path) if path is not None else SHARED
    if folder.name == "cifar10_jpeg_bytes.npz" and folder.is_file():
        return _jpeg(folder)
    if (folder / "data_batch_1.bin").exists():
        return _planes(*(_binary([folder / f"{name}.bin" for name in names]) for names in (BATCHES, ("test_batch",))))
    if (folder / "data_batch_1").exists():
        return _planes(*(_pickled([folder / name for name in names]) for names in (BATCHES, ("test_batch",))))
    if (folder / "cifar10_jpeg_bytes.npz").exists():
        return _jpeg(folder / "cifar10_jpeg_bytes.npz")
    raise FileNotFoundError(
        f"expected data_batch_1.bin, data_batch_1 or cifar10_jpeg_bytes.npz in {folder}: unpack CIFAR-10 there, or "
        f"name your folder with --cifar"
    )


def _images(x_train, y_train, x_test, y_test) -> Images:
    pictures = [np.asarray(x, np.float32) / np.float32(255) for x in (x_train, x_test)]
    return Images(pictures[0], np.asarray(y_train, np.int32), pictures[1], np.asarray(y_test, np.int32))


def _planes(train, test) -> Images:
    """Both versions keep an image as three planes of 32 x 32."""
    (x_train, y_train), (x_test, y_test) = train, test
    x_train, x_test = (x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for x in (x_train, x_test))
    return _images(x_train, y_train, x_test, y_test)


def _binary(files):
    rows = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
    return rows[:, 1:], rows[:, 0]


def _pickled(files):
    parts = [pickle.loads(file.read_bytes(), encoding="bytes") for file in files]
    return np.concatenate([part[b"data"] for part in parts]), np.concatenate([part[b"labels"] for part in parts])


def _jpeg(file: Path) -> Images:
    """Shuffled, because the file is sorted by class."""
    from PIL import Image

    with np.load(file) as read:
        blob, offsets, label, is_train = (read[name] for name in ("blob", "offsets", "label", "is_train"))
    stored = blob.tobytes()
    decoded = np.empty((len(label), 32, 32, 3), np.uint8)
    for place, (start, stop) in enumerate(itertools.pairwise(offsets)):
        decoded[place] = np.asarray(Image.open(io.BytesIO(stored[start:stop])))
    order = np.random.default_rng(0).permutation(len(label))
    train, test = order[is_train[order].astype(bool)], order[~is_train[order].astype(bool)]
    return _images(decoded[train], label[train], decoded[test], label[test])
