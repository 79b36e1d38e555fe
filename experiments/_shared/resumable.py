"""Training of the convolutional networks that may be killed at any time: it goes on from its last checkpoint.

The network is trained with batch normalization after every layer but the last. What a layer and its normalization
compute together, once trained, is a layer again, so the network that comes out is the paper's: 5,851,338 parameters
for CIFAR-10. Images are mirrored and shifted by up to two pixels. The first epochs see them at half the resolution,
a quarter of the cost.
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dni_jax.files import atomic_write
from experiments._shared.convolutional import SHAPES, Network

_EPSILON = 1e-5  # of a variance
_CHUNK = 5  # images whose patches stay in the cache


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how fast: the rate rises to `rate` in the first `rise` of the steps, then falls to 0.

    Attributes
    ----------
    coarse, fine
        Epochs at half the resolution, then at the full one.
    batch
        Images at a time.
    rate, momentum, decay
        Of Nesterov's stochastic gradient descent; `decay` is the penalty on the weights of the layers.
    rise
        The share of the steps before the rate is highest.
    smoothing
        The share of the target probability that is spread over all classes.
    """

    coarse: int = 10
    fine: int = 3
    batch: int = 125
    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 5e-4
    rise: float = 0.2
    smoothing: float = 0.1

    def __post_init__(self):
        if self.coarse < 0 or self.fine < 1 or self.batch < 1:
            raise ValueError(
                f"expected coarse epochs of 0 or more, and fine epochs and a batch of at least 1, got {self.coarse}, "
                f"{self.fine} and {self.batch}"
            )


def train_resumably(kind, x, y, schedule, file, *, start=None, seed=0, seconds=60.0, limit=None, report=print):
    """Train a network, or go on with the training whose checkpoint is in `file`.

    Every batch, its order and its distortion follow from the seed and the number of the step, so an interrupted
    training ends with the same numbers as one that was not.

    Parameters
    ----------
    kind
        A key of `SHAPES`.
    x, y
        float32 ``(T, height, width, channels)`` from 0 to 1, and int ``(T,)``.
    schedule
        A `Schedule`.
    file
        The checkpoint, written atomically.
    start
        The checkpoint of a finished training run, to train its network further; None: a new network.
    seconds
        Between checkpoints.
    limit
        Stop after this many steps of this call, with a checkpoint; None: go on to the end.
    report
        Takes a line of text at every checkpoint.

    Returns
    -------
    The network, and a dict: ``step`` of ``steps``, and the CPU ``seconds`` of all calls so far, with those of `start`.

    Raises
    ------
    ValueError
        For images outside 0 to 1, labels outside of the classes, fewer images than a batch, a checkpoint of
        another training, or a `start` that is not finished or has another network.
    """
    pixels, labels = _checked(kind, x, y, schedule.batch)
    per_epoch = len(pixels) // schedule.batch
    steps = (schedule.coarse + schedule.fine) * per_epoch
    identity = repr((kind, seed, len(pixels), asdict(schedule)))
    like, state, done, spent = jax.eval_shape(lambda: _init(kind, seed)), None, 0, 0.0
    if start is not None:
        state, spent, before = _finished(start, like)
        identity = f"{before}, then {identity}"
    if Path(file).exists():
        with np.load(file) as read:
            if str(read["identity"]) != identity:
                raise ValueError(
                    f"expected a checkpoint of {identity}, got one of {read['identity']} in {file}: name another "
                    "folder, or delete the checkpoint"
                )
            state, done, spent = _read_state(read, like), int(read["step"]), float(read["seconds"])
        report(f"goes on at step {done} of {steps}")
    state = _init(kind, seed) if state is None else state

    def save(step, total):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        with atomic_write(Path(file)) as aside, aside.open("wb") as out:
            np.savez(out, *arrays, step=step, steps=steps, seconds=total, identity=identity)

    began, saved, losses, total = time.process_time(), time.monotonic(), [], spent
    last = steps if limit is None else min(steps, done + limit)
    for step in range(done, last):
        epoch, place = divmod(step, per_epoch)
        if place == 0 or step == done:
            order = np.random.default_rng((seed, epoch)).permutation(len(pixels))
        rows = order[place * schedule.batch : (place + 1) * schedule.batch]
        pictures = distort(pixels[rows], np.random.default_rng((seed, epoch, place)))
        if epoch < schedule.coarse:
            pictures = _halved(pictures)
        rate = _rate(step, steps, schedule)
        state, loss = _step(state, jnp.asarray(pictures), jnp.asarray(labels[rows]), rate, schedule)
        losses.append(loss)
        if time.monotonic() - saved > seconds or step + 1 == last:
            mean, total = float(jnp.mean(jnp.stack(losses))), spent + time.process_time() - began
            save(step + 1, total)
            report(f"step {step + 1} of {steps}: loss {mean:.3f}, {total:.0f} CPU seconds")
            saved, losses = time.monotonic(), []
    took = {"step": max(done, last), "steps": steps, "seconds": total}
    return fold(kind, state), took


def distort(pictures, rng):
    """Mirror every other image, and shift all by up to a sixteenth of their height over reflected edges."""
    count, height = pictures.shape[:2]
    most = height // 16
    padded = np.pad(pictures, ((0, 0), (most, most), (most, most), (0, 0)), mode="reflect")
    down, right = rng.integers(0, 2 * most + 1, (2, count))
    mirrored = rng.random(count) < 0.5
    moved = np.empty_like(pictures)
    for row in range(count):
        piece = padded[row, down[row] : down[row] + height, right[row] : right[row] + pictures.shape[2]]
        moved[row] = piece[:, ::-1] if mirrored[row] else piece
    return moved


def fold(kind, state):
    """Give the network that computes what the trained one does, each layer with its normalization in one."""
    network = Network(kind, 0)
    layers = [layer for block in network.blocks for layer in block] + list(network.full)
    params, averages = state["params"], state["averages"]
    for place, layer in enumerate(layers):
        weight, bias = params["weights"][place], params["biases"][place]
        if place < len(layers) - 1:
            mean, variance = averages[place]
            scale = params["scales"][place] / jnp.sqrt(variance + _EPSILON)
            weight, bias = weight * scale, bias - mean * scale
        layer.kernel[...], layer.bias[...] = weight, bias
    return network


def _checked(kind, x, y, batch):
    if kind not in SHAPES:
        raise ValueError(f"expected a kind among {sorted(SHAPES)}, got {kind!r}")
    shape = SHAPES[kind]
    pixels, labels = np.asarray(x, np.float32), np.asarray(y)
    if pixels.ndim != 4 or pixels.shape[3] != shape["channels"] or len(pixels) < batch:
        raise ValueError(
            f"expected at least {batch} images (T, height, width, {shape['channels']}), got {pixels.shape}"
        )
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"expected images from 0 to 1, got {pixels.min()} to {pixels.max()}: divide by 255")
    classes = shape["full"][-1]
    if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu":
        raise ValueError(f"expected integer labels of shape ({len(pixels)},), got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"expected labels from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return pixels, labels.astype(np.int32)


def _init(kind, seed):
    network = Network(kind, seed)
    layers = [layer for block in network.blocks for layer in block] + list(network.full)
    weights, biases = [layer.kernel[...] for layer in layers], [layer.bias[...] for layer in layers]
    params = {"weights": weights, "biases": biases, "scales": [jnp.ones_like(bias) for bias in biases[:-1]]}
    return {
        "params": params,
        "velocity": jax.tree.map(jnp.zeros_like, params),
        "averages": [(jnp.zeros_like(bias), jnp.ones_like(bias)) for bias in biases[:-1]],
    }


def _read_state(read, like):
    """Return the arrays of a checkpoint in the form of a state."""
    leaves, tree = jax.tree.flatten(like)
    kept = [jnp.asarray(read[f"arr_{place}"]) for place in range(len(leaves))]
    return jax.tree.unflatten(tree, kept)


def _finished(file, like):
    """Return the state of a finished training run, with no velocity, its CPU seconds and its identity."""
    with np.load(file) as read:
        step, steps = int(read["step"]), int(read["steps"])
        if step < steps:
            raise ValueError(f"expected a finished training run in {file}, got step {step} of {steps}: finish it first")
        shapes = [read[name].shape for name in read.files if name.startswith("arr_")]
        if shapes != [leaf.shape for leaf in jax.tree.leaves(like)]:
            raise ValueError(f"expected a checkpoint of the same network in {file}, got one of another")
        state = _read_state(read, like)
        spent, identity = float(read["seconds"]), str(read["identity"])
    return state | {"velocity": jax.tree.map(jnp.zeros_like, state["params"])}, spent, identity


def _rate(step, steps, schedule):
    top = schedule.rise * steps
    return np.float32(schedule.rate * (min((step + 1) / top, 1.0) if step < top else (steps - step) / (steps - top)))


def _halved(pictures):
    count, height, width, channels = pictures.shape
    return pictures.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4), dtype=np.float32)


@partial(jax.jit, static_argnames="schedule", donate_argnames="state")
def _step(state, pictures, labels, rate, schedule):
    (loss, moments), gradient = jax.value_and_grad(_loss, has_aux=True)(
        state["params"], pictures, labels, schedule.smoothing
    )
    gradient["weights"] = jax.tree.map(
        lambda g, w: g + schedule.decay * w, gradient["weights"], state["params"]["weights"]
    )
    velocity = jax.tree.map(lambda v, g: schedule.momentum * v + g, state["velocity"], gradient)
    params = jax.tree.map(lambda p, v, g: p - rate * (g + schedule.momentum * v), state["params"], velocity, gradient)
    averages = jax.tree.map(lambda old, new: 0.98 * old + 0.02 * new, state["averages"], moments)
    return {"params": params, "velocity": velocity, "averages": averages}, loss


def _loss(params, pictures, labels, smoothing):
    scores, moments = _forward(params, pictures)
    log_p = jax.nn.log_softmax(scores)
    right = jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    return -((1 - smoothing) * right + smoothing * log_p.mean(axis=1)).mean(), moments


def _forward(params, x):
    kind = next(name for name, shape in SHAPES.items() if shape["channels"] == x.shape[3])
    shape, moments, place = SHAPES[kind], [], 0
    for block in shape["blocks"]:
        for _ in block:
            x, moment = _normalized(_convolved(x, params["weights"][place], shape["padding"]), params, place)
            moments.append(moment)
            x, place = jax.nn.relu(x), place + 1
        x = _pooled(x)
    # At half the resolution every state stands for the four it will become.
    times = round((shape["full"][0] / (x.shape[1] * x.shape[2] * x.shape[3])) ** 0.5)
    x = x.repeat(times, axis=1).repeat(times, axis=2).reshape(len(x), -1)
    for _ in shape["full"][1:-1]:
        x, moment = _normalized(x @ params["weights"][place], params, place)
        moments.append(moment)
        x, place = jax.nn.relu(x), place + 1
    return x @ params["weights"][place] + params["biases"][place], moments


def _normalized(x, params, place):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    variance = (x**2).mean(axis=axes) - mean**2
    scale = params["scales"][place] / jnp.sqrt(variance + _EPSILON)
    return x * scale + (params["biases"][place] - mean * scale), (mean, variance)


def _pooled(x):
    return jnp.maximum(jnp.maximum(x[:, ::2, ::2], x[:, 1::2, ::2]), jnp.maximum(x[:, ::2, 1::2], x[:, 1::2, 1::2]))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolved(x, weight, padding):
    return lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _convolved_forward(x, weight, padding):
    return _convolved(x, weight, padding), (x, weight)


def _convolved_backward(padding, kept, change):
    """The weights' gradient is a product of patches: on CPUs, five to ten times faster than XLA's own."""
    x, weight = kept
    height, width, channels, out = weight.shape
    flipped = weight[::-1, ::-1].transpose(0, 1, 3, 2)
    inner = "SAME" if padding == "SAME" else [(height - 1, height - 1), (width - 1, width - 1)]
    to_x = lax.conv_general_dilated(change, flipped, (1, 1), inner, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    if padding == "SAME":
        before = ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)
        x = jnp.pad(x, ((0, 0), *before, (0, 0)))
    rows, columns = change.shape[1:3]
    chunk = _CHUNK if len(x) % _CHUNK == 0 else len(x)

    def add(total, both):
        some, moved = both
        patches = [some[:, i : i + rows, j : j + columns] for i in range(height) for j in range(width)]
        wide = jnp.concatenate(patches, axis=-1).reshape(-1, height * width * channels)
        return total + wide.T @ moved.reshape(-1, out), None

    pieces = (x.reshape(-1, chunk, *x.shape[1:]), change.reshape(-1, chunk, *change.shape[1:]))
    total, _ = lax.scan(add, jnp.zeros((height * width * channels, out), x.dtype), pieces)
    return to_x, total.reshape(weight.shape)


_convolved.defvjp(_convolved_forward, _convolved_backward)
