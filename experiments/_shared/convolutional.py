"""The convolutional networks of Guidotti & Leofante 2019, their training, and their states."""

import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from dni_jax.files import atomic_write

# 431,080 and 5,851,338 parameters, 800 and 4,096 features before the full layers, as in the paper.
SHAPES = {
    "mnist": {"channels": 1, "size": 5, "padding": "VALID", "blocks": ((20,), (50,)), "full": (800, 500, 10)},
    "cifar": {
        "channels": 3,
        "size": 3,
        "padding": "SAME",
        "blocks": ((32, 64), (128, 128), (256, 256)),
        "full": (4096, 1024, 512, 10),
    },
}


_TOGETHER = 10  # images whose patches stay in the cache
_FEW = 32  # channels: for more, XLA's convolution is as fast as a product of patches


@jax.custom_vjp
def pooled(x):
    """Give the maxima of squares of 2 x 2, as `nnx.max_pool`; on CPUs the gradient is ten times as fast."""
    a, b, c, d = _corners(x)
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def _corners(x):
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return x[:, ::2, ::2], x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]


def _pooled_backward(x, change):
    """Of equal maxima the first, row by row, takes the gradient, as in `nnx.max_pool`."""
    a, b, c, d = _corners(x)
    highest = jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))
    first = a == highest
    second = (b == highest) & ~first
    third = (c == highest) & ~first & ~second
    parts = [jnp.where(one, change, 0.0) for one in (first, second, third, ~(first | second | third))]
    rows = [jnp.stack(pair, axis=3) for pair in (parts[:2], parts[2:])]
    count, height, width, channels = change.shape
    spread = jnp.stack(rows, axis=2).reshape(count, 2 * height, 2 * width, channels)
    return (jnp.pad(spread, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0))),)


pooled.defvjp(lambda x: (pooled(x), x), _pooled_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolved(x, weight, padding):
    """Convolve images ``(T, height, width, channels)``, a few at a time, so that their patches stay in the cache.

    On CPUs a product of patches is two to three times as fast as XLA's convolution where channels are few.
    """
    if len(x) % _TOGETHER or not 1 < weight.shape[2] <= _FEW:
        return _convolved(x, weight, padding)
    height, width, channels, out = weight.shape
    x = jnp.pad(x, _edges(weight, padding))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1

    def product(some):
        patches = [some[:, i : i + rows, j : j + columns] for i in range(height) for j in range(width)]
        wide = jnp.concatenate(patches, axis=-1).reshape(-1, height * width * channels)
        return (wide @ weight.reshape(-1, out)).reshape(-1, rows, columns, out)

    return jax.lax.map(product, x.reshape(-1, _TOGETHER, *x.shape[1:])).reshape(len(x), rows, columns, out)


def _convolved(x, weight, padding):
    return jax.lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _edges(weight, padding):
    """Return what is added around images, as `jnp.pad` takes it."""
    same = padding == "SAME"
    return ((0, 0), *(((n - 1) // 2, n // 2) if same else (0, 0) for n in weight.shape[:2]), (0, 0))


def _convolved_backward(padding, kept, change):
    x, weight = kept
    to_weight = jax.vjp(lambda weight: _convolved(x, weight, padding), weight)[1](change)[0]
    if len(x) % _TOGETHER or weight.shape[2] > _FEW:
        return jax.vjp(lambda x: _convolved(x, weight, padding), x)[1](change)[0], to_weight
    height, width, channels, out = weight.shape
    rows, columns = change.shape[1:3]

    def add(some):
        patches = (some.reshape(-1, out) @ weight.reshape(-1, out).T).reshape(-1, rows, columns, *weight.shape[:3])
        total = jnp.zeros((len(some), rows + height - 1, columns + width - 1, channels), some.dtype)
        for i in range(height):
            for j in range(width):
                around = (0, 0), (i, height - 1 - i), (j, width - 1 - j), (0, 0)
                total = total + jnp.pad(patches[:, :, :, i, j], around)
        return total

    padded = jax.lax.map(add, change.reshape(-1, _TOGETHER, *change.shape[1:]))
    padded = padded.reshape(len(x), *padded.shape[2:])
    _, (top, _), (left, _), _ = _edges(weight, padding)
    return padded[:, top : top + x.shape[1], left : left + x.shape[2]], to_weight


convolved.defvjp(lambda x, weight, padding: (convolved(x, weight, padding), (x, weight)), _convolved_backward)


class Network(nnx.Module):
    """Blocks of convolutions and ReLU, each pooled 2 x 2; then full layers. `states` is what the full layers read."""

    def __init__(self, kind: str, seed: int):
        shape, rngs = SHAPES[kind], nnx.Rngs(seed)
        start = nnx.initializers.he_normal()
        channels, self.blocks = shape["channels"], nnx.List()
        for block in shape["blocks"]:
            layers = nnx.List()
            for wide in block:
                size = (shape["size"],) * 2
                layers.append(nnx.Conv(channels, wide, size, padding=shape["padding"], kernel_init=start, rngs=rngs))
                channels = wide
            self.blocks.append(layers)
        full = shape["full"]
        self.full = nnx.List(nnx.Linear(a, b, kernel_init=start, rngs=rngs) for a, b in pairwise(full))

    def _convolve(self, layer, x):
        return nnx.relu(convolved(x, layer.kernel[...], layer.padding) + layer.bias[...])

    def states(self, x):
        """Give what the full layers read ``(T, N)``."""
        for block in self.blocks:
            for layer in block:
                x = self._convolve(layer, x)
            x = pooled(x)
        return x.reshape(len(x), -1)

    def __call__(self, x):
        """Give the scores ``(T, 10)`` of images."""
        x = self.states(x)
        for layer in self.full[:-1]:
            x = nnx.relu(layer(x))
        return self.full[-1](x)

    def layers(self, x):
        """Give the states of every layer by name: images, each block after its pooling, full layers, scores."""
        found = {"pictures": x}
        for number, block in enumerate(self.blocks, 1):
            for layer in block:
                x = self._convolve(layer, x)
            x = pooled(x)
            found[f"block {number}"] = x
        x = x.reshape(len(x), -1)
        for number, layer in enumerate(self.full[:-1], 1):
            x = nnx.relu(layer(x))
            found[f"full {number}"] = x
        return found | {"scores": self.full[-1](x)}

    @property
    def n_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(self, nnx.Param)))


def train(network, x, y, steps, *, batch=128, rate=1e-3, seed=0, flip=False, report=0):
    """Fit by Adam, its rate falling to 0 along a cosine; `flip` mirrors every other image. Gives seconds."""
    optimizer = nnx.Optimizer(network, optax.adam(optax.cosine_decay_schedule(rate, steps)), wrt=nnx.Param)

    @nnx.jit
    def step(network, optimizer, x, y):
        def loss(network):
            return optax.softmax_cross_entropy_with_integer_labels(network(x), y).mean()

        value, gradients = nnx.value_and_grad(loss)(network)
        optimizer.update(network, gradients)
        return value

    rng, began = np.random.default_rng(seed), time.perf_counter()
    order = np.concatenate([rng.permutation(len(x)) for _ in range(-(-steps * batch // len(x)))])
    for number in range(steps):
        rows = order[number * batch : (number + 1) * batch]
        pictures = x[rows]
        if flip:
            mirrored = rng.random(len(rows)) < 0.5
            pictures[mirrored] = pictures[mirrored, :, ::-1]
        value = step(network, optimizer, jnp.asarray(pictures), jnp.asarray(y[rows]))
        if report and number % report == 0:
            print(f"  step {number}: loss {float(value):.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    return time.perf_counter() - began


def pure(network):
    """Give two functions of JAX arrays, from images to states and to scores, that hold the network as it now is."""
    graph, state = nnx.split(network)
    state = jax.tree.map(jnp.array, state)
    return (lambda x: nnx.merge(graph, state).states(x)), (lambda x: nnx.merge(graph, state)(x))


def in_blocks(function, x, block=500):
    """Apply a function to images, some at a time; float32."""
    jitted = jax.jit(function)
    return np.concatenate([np.asarray(jitted(x[start : start + block])) for start in range(0, len(x), block)])


def trained(kind, seed, folder, x, y, steps, **plan):
    """Train a network, or take the one of this seed and these steps that is in the folder; with its CPU seconds."""
    file = Path(folder) / f"{kind}-{steps}-{seed}.npz"
    if file.exists():
        return load(kind, file)
    network = Network(kind, seed)
    began = time.process_time()
    train(network, x, y, steps, seed=seed, **plan)
    seconds = time.process_time() - began
    keep(file, network, seconds)
    return network, seconds


def load(kind, file):
    """Read a network that `keep` wrote, and the CPU seconds that it took."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Network(kind, 0)))
    leaves, tree = jax.tree.flatten(state)
    with np.load(file) as read:
        shapes = [read[name].shape for name in read.files if name.startswith("arr_")]
        if shapes != [leaf.shape for leaf in leaves]:
            raise ValueError(f"expected a network of kind {kind!r} in {file}, got one of other shapes")
        kept = [jnp.asarray(read[f"arr_{place}"]) for place in range(len(leaves))]
        return nnx.merge(graph, jax.tree.unflatten(tree, kept)), float(read["seconds"])


def keep(file, network, seconds):
    """Write a trained network, and the CPU seconds that it took."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(Path(file)) as aside, aside.open("wb") as out:
        np.savez(out, *(np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(network))), seconds=seconds)
