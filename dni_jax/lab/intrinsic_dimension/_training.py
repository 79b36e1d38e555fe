"""Training in random subspaces: several dimensions at once, as one population that shares a projection."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from dni_jax.devices import map_models
from dni_jax.lab.intrinsic_dimension._flat import Flat
from dni_jax.lab.intrinsic_dimension._projections import Projection
from dni_jax.progress import bar

_CHUNK = 50  # steps in one call of the compiled program
_PATIENCE = 10  # steps without any gain after which L-BFGS ends
_LAST = 0.1  # share of the steps whose mean loss is told

OPTIMIZERS = ("adam", "lbfgs")


class Trained(NamedTuple):
    """Where M trainings ended.

    Attributes
    ----------
    vectors
        float32 ``(M, D)``: the weights.
    loss
        float64 ``(M,)``: the mean training loss of the last tenth of the steps; of L-BFGS the lowest.
    """

    vectors: Float[Array, "M D"]
    loss: Float[np.ndarray, " M"]


class _State(NamedTuple):
    z: Any
    memory: Any


@dataclass(frozen=True, eq=False)
class SubspaceTrainer:
    """How weights ``start + P z`` are trained: z begins at 0.

    Attributes
    ----------
    loss
        ``loss(params, batch)``, or ``loss(params)`` without data.
    flat
        The parameters that training starts from.
    data
        Arrays with one leading axis of examples, in any pytree; or None.
    optimizer
        ``"adam"``, whose rate falls to 0 along a cosine and is multiplied by ``sqrt(D / d)``; ``"lbfgs"``; or an Optax
        transformation, taken as it is.
    learning_rate
        Adam's highest rate in the full space.
    steps
        How many; of L-BFGS the most.
    batch
        Examples of a step, drawn without replacement epoch by epoch; None: all.
    """

    loss: Callable[..., Any]
    flat: Flat
    data: Any = None
    optimizer: Any = "adam"
    learning_rate: float = 1e-3
    steps: int = 1_000
    batch: int | None = None
    _rule: Any = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, str) and self.optimizer not in OPTIMIZERS:
            raise ValueError(f"expected optimizer among {', '.join(OPTIMIZERS)} or Optax's, got {self.optimizer!r}")
        if self.steps < 1:
            raise ValueError(f"expected steps of at least 1, got {self.steps}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"expected a learning rate above 0, got {self.learning_rate}")
        self._check_data()
        adam = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
        object.__setattr__(self, "_rule", adam if isinstance(self.optimizer, str) else self.optimizer)
        object.__setattr__(self, "data", jax.tree.map(jnp.asarray, self.data))

    def _check_data(self) -> None:
        sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(self.data)}
        if self.data is not None and (len(sizes) != 1 or sizes & {(), (0,)}):
            raise ValueError(f"expected data with one leading axis of examples, got axes {sorted(sizes)}")
        if self.batch is None:
            return
        if self.optimizer == "lbfgs":
            raise ValueError("expected batch=None with L-BFGS, which needs the same loss at every step, got a batch")
        if self.data is None or not 1 <= self.batch <= next(iter(sizes))[0]:
            count = next(iter(sizes))[0] if sizes else "no"
            raise ValueError(f"expected a batch of 1 to all examples of data=, got {self.batch} of {count} examples")

    def fit(
        self, projection: Projection, dims: Sequence[int], seed: Sequence[int] = (0,), show: bool = False
    ) -> Trained:
        """Train with the first d columns of a projection, for several d together.

        Every d is trained but for rounding as if it were alone: z has as many numbers as the largest, and those beyond
        d stay 0. One step multiplies by P once for all of them.

        Parameters
        ----------
        projection
            With as many columns as the largest of `dims`, or more.
        dims
            The dimensions.
        seed
            Decides the order of the examples, which is the same for all.
        show
            Whether to show a bar (only on a terminal).
        """
        width = projection.shape[1]
        mask = jnp.asarray(np.arange(width) < np.asarray(dims)[:, None], jnp.float32)
        if self.optimizer == "lbfgs":
            z, lowest = self._solve(mask, projection, self.data)
            return Trained(self._place(z, projection), np.asarray(lowest, np.float64))
        stretch = math.sqrt(self.flat.size) / np.sqrt(np.asarray(dims, np.float64))
        scale = jnp.asarray(
            self.learning_rate * stretch if self.optimizer == "adam" else np.ones(len(dims)), jnp.float32
        )
        state = _State(jnp.zeros_like(mask), jax.vmap(self._rule.init)(jnp.zeros_like(mask)))
        losses: list[Any] = []
        with bar("training in subspaces", self.steps, show) as advance:
            for rates, chosen in self._schedule(seed):
                state, loss = self._advance(state, (rates, chosen), scale, mask, projection, self.data)
                losses.append(loss)
                done = min(len(losses) * _CHUNK, self.steps)
                advance(done, lambda loss=loss: f"loss {float(np.nanmean(loss[-1])):.3f}")  # type: ignore[misc]
        every = np.concatenate(jax.device_get(losses)).astype(np.float64)[: self.steps]
        return Trained(self._place(state.z, projection), every[-max(1, round(_LAST * self.steps)) :].mean(0))

    def _schedule(self, seed: Sequence[int]) -> Iterator[tuple[Array, Array | None]]:
        """Yield rates and examples, a chunk of steps at a time; steps beyond the last have the rate 0."""
        n = math.ceil(self.steps / _CHUNK) * _CHUNK
        at = np.arange(n)
        share = 0.5 * (1 + np.cos(np.pi * at / self.steps)) if self.optimizer == "adam" else np.ones(n)
        share = np.where(at < self.steps, share, 0).astype(np.float32)
        batches = None if self.batch is None else self._batches(seed)
        for first in range(0, n, _CHUNK):
            chosen = None if batches is None else jnp.asarray(np.stack([next(batches) for _ in range(_CHUNK)]))
            yield jnp.asarray(share[first : first + _CHUNK]), chosen

    def _batches(self, seed: Sequence[int]) -> Iterator[Int[np.ndarray, " B"]]:
        assert self.batch is not None
        n = jax.tree.leaves(self.data)[0].shape[0]
        rng = np.random.default_rng(tuple(seed))
        while True:
            order = rng.permutation(n).astype(np.int32)
            for first in range(0, n - self.batch + 1, self.batch):
                yield order[first : first + self.batch]

    def value(self, vector: Float[Array, " D"], batch: Any) -> Array:
        """The loss of one vector of weights."""
        params = self.flat.restore(vector)
        return self.loss(params) if self.data is None else self.loss(params, batch)

    @cached_property
    def _place(self) -> Callable[..., Array]:
        return jax.jit(lambda z, projection: self.flat.vector + projection.apply(z))

    @cached_property
    def _advance(self) -> Callable[..., Any]:
        """Steps along gradients: of the loss to weights, and from there to z by P', which is exact as P is linear."""

        def step(state: _State, now: Any, scale: Array, mask: Array, projection: Projection, data: Any) -> Any:
            rate, chosen = now
            batch = data if chosen is None else jax.tree.map(lambda rows: rows[chosen], data)
            weights = self.flat.vector + projection.apply(state.z)
            loss, gradient = map_models(jax.value_and_grad(lambda one: self.value(one, batch)))(weights)
            with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
                update, memory = jax.vmap(self._rule.update)(
                    mask * projection.transpose(gradient), state.memory, state.z
                )
            return _State(state.z + rate * scale[:, None] * mask * update, memory), loss

        def steps(state: _State, now: Any, *fixed: Any) -> Any:
            return jax.lax.scan(lambda state, now: step(state, now, *fixed), state, now)

        return jax.jit(steps)

    @cached_property
    def _solve(self) -> Callable[..., Any]:
        """Limited-memory BFGS with a line search, one subspace after the other."""
        solver = optax.lbfgs()

        def one(mask: Array, projection: Projection, data: Any) -> tuple[Array, Array]:
            def value(z: Array) -> Array:
                return self.value(self.flat.vector + projection.apply(mask * z), data)

            with_slope = optax.value_and_grad_from_state(value)

            def step(state: Any) -> Any:
                z, memory, best, lowest, stale, n = state
                with jax.numpy_dtype_promotion("standard"):
                    here, slope = with_slope(z, state=memory)
                    update, memory = solver.update(slope, memory, z, value=here, grad=slope, value_fn=value)
                better = here < lowest
                best, lowest = jnp.where(better, z, best), jnp.where(better, here, lowest)
                return z + update, memory, best, lowest, jnp.where(better, 0, stale + 1), n + 1

            def goes_on(state: Any) -> Array:
                return (state[4] < _PATIENCE) & (state[5] <= self.steps)

            start = jnp.zeros_like(mask)
            none = jnp.zeros((), jnp.int32)
            ended = jax.lax.while_loop(
                goes_on, step, (start, solver.init(start), start, jnp.asarray(jnp.inf), none, none)
            )
            return ended[2] * mask, ended[3]

        def each(mask: Array, projection: Projection, data: Any) -> tuple[Array, Array]:
            return jax.lax.map(lambda row: one(row, projection, data), mask)

        return jax.jit(each)
