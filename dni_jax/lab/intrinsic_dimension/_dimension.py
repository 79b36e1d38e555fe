"""The intrinsic dimension of a problem: how large a random subspace of the weights must be to solve it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from dni_jax.devices import use_all_cores
from dni_jax.lab.intrinsic_dimension._memory import check_fits
from dni_jax.lab.intrinsic_dimension._projections import Identity, projection_bytes, random_projection
from dni_jax.lab.intrinsic_dimension._result import CompressedParams, IntrinsicDimension
from dni_jax.lab.intrinsic_dimension._training import FlatParams, SubspaceTrainer

DRAWS = ("shared", "each")


@dataclass(frozen=True)
class SubspaceSettings:
    """How networks are trained in subspaces of their weights.

    Attributes
    ----------
    optimizer
        ``"adam"``; ``"lbfgs"``, which uses curvature and all data at every step, for small smooth problems (it solves
        least squares); or any Optax transformation, with its own learning rate, used alike in every space.
    learning_rate
        Adam's peak learning rate in the full space; it falls to 0 along a cosine. Adam moves each number by about the
        rate, so the weights move by ``rate * sqrt(d)``: the rate is multiplied by ``sqrt(D / d)``, which makes steps
        equally long in all spaces.
    steps
        The number of steps; for "lbfgs" the largest number (it stops after ten without progress).
    batch
        Examples per step; None uses all.
    repeats
        How often to draw a projection and an order of the examples. The dimension is that of the mean performance.
    draws : {"shared", "each"}
        "shared": within a repetition all dimensions use the first d columns of one P, and train as one population that
        reads P once per step. "each": every dimension draws its own P, and trains alone.
    dims_batch
        The largest number of dimensions to train together; None: all. The results do not depend on it (for "fastfood"
        only if z is padded to the same power of two).
    max_bytes
        The largest number of bytes for a projection with the weights and gradients in all subspaces; None: half of
        what is free. Activations come on top.

    Raises
    ------
    ValueError
        For settings out of range. Those of the optimizer are checked with the data.
    """

    optimizer: Any = "adam"
    learning_rate: float = 1e-3
    steps: int = 1_000
    batch: int | None = None
    repeats: int = 1
    draws: str = "shared"
    dims_batch: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"expected repeats of at least 1, got {self.repeats}")
        if self.draws not in DRAWS:
            raise ValueError(f"expected draws among {', '.join(DRAWS)}, got {self.draws!r}")
        if self.dims_batch is not None and self.dims_batch < 1:
            raise ValueError(f"expected dims_batch to be None or at least 1, got {self.dims_batch}")

    def summary(self) -> dict[str, Any]:
        """Return the settings that a result names."""
        named = self.optimizer if isinstance(self.optimizer, str) else "Optax's"
        rate = {"learning_rate": self.learning_rate} if named == "adam" else {}
        return {"optimizer": named, "steps": self.steps, "batch": self.batch, **rate, "draws": self.draws}


@dataclass(frozen=True)
class _Group:
    """Dimensions that train together, with one projection."""

    places: tuple[int, ...]
    dims: tuple[int, ...]
    seed: tuple[int, ...]


def measure_dimension(
    loss: Callable[..., Any],
    params: Any,
    dims: Sequence[int],
    projection: str = "dense",
    target: float = 0.9,
    *,
    data: Any = None,
    performance: Callable[[Any], Any] | None = None,
    full: float | None = None,
    chance: float | str | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> IntrinsicDimension:
    """Train in random subspaces of the weights, and find the smallest dimension that does nearly as well as all.

    Weights are ``params + P z``: the d numbers z are trained from 0, and P is a random projection whose columns have
    norm 1. d90, "the intrinsic dimension", is the smallest d whose performance is 90 % of the full model's (Li,
    Farkhoor, Liu & Yosinski 2018, "Measuring the intrinsic dimension of objective landscapes", section 2). It measures
    how hard a problem is for a kind of model.

    Parameters
    ----------
    loss
        ``loss(params, batch)``, a number to minimize, in JAX; without data ``loss(params)``.
    params
        Any pytree of float32 arrays, where training starts in every subspace: a state of ``flax.nnx.split(model,
        nnx.Param)``, ``module.init(...)`` of Flax linen, a dict. Every floating-point leaf is trained, even the running
        statistics of a batch norm if they are in it; integer leaves stay.
    dims
        The dimensions to try, from 1 to the number of parameters D.
    projection : {"dense", "sparse", "fastfood"}
        Normal random numbers, 4 D d bytes; a share of ``1 / sqrt(D)`` nonzero entries, 8 sqrt(D) d bytes; or a product
        of diagonal, permutation and Hadamard matrices, about 12 D bytes. See `projection_bytes`.
    target
        The share of the way from `chance` to the full model's performance that defines the dimension.
    data
        The examples that `loss` gets batches of: arrays with one leading axis, in any pytree.
    performance
        ``performance(params)``, a number where higher is better, such as the accuracy on held-out data; called once at
        the end of each training, outside of JAX's transformations (`jax.jit` it). By default minus the loss on all
        data.
    full
        The full model's performance; by default trained from `params` with the same optimizer and number of steps.
    chance
        The performance of chance, from which the share `target` is measured. A number, or ``"untrained"``: that of
        `params`. By default 0 if `performance` is passed (the paper's 90 % of an accuracy), and "untrained" for minus
        the loss, of which 90 % would mean nothing.
    seed
        Draws projections and the order of examples.
    progress
        Whether to show a progress bar (on a terminal only).
    settings
        Fields of `SubspaceSettings`: ``optimizer``, ``learning_rate``, ``steps``, ``batch``, ``repeats``, ``draws``,
        ``dims_batch``, ``max_bytes``.

    Returns
    -------
    IntrinsicDimension, with ``.dimension`` (``.d90``), ``.bracket``, ``.table``; ``.compressed(d)`` holds the d numbers
    and the seed that rebuild a trained network.

    Raises
    ------
    ValueError
        For invalid settings, a projection that does not fit into memory, or a full model that is no better than chance.

    Warns
    -----
    UserWarning
        If training in a subspace led to a performance that is not finite.

    Examples
    --------
    Ten constraints on 1,000 numbers, the paper's first problem: its intrinsic dimension is 10. All 1,000 together
    satisfy them, so the full performance is 1.

    >>> import jax.numpy as jnp
    >>> import dni_jax as dni
    >>> def loss(params):
    ...     return jnp.square(params["w"].reshape(10, 100).sum(1) - jnp.arange(1.0, 11.0)).sum()
    >>> start, solved = {"w": jnp.zeros(1_000)}, lambda params: jnp.exp(-loss(params))
    >>> dni.lab.intrinsic_dimension.measure_dimension(
    ...     loss, start, [9, 10, 11], optimizer="lbfgs", performance=solved, full=1.0
    ... )
    IntrinsicDimension(d90 = 10 in (9, 10] of D = 1,000; dense, 1 draw; full 1, chance 0, threshold 0.9)
    """
    use_all_cores()
    flat = FlatParams.from_pytree(params)
    ascending = _check(dims, flat.size, target)
    how = SubspaceSettings(**settings)
    trainer = SubspaceTrainer(loss, flat, data, how.optimizer, how.learning_rate, how.steps, how.batch)
    groups = list(_groups(ascending, how, seed))
    largest = max(groups, key=lambda group: (max(group.dims), len(group.dims)))
    check_fits(projection, flat.size, largest.dims, how.max_bytes)
    evaluate = _evaluator(trainer, performance)
    floor = _chance_level(chance, evaluate, flat, performance is None)
    if full is None:
        result = trainer.fit(Identity(flat.size), [flat.size], (seed, 0), progress)
        full = evaluate(result.vectors[0])
    if not (math.isfinite(full) and math.isfinite(floor)):
        raise ValueError(
            f"expected a finite performance of the full model and of chance, got {full:.4g} and {floor:.4g}: lower the "
            "learning rate, or check the loss of the untrained parameters"
        )
    if not full > floor:
        raise ValueError(
            f"expected the full model to do better than chance, {floor:.4g}, got {full:.4g}: train it longer, or pass "
            "chance='untrained' or the performance of chance"
        )
    reached, losses = (np.full((len(ascending), how.repeats), np.nan) for _ in range(2))
    trained: list[list[CompressedParams]] = [[] for _ in ascending]
    for group in groups:
        p = random_projection(projection, flat.size, max(group.dims), group.seed)
        result = trainer.fit(p, group.dims, group.seed[:2], progress)
        repeat = group.seed[1]
        reached[list(group.places), repeat] = [evaluate(vector) for vector in result.vectors]
        losses[list(group.places), repeat] = result.loss
        for place, dim, numbers in zip(group.places, group.dims, np.asarray(result.numbers), strict=True):
            columns = max(group.dims) if projection == "fastfood" else dim  # others' first columns are those of any d
            trained[place].append(CompressedParams(numbers[:dim], projection, group.seed, columns, flat.size))
    _warn_of_divergence(ascending, reached)
    n_bytes = projection_bytes(projection, flat.size, int(ascending[-1]))
    about = {**how.summary(), "seed": seed}
    return IntrinsicDimension(
        ascending,
        reached,
        losses,
        full,
        floor,
        target,
        flat.size,
        projection,
        n_bytes,
        about,
        tuple(map(tuple, trained)),
    )


def _check(dims: Sequence[int], n_params: int, target: float) -> np.ndarray:
    found = np.asarray(dims)
    whole = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
    if not whole or len(set(found.tolist())) < found.size or found.min() < 1 or found.max() > n_params:
        raise ValueError(
            f"expected different integer dimensions from 1 to the number of parameters, {n_params}, got {dims!r}"
        )
    if not 0 < target <= 1:
        raise ValueError(f"expected a target above 0 and up to 1, got {target}")
    return np.sort(found).astype(np.int64)


def _groups(ascending: np.ndarray, how: SubspaceSettings, seed: int) -> Iterator[_Group]:
    at_once = 1 if how.draws == "each" else how.dims_batch or len(ascending)
    for repeat in range(how.repeats):
        for first in range(0, len(ascending), at_once):
            some = tuple(int(dim) for dim in ascending[first : first + at_once])
            own = some if how.draws == "each" else ()
            yield _Group(tuple(range(first, first + len(some))), some, (seed, repeat, *own))


def _evaluator(trainer: SubspaceTrainer, performance: Callable[[Any], Any] | None) -> Callable[[Any], float]:
    if performance is None:
        value = jax.jit(trainer.evaluate)
        return lambda vector: 0.0 - float(value(vector, trainer.data))  # a loss of 0 is 0, not -0

    def evaluate(vector: Any) -> float:
        found = np.asarray(performance(trainer.start.unravel(vector)))
        if found.size != 1:
            raise ValueError(f"expected performance(params) to return one number, got shape {found.shape}")
        return float(found.reshape(()))

    return evaluate


def _chance_level(
    chance: float | str | None, evaluate: Callable[[Any], float], flat: FlatParams, is_loss: bool
) -> float:
    if chance == "untrained" or (chance is None and is_loss):
        return evaluate(flat.vector)
    if isinstance(chance, str) or (chance is not None and not math.isfinite(chance)):
        raise ValueError(f"expected chance to be a number or 'untrained', got {chance!r}")
    return 0.0 if chance is None else float(chance)


def _warn_of_divergence(dims: np.ndarray, performance: np.ndarray) -> None:
    bad = dims[~np.isfinite(performance).all(1)]
    if len(bad):
        warnings.warn(
            f"training in subspaces of {', '.join(map(str, bad))} dimensions led to a performance that is not finite, "
            "which does not reach the target: lower the learning rate",
            stacklevel=3,
        )
