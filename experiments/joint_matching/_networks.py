"""Small networks for joint distribution matching, and many of them trained at once.

A setting is a row of numbers; all settings of a method are one program: learning rates, weights and schedules are
inputs, a narrower network has units that are zero, and `lax.map` goes through groups of `batch` settings.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from experiments.joint_matching._losses import (
    cycle_pairs,
    discriminator_loss,
    generator_loss,
    paired_error,
    squared_error,
    two_sided_cycle,
)

Layers = tuple[tuple[Array, Array], ...]


class Setting(NamedTuple):
    """What one training is told; arrays with a leading axis hold many.

    Attributes
    ----------
    rate_g, rate_d
        Adam's step sizes of encoder and decoder, and of the discriminators.
    weight
        Of the cycle term or of the given pairs.
    every
        The discriminators take a step at each `every`-th step of the encoder and decoder.
    width
        Units that are in use in each hidden layer.
    noise
        Standard deviation of the noise that encoder and decoder are given.
    scale
        Of the first weights, times He's.
    seed
        Of the first weights.
    """

    rate_g: Float[Array, "..."]
    rate_d: Float[Array, "..."]
    weight: Float[Array, "..."]
    every: Int[Array, "..."]
    width: Int[Array, "..."]
    noise: Float[Array, "..."]
    scale: Float[Array, "..."]
    seed: Int[Array, "..."]


class Players(NamedTuple):
    """Encoder and decoder."""

    encoder: Layers
    decoder: Layers


class Judges(NamedTuple):
    """Two discriminators; what each is asked depends on the method."""

    first: Layers
    second: Layers


class Batch(NamedTuple):
    """Samples of x and of z, not paired; noise for each; pairs that are given, and noise for them."""

    x: Float[Array, "B D"]
    z: Float[Array, "B C"]
    noise: Float[Array, "2 B E"]
    x_given: Float[Array, "P D"]
    z_given: Float[Array, "P C"]
    noise_given: Float[Array, "2 P E"]


class Walk(NamedTuple):
    """What encoder and decoder make of a batch: z of x, x of z, either and back, and the given pairs."""

    z_of_x: Float[Array, "B C"]
    x_of_z: Float[Array, "B D"]
    x_again: Float[Array, "B D"]
    z_again: Float[Array, "B C"]
    z_of_given: Float[Array, "P C"]
    x_of_given: Float[Array, "P D"]


Game = tuple[Array | float, Array, Array]  # its share of the generator's loss; logits of real and of fake pairs
Draw = Callable[[PRNGKeyArray, PyTree], Batch]
Method = Callable[[Judges, Batch, Walk, Array], tuple[list[Game], Array | float]]


def start_layers(key: PRNGKeyArray, sizes: tuple[int, ...], width: Array, scale: Array) -> Layers:
    """He's first weights; units above `width` have none, neither in nor out, and so stay out of use for ever."""
    layers = []
    last, kind = len(sizes) - 2, scale.dtype
    for at, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        fan_in = jnp.asarray(n_in, kind) if at == 0 else width.astype(kind)
        used_in = jnp.ones(n_in, kind) if at == 0 else (jnp.arange(n_in, dtype=width.dtype) < width).astype(kind)
        used_out = jnp.ones(n_out, kind) if at == last else (jnp.arange(n_out, dtype=width.dtype) < width).astype(kind)
        weights = jax.random.normal(jax.random.fold_in(key, at), (n_in, n_out), kind)
        weights = scale * jnp.sqrt(2 / fan_in) * weights * used_in[:, None] * used_out
        layers.append((weights, jnp.zeros(n_out, kind)))
    return tuple(layers)


def ask(layers: Layers, *inputs: Float[Array, "B _"]) -> Float[Array, "B O"]:
    """A network with rectified hidden units, on inputs side by side."""
    hidden = jnp.concatenate(inputs, -1)
    for weights, bias in layers[:-1]:
        hidden = jax.nn.relu(hidden @ weights + bias)
    weights, bias = layers[-1]
    return hidden @ weights + bias


def judge(layers: Layers, *inputs: Float[Array, "B _"]) -> Float[Array, " B"]:
    return ask(layers, *inputs)[:, 0]


def walk(players: Players, batch: Batch) -> Walk:
    encode, decode = partial(ask, players.encoder), partial(ask, players.decoder)
    z_of_x, x_of_z = encode(batch.x, batch.noise[0]), decode(batch.z, batch.noise[1])
    return Walk(
        z_of_x,
        x_of_z,
        decode(z_of_x, batch.noise[1]),
        encode(x_of_z, batch.noise[0]),
        encode(batch.x_given, batch.noise_given[0]),
        decode(batch.z_given, batch.noise_given[1]),
    )


def ali(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """Match the joints, and nothing more."""
    return [(1.0, judge(judges.first, batch.x, made.z_of_x), judge(judges.first, made.x_of_z, batch.z))], 0.0


def explicit(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """ALICE: and bound H(x|z) by the squared error of x, to z and back."""
    return ali(judges, batch, made, weight)[0], weight * squared_error(batch.x, made.x_again)


def implicit(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """ALICE: and let a second discriminator tell (x, x) from (x, x to z and back)."""
    real, fake = cycle_pairs(batch.x, made.x_again)
    return [*ali(judges, batch, made, weight)[0], (weight, judge(judges.second, real), judge(judges.second, fake))], 0.0


def pairs(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """ALI with the squared error of given pairs."""
    error = paired_error(batch.x_given, batch.z_given, made.x_of_given, made.z_of_given)
    return ali(judges, batch, made, weight)[0], weight * error


def judged_pairs(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """ALI with a second discriminator that tells given pairs from those with one side made of the other."""
    real = judge(judges.second, batch.x_given, batch.z_given)
    fakes = (
        judge(judges.second, made.x_of_given, batch.z_given),
        judge(judges.second, batch.x_given, made.z_of_given),
    )
    games = [(weight / 2, real, fake) for fake in fakes]
    return [*ali(judges, batch, made, weight)[0], *games], 0.0


def explicit_and_pairs(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """ALICE's cycle term and given pairs."""
    games, error = pairs(judges, batch, made, weight)
    return games, error + weight * squared_error(batch.x, made.x_again)


def cyclegan(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """Match the marginals one by one, and go back from both sides."""
    none = jnp.zeros_like(batch.z), jnp.zeros_like(batch.x)
    games = [
        (1.0, judge(judges.first, batch.x, none[0]), judge(judges.first, made.x_of_z, none[0])),
        (1.0, judge(judges.second, none[1], batch.z), judge(judges.second, none[1], made.z_of_x)),
    ]
    return games, weight * two_sided_cycle(batch.x, made.x_again, batch.z, made.z_again)


def cyclegan_and_pairs(judges: Judges, batch: Batch, made: Walk, weight: Array) -> tuple[list[Game], Array | float]:
    """CycleGAN with the squared error of given pairs."""
    games, error = cyclegan(judges, batch, made, weight)
    return games, error + weight * paired_error(batch.x_given, batch.z_given, made.x_of_given, made.z_of_given)


def slopes(method: Method, players: Players, judges: Judges, batch: Batch, weight: Array) -> tuple[Players, Judges]:
    """Gradients of both sides at the same point."""

    def of_players(players: Players) -> Array:
        games, error = method(judges, batch, walk(players, batch), weight)
        return error + sum(share * generator_loss(real, fake) for share, real, fake in games)

    def of_judges(judges: Judges) -> Array:
        games, _ = method(judges, batch, walk(players, batch), weight)
        return sum((discriminator_loss(real, fake) for _, real, fake in games), start=jnp.zeros(()))

    return jax.grad(of_players)(players), jax.grad(of_judges)(judges)


def started(setting: Setting, shapes: Batch, layers: tuple[int, ...], method: Method) -> tuple[Players, Judges]:
    """The first weights of all four networks for batches of these shapes."""
    keys = jax.random.split(jax.random.key(setting.seed), 4)
    n_x, n_z, n_noise = (array.shape[-1] for array in (shapes.x, shapes.z, shapes.noise))
    second = 2 * n_x if method is implicit else n_x + n_z
    ends = ((n_x + n_noise, n_z), (n_z + n_noise, n_x), (n_x + n_z, 1), (second, 1))
    networks = [
        start_layers(key, (first, *layers, last), setting.width, setting.scale)
        for key, (first, last) in zip(keys, ends, strict=True)
    ]
    return Players(*networks[:2]), Judges(*networks[2:])


def train_one(
    method: Method, setting: Setting, own: PyTree, draw: Draw, keys: PRNGKeyArray, layers: tuple[int, ...]
) -> Players:
    """Train encoder, decoder and discriminators on one batch a key; give encoder and decoder.

    Adam with memories of .5 and .999 (as the paper's code); both sides move at once, the discriminators at every
    `setting.every`-th step.
    """
    adam = optax.scale_by_adam(b1=0.5, b2=0.999)
    players, judges = started(setting, jax.eval_shape(draw, keys[0], own), layers, method)

    def step(carry: PyTree, inputs: tuple[Array, PRNGKeyArray]) -> tuple[PyTree, None]:
        players, judges, state_g, state_d = carry
        at, key = inputs
        batch = draw(key, own)
        batch = batch._replace(noise=setting.noise * batch.noise, noise_given=setting.noise * batch.noise_given)
        slope_g, slope_d = slopes(method, players, judges, batch, setting.weight)
        with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
            move_g, state_g = adam.update(slope_g, state_g)
            move_d, new_d = adam.update(slope_d, state_d)
        moves = at % setting.every == 0
        state_d = jax.tree.map(lambda new, old: jnp.where(moves, new, old), new_d, state_d)
        rate_d = jnp.where(moves, setting.rate_d, 0.0)
        players = jax.tree.map(lambda w, move: w - setting.rate_g * move, players, move_g)
        judges = jax.tree.map(lambda w, move: w - rate_d * move, judges, move_d)
        return (players, judges, state_g, state_d), None

    start = (players, judges, adam.init(players), adam.init(judges))
    steps = jnp.arange(len(keys), dtype=jnp.int32)
    return jax.lax.scan(step, start, (steps, keys))[0][0]


@partial(jax.jit, static_argnames=("method", "draw", "batch", "layers"))
def train_many(
    method: Method,
    settings: Setting,
    draw: Draw,
    keys: PRNGKeyArray,
    own: PyTree = None,
    batch: int = 16,
    layers: tuple[int, ...] = (32, 32),
) -> Players:
    """Train all settings, `batch` of them side by side (more do not fit the processor's cache).

    A batch of samples is ``draw(key, own)``: the keys are common to all settings, `own` has one entry a setting.
    """
    return jax.lax.map(
        lambda both: train_one(method, both[0], both[1], draw, keys, layers), (settings, own), batch_size=batch
    )
