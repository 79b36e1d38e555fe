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

from dni_jax.devices import is_slow_in_loops, map_models, scan
from dni_jax.lab.intrinsic_dimension._projections import Projection
from dni_jax.progress import bar

_CHUNK = 50  # steps per call of the compiled program
_PATIENCE = 10  # steps without progress after which L-BFGS stops
_FINAL = 0.1  # the share of the steps, at the end, whose mean loss is reported

OPTIMIZERS = ("adam", "lbfgs")


@dataclass(frozen=True, eq=False)
class FlatParams:
    """A pytree of parameters as one vector of D numbers; integer leaves are not part of it.

    Attributes
    ----------
    vector
        float32 ``(D,)``: the floating-point leaves, concatenated.
    leaves, structure
        The pytree.
    """

    vector: Float[Array, " D"]
    leaves: tuple[Any, ...]
    structure: Any

    @classmethod
    def from_pytree(cls, params: Any) -> FlatParams:
        """Flatten a pytree.

        Raises
        ------
        ValueError
            If there is nothing to train, or a leaf is neither float32 nor integer, or not finite.
        """
        leaves, structure = jax.tree.flatten(params)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            _check_leaf(jax.tree_util.keystr(path), leaf)
        arrays = [jnp.ravel(jnp.asarray(leaf)) for leaf in leaves if _is_trained(leaf)]
        if not sum(array.size for array in arrays):
            raise ValueError("expected params with floating-point leaves to train, got none: see nnx.split")
        return cls(jnp.concatenate(arrays), tuple(leaves), structure)

    @property
    def size(self) -> int:
        """D."""
        return int(self.vector.shape[0])

    def unravel(self, vector: Float[Array, " D"]) -> Any:
        """Return the pytree of a vector."""
        leaves, place = [], 0
        for leaf in self.leaves:
            if not _is_trained(leaf):
                leaves.append(leaf)
                continue
            leaves.append(vector[place : place + np.size(leaf)].reshape(np.shape(leaf)))
            place += np.size(leaf)
        return jax.tree.unflatten(self.structure, leaves)


def _is_trained(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _check_leaf(name: str, leaf: Any) -> None:
    if not isinstance(leaf, (jax.Array, np.ndarray)):
        raise ValueError(f"expected params to be a pytree of arrays, got {type(leaf).__name__} at {name}")
    if not _is_trained(leaf):
        return
    if leaf.dtype != np.float32:
        raise ValueError(f"expected params of float32, got {leaf.dtype} at {name}: cast them, and back in loss")
    bad = int((~np.isfinite(np.asarray(leaf))).sum())
    if bad:
        raise ValueError(f"expected finite params, got {bad} of {leaf.size} numbers NaN or infinite at {name}")


class TrainingResult(NamedTuple):
    """The outcome of M training runs.

    Attributes
    ----------
    vectors
        float32 ``(M, D)``: the weights.
    loss
        float64 ``(M,)``: the mean training loss of the last tenth of the steps; for L-BFGS the lowest loss.
    numbers
        float32 ``(M, d)``: z, with as many numbers as the projection has columns; those beyond its own d are 0.
    """

    vectors: Float[Array, "M D"]
    loss: Float[np.ndarray, " M"]
    numbers: Float[Array, "M d"]


class _State(NamedTuple):
    z: Any
    optimizer: Any


class _LBFGSState(NamedTuple):
    z: Any
    optimizer: Any
    best_z: Any
    best_loss: Any
    stalled: Any
    step: Any


@dataclass(frozen=True, eq=False)
class SubspaceTrainer:
    """How weights ``start + P z`` are trained, from z = 0.

    Attributes
    ----------
    loss
        ``loss(params, batch)``, or ``loss(params)`` without data.
    start
        The parameters that training starts from.
    data
        Arrays with one leading axis of examples, in any pytree; or None.
    optimizer
        ``"adam"``, whose learning rate falls to 0 along a cosine and is multiplied by ``sqrt(D / d)``; ``"lbfgs"``; or
        an Optax transformation, used as it is.
    learning_rate
        Adam's peak learning rate in the full space.
    steps
        The number of steps; for L-BFGS the largest number.
    batch
        Examples per step, drawn without replacement in each epoch; None: all.
    """

    loss: Callable[..., Any]
    start: FlatParams
    data: Any = None
    optimizer: Any = "adam"
    learning_rate: float = 1e-3
    steps: int = 1_000
    batch: int | None = None
    _transformation: Any = field(init=False)

    def __post_init__(self) -> None:
        if isinstance(self.optimizer, str) and self.optimizer not in OPTIMIZERS:
            raise ValueError(f"expected optimizer among {', '.join(OPTIMIZERS)} or Optax's, got {self.optimizer!r}")
        if self.steps < 1:
            raise ValueError(f"expected steps of at least 1, got {self.steps}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"expected a learning rate above 0, got {self.learning_rate}")
        self._check_data()
        adam = optax.chain(optax.scale_by_adam(), optax.scale(-1.0))
        object.__setattr__(self, "_transformation", adam if isinstance(self.optimizer, str) else self.optimizer)
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
        self, projection: Projection, dims: Sequence[int], seed: Sequence[int] = (0,), progress: bool = False
    ) -> TrainingResult:
        """Train with the first d columns of a projection, for several d together.

        Up to rounding, each d is trained as if it were alone: every z has as many numbers as the largest one needs, and
        those beyond d stay 0. So one step multiplies by P once for all of them.

        Parameters
        ----------
        projection
            With at least as many columns as the largest of `dims`.
        dims
            The dimensions.
        seed
            Decides the order of the examples, which is the same for all dimensions.
        progress
            Whether to show a progress bar (on a terminal only).
        """
        width = projection.shape[1]
        mask = jnp.asarray(np.arange(width) < np.asarray(dims)[:, None], jnp.float32)
        if self.optimizer == "lbfgs":
            z, lowest = self._run_lbfgs(mask, projection, self.data)
            return TrainingResult(self._weights(z, projection), np.asarray(lowest, np.float64), z)
        # Adam moves each number by about the rate, so the weights move by rate * sqrt(d): this makes all steps equal.
        relative = math.sqrt(self.start.size) / np.sqrt(np.asarray(dims, np.float64))
        scale = jnp.asarray(
            self.learning_rate * relative if self.optimizer == "adam" else np.ones(len(dims)), jnp.float32
        )
        state = _State(jnp.zeros_like(mask), jax.vmap(self._transformation.init)(jnp.zeros_like(mask)))
        chunks: list[Any] = []
        with bar("training in subspaces", self.steps, progress) as advance:
            for rates, chosen in self._schedule(seed):
                state, loss = self._run_steps(state, (rates, chosen), scale, mask, projection, self.data)
                chunks.append(loss)
                done = min(len(chunks) * self._chunk, self.steps)
                advance(done, lambda loss=loss: f"loss {float(np.nanmean(loss[-1])):.3f}")  # type: ignore[misc]
        losses = np.concatenate(jax.device_get(chunks)).astype(np.float64)[: self.steps]
        final = losses[-max(1, round(_FINAL * self.steps)) :].mean(0)
        return TrainingResult(self._weights(state.z, projection), final, state.z)

    def _schedule(self, seed: Sequence[int]) -> Iterator[tuple[Array, Array | None]]:
        """Yield learning rates and examples, a chunk of steps at a time; steps after the last have the rate 0."""
        chunk = self._chunk
        n = math.ceil(self.steps / chunk) * chunk
        step = np.arange(n)
        rate = 0.5 * (1 + np.cos(np.pi * step / self.steps)) if self.optimizer == "adam" else np.ones(n)
        rate = np.where(step < self.steps, rate, 0).astype(np.float32)
        batches = None if self.batch is None else self._batches(seed)
        for first in range(0, n, chunk):
            chosen = None if batches is None else jnp.asarray(np.stack([next(batches) for _ in range(chunk)]))
            yield jnp.asarray(rate[first : first + chunk]), chosen

    def _batches(self, seed: Sequence[int]) -> Iterator[Int[np.ndarray, " B"]]:
        assert self.batch is not None
        n = jax.tree.leaves(self.data)[0].shape[0]
        rng = np.random.default_rng(tuple(seed))
        while True:
            order = rng.permutation(n).astype(np.int32)
            for first in range(0, n - self.batch + 1, self.batch):
                yield order[first : first + self.batch]

    def evaluate(self, vector: Float[Array, " D"], batch: Any) -> Array:
        """Compute the loss of one vector of weights."""
        params = self.start.unravel(vector)
        return self.loss(params) if self.data is None else self.loss(params, batch)

    @cached_property
    def _unrolled(self) -> bool:
        few = jax.tree.map(lambda rows: rows[: self.batch], self.data)
        return is_slow_in_loops(jax.grad(self.evaluate), self.start.vector, few)

    @property
    def _chunk(self) -> int:
        return 1 if self._unrolled else _CHUNK

    @cached_property
    def _weights(self) -> Callable[..., Array]:
        return jax.jit(lambda z, projection: self.start.vector + projection.apply(z))

    @cached_property
    def _run_steps(self) -> Callable[..., Any]:
        """Return a program of gradient steps.

        The gradient with respect to the weights, times P', is that with respect to z, since P is linear. So P is
        applied twice for all dimensions together instead of being differentiated for each.
        """

        def step(state: _State, now: Any, scale: Array, mask: Array, projection: Projection, data: Any) -> Any:
            rate, chosen = now
            batch = data if chosen is None else jax.tree.map(lambda rows: rows[chosen], data)
            weights = self.start.vector + projection.apply(state.z)
            each = jax.value_and_grad(lambda one: self.evaluate(one, batch))
            loss, gradient = map_models(each, unrolled=self._unrolled)(weights)
            with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
                update, optimizer = jax.vmap(self._transformation.update)(
                    mask * projection.transpose(gradient), state.optimizer, state.z
                )
            return _State(state.z + rate * scale[:, None] * mask * update, optimizer), loss

        def steps(state: _State, now: Any, *fixed: Any) -> Any:
            return scan(lambda state, now: step(state, now, *fixed), state, now, unrolled=self._unrolled)

        return jax.jit(steps)

    @cached_property
    def _run_lbfgs(self) -> Callable[..., Any]:
        """Return a program of L-BFGS with a line search, one subspace after the other."""
        solver = optax.lbfgs()

        def one(mask: Array, projection: Projection, data: Any) -> tuple[Array, Array]:
            def loss_of(z: Array) -> Array:
                return self.evaluate(self.start.vector + projection.apply(mask * z), data)

            value_and_grad = optax.value_and_grad_from_state(loss_of)

            def step(state: _LBFGSState) -> _LBFGSState:
                with jax.numpy_dtype_promotion("standard"):
                    loss, gradient = value_and_grad(state.z, state=state.optimizer)
                    update, optimizer = solver.update(
                        gradient, state.optimizer, state.z, value=loss, grad=gradient, value_fn=loss_of
                    )
                better = loss < state.best_loss
                return _LBFGSState(
                    state.z + update,
                    optimizer,
                    jnp.where(better, state.z, state.best_z),
                    jnp.where(better, loss, state.best_loss),
                    jnp.where(better, 0, state.stalled + 1),
                    state.step + 1,
                )

            def is_running(state: _LBFGSState) -> Array:
                return (state.stalled < _PATIENCE) & (state.step <= self.steps)

            z, zero = jnp.zeros_like(mask), jnp.zeros((), jnp.int32)
            start = _LBFGSState(z, solver.init(z), z, jnp.asarray(jnp.inf), zero, zero)
            ended = jax.lax.while_loop(is_running, step, start)
            return ended.best_z * mask, ended.best_loss

        def each(mask: Array, projection: Projection, data: Any) -> tuple[Array, Array]:
            return jax.lax.map(lambda row: one(row, projection, data), mask)

        return jax.jit(each)
