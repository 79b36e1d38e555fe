"""Draws from the posterior of any model's weights, by any loss: several chains as one program."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from dni_jax.devices import is_slow_in_loops, map_models, scan
from dni_jax.lab.posterior._chains import ChainSampler, ChainTarget, SamplerConfig, make_sampler
from dni_jax.lab.posterior._uncertainty import Uncertainty, measure_uncertainty
from dni_jax.progress import bar

_CHUNK = 50  # steps per call of the compiled program, at most


@dataclass(frozen=True, eq=False)
class WeightDraws:
    """Draws of a model's weights from several chains; made by `sample_weights`.

    Attributes
    ----------
    params
        The pytree of the starts, each array with two more axes in front: C chains and D draws.
    train_loss
        float64 ``(C, D)``: the mean loss of the steps up to each draw.
    settings
        How the draws were made.
    """

    params: Any
    train_loss: Float[np.ndarray, "C D"]
    settings: Mapping[str, Any]

    def __len__(self) -> int:
        """The number of draws of all chains."""
        return self.train_loss.size

    def __iter__(self) -> Iterator[Any]:
        """Yield the parameters of each draw, chain by chain."""
        for chain, draw in np.ndindex(*self.train_loss.shape):
            yield jax.tree.map(lambda array, at=(chain, draw): array[at], self.params)

    def __repr__(self) -> str:
        chains, draws = self.train_loss.shape
        last = f"last loss {self.train_loss[:, -1].mean():.4f}"
        return f"WeightDraws({chains} x {draws}, {self.settings['sampler']}; {last})"

    def each(self, function: Callable[[Any], Any]) -> Float[np.ndarray, "C D *quantity"]:
        """Return ``function(params)`` of every draw, by chain and draw; `convergence` takes it."""
        compiled = jax.jit(function)
        values = [np.asarray(compiled(one)) for one in self]
        return np.stack(values).reshape(*self.train_loss.shape, *values[0].shape)

    def uncertainty(self, probabilities: Callable[[Any], Any]) -> Uncertainty:
        """Return the mean of the draws' class probabilities, their deviation, and what of the entropy they disagree on.

        Parameters
        ----------
        probabilities
            ``probabilities(params)``, an array ``(..., V)``: of a model, the softmax of its logits.
        """
        compiled = jax.jit(probabilities)
        return measure_uncertainty(np.asarray(compiled(one)) for one in self)


def sample_weights(
    loss: Callable[[Any, Any], Any],
    starts: Sequence[Any],
    data: Any,
    sampler: str | SamplerConfig = "psgld",
    *,
    step_size: float,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> WeightDraws:
    """Draw a model's weights from their posterior, with one chain per start.

    The target is ``exp(-U / temperature)``, where U is the sum of all examples' losses plus that of a normal prior.

    Parameters
    ----------
    loss
        ``loss(params, batch)``: the mean negative log-likelihood of a batch of examples, in nats, in JAX.
    starts
        Where each chain starts: any pytrees of float32 arrays, such as a state of ``flax.nnx.split(model, nnx.Param)``
        or ``module.init(...)`` of Flax linen. Initialize each from its own seed, so that `convergence` can tell whether
        the chains forget it.
    data
        The examples: arrays with one leading axis, in any pytree.
    sampler
        The name of a sampler, such as ``"psgld"``, or a whole `SamplerConfig`; its `window` is not used.
    step_size
        The step size of the first step. Of psgld it is in units of RMSprop's rate, of the others in units of the
        gradient of U, which grows with the number of examples.
    seed
        Decides the noise and the order of the examples, which differ from chain to chain.
    progress
        Whether to show a progress bar (on a terminal only).
    settings
        Fields of `SamplerConfig`, such as ``n_draws``, ``thin``, ``burn_in`` and ``batch`` (of examples); and further
        arguments of the sampler.

    Returns
    -------
    WeightDraws, of ``len(starts)`` chains.

    Raises
    ------
    ValueError
        For an invalid setting, starts or data that do not fit each other, or a chain that diverges.

    Examples
    --------
    The mean of a normal distribution of variance 1, under a prior of variance 4, from 5 observations whose mean is 1:
    its posterior is normal, with precision 5 + 1/4 and mean 5 / 5.25 = .95.

    >>> x = jnp.asarray([0.0, 0.5, 1.0, 1.5, 2.0])
    >>> def loss(w, batch):
    ...     return 0.5 * jnp.square(batch - w).mean()
    >>> draws = sample_weights(
    ...     loss, [jnp.zeros(()), jnp.ones(())], x, "sgld", step_size=0.02, batch=5, prior_sd=2.0, n_draws=300, thin=10
    ... )
    >>> bool(abs(draws.params.mean() - 0.95) < 0.1), draws.params.shape
    (True, (2, 300))
    """
    if "window" in settings:
        raise ValueError("expected settings of examples, got window=, which is for texts")
    config = SamplerConfig.from_settings(sampler, settings)
    if not 0 < step_size < math.inf:
        raise ValueError(f"expected a step size above 0, got {step_size}")
    n_examples = _check(starts, data, config.batch)
    chain, n_chains = make_sampler(config), len(starts)
    params = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *starts)
    target = ChainTarget(jnp.float32(step_size), jnp.float32(n_examples), jnp.float32(config.prior_sd**-2))
    keys = jax.random.split(jax.random.key(seed), n_chains)
    state = params, jax.vmap(lambda one, key: chain.start(one, key, target))(params, keys)
    data = jax.tree.map(jnp.asarray, data)
    few = jax.tree.map(lambda array: array[: config.batch], data)
    unrolled = is_slow_in_loops(jax.grad(loss), starts[0], few)
    steps = _make_steps(loss, chain, unrolled)
    orders = [_batches(n_examples, config.batch, (seed, number)) for number in range(n_chains)]
    chunk = math.gcd(config.thin, config.burn_in) if config.burn_in else config.thin
    chunk = max(size for size in range(1, min(chunk, 1 if unrolled else _CHUNK) + 1) if chunk % size == 0)
    draws, losses, since_draw = [], [], []
    with bar("sampling", config.steps, progress) as advance:
        for done in range(chunk, config.steps + 1, chunk):
            rows = np.stack([[next(order) for _ in range(chunk)] for order in orders], axis=1)
            state, loss_now = steps(state, jnp.asarray(rows), data)
            since_draw.append(loss_now)
            advance(done, lambda loss=loss_now: f"loss {float(np.mean(loss)):.3f}")  # type: ignore[misc]
            if done <= config.burn_in or (done - config.burn_in) % config.thin:
                continue
            draws.append(jax.device_get(state[0]))
            losses.append(np.concatenate(jax.device_get(since_draw)).mean(0, dtype=np.float64))
            since_draw = []
    drawn = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *draws)
    _raise_if_diverged(drawn, step_size)
    about = {**config.settings, "step_size": float(step_size), "seed": seed, "chains": n_chains}
    return WeightDraws(drawn, np.stack(losses, axis=1), {k: v for k, v in about.items() if k != "window"})


@lru_cache(maxsize=16)  # chains that differ in step size, seed or starts share one compiled program
def _make_steps(loss: Callable[[Any, Any], Any], chain: ChainSampler, unrolled: bool) -> Callable[..., Any]:
    """Return a program of steps of all chains: rows ``(steps, C, B)`` of the examples."""

    def one(params: Any, state: Any, batch: Any) -> tuple[Any, Any, Array]:
        value, gradient = jax.value_and_grad(loss)(params, batch)
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on it
            change, state = chain.update(gradient, state, params)
        return optax.apply_updates(params, change), state, value

    def step(state: Any, rows: Array, data: Any) -> tuple[Any, Array]:
        batch = jax.tree.map(lambda array: array[rows], data)
        each = map_models(one, unrolled=True) if unrolled else jax.vmap(one)
        params, inner, value = each(state[0], state[1], batch)
        return (params, inner), value

    return jax.jit(lambda state, rows, data: scan(lambda s, r: step(s, r, data), state, rows, unrolled=unrolled))


def _batches(n_examples: int, batch: int, seed: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the rows of batches, without replacement in each epoch."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(n_examples).astype(np.int32)
        for first in range(0, n_examples - batch + 1, batch):
            yield order[first : first + batch]


def _check(starts: Sequence[Any], data: Any, batch: int) -> int:
    """Check that starts and data fit together; return the number of examples."""
    if not isinstance(starts, (list, tuple)) or not starts:
        raise ValueError(
            "expected starts to be a list of parameters, one per chain, got none: pass [params] for one chain"
        )
    shapes = [jax.tree.map(lambda a: (np.shape(a), jnp.result_type(a)), one) for one in starts]
    if any(one != shapes[0] for one in shapes[1:]):
        raise ValueError("expected starts of one model, got parameters of different shapes")
    for path, leaf in jax.tree_util.tree_leaves_with_path(starts[0]):
        if not hasattr(leaf, "dtype") or leaf.dtype != np.float32:
            name, kind = jax.tree_util.keystr(path), getattr(leaf, "dtype", type(leaf).__name__)
            raise ValueError(f"expected parameters of float32, got {kind} at {name or 'the root'}")
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(sizes) != 1 or sizes & {(), (0,)}:
        raise ValueError(f"expected data with one leading axis of examples, got axes {sorted(sizes)}")
    ((n_examples,),) = sizes
    if batch > n_examples:
        raise ValueError(f"expected a batch of at most all {n_examples} examples, got {batch}")
    return int(n_examples)


def _raise_if_diverged(draws: Any, step_size: float) -> None:
    finite = np.all([np.isfinite(a).reshape(len(a), -1).all(1) for a in jax.tree.leaves(draws)], axis=0)
    if not finite.all():
        raise ValueError(
            f"expected finite weights, got a chain that diverges (number {int(np.argmin(finite))}) with step_size "
            f"{step_size:g}: take a smaller one"
        )
