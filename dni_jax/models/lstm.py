"""The character LSTM: a Flax module, its step as a pure function, and a scan whose gradient is written out."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int


class Weights(NamedTuple):
    """All parameters. Gates stand in Flax's order: input, forget, cell, output."""

    wx: Float[Array, "V G"]
    wh: Float[Array, "N G"]
    b: Float[Array, " G"]
    head: Float[Array, "N V"]
    head_b: Float[Array, " V"]


class Carry(NamedTuple):
    """What flows on from step to step."""

    c: Float[Array, "*batch N"]
    h: Float[Array, "*batch N"]


class Gates(NamedTuple):
    """The activated gates of one step."""

    i: Float[Array, "*batch N"]
    f: Float[Array, "*batch N"]
    g: Float[Array, "*batch N"]
    o: Float[Array, "*batch N"]


class CharLSTM(nnx.Module):
    """One LSTM layer over one-hot characters, and a linear readout of the next character.

    Parameters
    ----------
    n_symbols
        Size V of the vocabulary.
    hidden
        Number N of neurons.
    rngs
        Flax's random streams; ``params`` is used.

    Examples
    --------
    >>> module = CharLSTM(8, 16, rngs=nnx.Rngs(0))
    >>> module(jnp.zeros((2, 5), jnp.int32)).shape
    (2, 5, 8)
    """

    def __init__(self, n_symbols: int, hidden: int, *, rngs: nnx.Rngs) -> None:
        wide, square = nnx.initializers.lecun_normal(), nnx.initializers.orthogonal()
        blocks = [square(rngs.params(), (hidden, hidden)) for _ in range(4)]
        self.wx = nnx.Param(wide(rngs.params(), (n_symbols, 4 * hidden)))
        self.wh = nnx.Param(jnp.concatenate(blocks, axis=1))
        # A forget gate that starts open lets gradients reach back through time (Jozefowicz et al. 2015).
        self.b = nnx.Param(jnp.zeros(4 * hidden).at[hidden : 2 * hidden].set(1.0))
        self.head = nnx.Linear(hidden, n_symbols, rngs=rngs)

    @property
    def weights(self) -> Weights:
        """The parameters as arrays."""
        head_b = cast("nnx.Param[Array]", self.head.bias)
        return Weights(self.wx[...], self.wh[...], self.b[...], self.head.kernel[...], head_b[...])

    def set_weights(self, weights: Weights) -> None:
        """Put other parameters in place, for example another framework's."""
        self.wx[...], self.wh[...], self.b[...] = weights.wx, weights.wh, weights.b
        head_b = cast("nnx.Param[Array]", self.head.bias)
        self.head.kernel[...], head_b[...] = weights.head, weights.head_b

    def __call__(self, codes: Int[Array, "B L"]) -> Float[Array, "B L V"]:
        """Logits of the next symbol after each symbol, from the zero state."""
        weights = self.weights
        zero = zero_carry(codes.shape[0], weights.wh.shape[0])
        hidden, _ = hidden_scan(weights.wx + weights.b, weights.wh, codes.T, jnp.zeros(codes.T.shape, bool), zero)
        return readout(weights, hidden).swapaxes(0, 1)


def zero_carry(batch: int, hidden: int) -> Carry:
    """The state before the first symbol."""
    return Carry(jnp.zeros((batch, hidden)), jnp.zeros((batch, hidden)))


def readout(weights: Weights, hidden: Float[Array, "*batch N"]) -> Float[Array, "*batch V"]:
    """Logits of the next symbol."""
    return hidden @ weights.head + weights.head_b


def step(
    table: Float[Array, "V G"], wh: Float[Array, "N G"], carry: Carry, codes: Int[Array, " B"], reset: Bool[Array, " B"]
) -> tuple[Carry, Gates, Carry]:
    """Read one symbol.

    Parameters
    ----------
    table
        ``wx + b``: a one-hot input picks a row.
    wh
        The recurrent weights.
    carry
        The state so far.
    codes
        The symbols, one a lane.
    reset
        Lanes that start from the zero state.

    Returns
    -------
    The new state, the activated gates, and the old state after the reset.
    """
    old = Carry(*(jnp.where(reset[:, None], jnp.zeros_like(part), part) for part in carry))
    z = table[codes] + old.h @ wh
    i, f, g, o = jnp.split(z, 4, axis=-1)
    gates = Gates(jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o))
    c = gates.f * old.c + gates.i * gates.g
    return Carry(c, gates.o * jnp.tanh(c)), gates, old


@jax.custom_vjp
def hidden_scan(
    table: Float[Array, "V G"],
    wh: Float[Array, "N G"],
    codes: Int[Array, "R B"],
    resets: Bool[Array, "R B"],
    carry: Carry,
) -> tuple[Float[Array, "R B N"], Carry]:
    """Hidden states of R steps in B lanes, and the state behind them.

    The gradient flows to `table` and `wh` only: the incoming carry is a constant, as truncated backpropagation wants.
    It emits the pre-activations' gradient step by step and forms the recurrent kernel's gradient in one product.
    """

    def body(state: Carry, inputs: tuple[Array, Array]) -> tuple[Carry, Array]:
        new, _, _ = step(table, wh, state, *inputs)
        return new, new.h

    last, hidden = jax.lax.scan(body, carry, (codes, resets))
    return hidden, last


def _forward(table: Array, wh: Array, codes: Array, resets: Array, carry: Carry) -> tuple[Any, Any]:
    def body(state: Carry, inputs: tuple[Array, Array]) -> tuple[Carry, tuple[Array, Gates, Array, Array]]:
        new, gates, old = step(table, wh, state, *inputs)
        return new, (new.h, gates, new.c, old.c)

    last, (hidden, gates, cells, old_cells) = jax.lax.scan(body, carry, (codes, resets))
    return (hidden, last), (table, wh, codes, resets, carry, hidden, gates, cells, old_cells)


def _backward(kept: Any, cotangents: Any) -> tuple[Any, ...]:
    table, wh, codes, resets, carry, hidden, gates, cells, old_cells = kept
    d_hidden, d_last = cotangents

    def body(flow: Carry, inputs: Any) -> tuple[Carry, Array]:
        d_h, (i, f, g, o), c, old_c, reset = inputs
        d_h = d_h + flow.h
        squashed = jnp.tanh(c)
        d_c = flow.c + d_h * o * (1 - squashed**2)
        d_z = jnp.concatenate(
            [
                d_c * g * i * (1 - i),
                d_c * old_c * f * (1 - f),
                d_c * i * (1 - g**2),
                d_h * squashed * o * (1 - o),
            ],
            axis=-1,
        )
        keep = jnp.where(reset, 0.0, 1.0)[:, None]
        return Carry(d_c * f * keep, (d_z @ wh.T) * keep), d_z

    _, d_z = jax.lax.scan(body, Carry(*d_last), (d_hidden, gates, cells, old_cells, resets), reverse=True)
    old_h = jnp.concatenate([carry.h[None], hidden[:-1]])
    old_h = jnp.where(resets[..., None], 0.0, old_h)
    d_wh = jnp.einsum("rbn,rbg->ng", old_h, d_z)
    d_table = jnp.zeros_like(table).at[codes.reshape(-1)].add(d_z.reshape(-1, d_z.shape[-1]))
    return d_table, d_wh, None, None, Carry(jnp.zeros_like(carry.c), jnp.zeros_like(carry.h))


hidden_scan.defvjp(_forward, _backward)
