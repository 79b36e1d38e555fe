"""Chains of a network's weights: the steps of training, with a sampler in place of Adam."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from dni_jax.devices import make_grid
from dni_jax.lab.posterior._samplers import SAMPLERS, posterior_gradient
from dni_jax.lab.posterior._schedules import cyclical, polynomial
from dni_jax.models import (
    TrainConfig,
    TrainedModel,
    TrainState,
    Weights,
    init_state,
    make_batches,
    make_lanes,
    named_arrays,
    take_steps,
)
from dni_jax.progress import bar
from dni_jax.text import Corpus

SCHEDULES = ("constant", "polynomial", "cyclical")
_CHUNK = 10  # steps per call of the compiled program
_IDENTITY = optax.identity()  # one object: it is a static argument of a compiled program
_DAMPED = ("psgld", "santa")  # the papers state their damping for the gradient of one symbol
_SET_HERE = ("step_size", "key", "temperature")  # arguments of a sampler that are not options


@dataclass(frozen=True)
class SamplerConfig:
    """The settings of a chain except its start, its step size and its seed.

    Attributes
    ----------
    sampler : {"psgld", "sgld", "sghmc", "sgnht", "santa"}
        See `dni_jax.lab.posterior.psgld` and the others.
    n_draws, thin, burn_in
        The number of draws, the steps between two of them, and the steps before the first.
    schedule : {"constant", "polynomial", "cyclical"}
        How the step size changes; all draws have equal weight.
    schedule_steps
        The steps of a cycle (cyclical), or about how many steps halve the step size (polynomial).
    prior_sd
        The standard deviation of the normal prior of every weight.
    temperature
        1 is the posterior; below 1, draws stay closer to its peak.
    batch, window
        Texts per step, and characters of each.
    options
        Further arguments of the sampler.

    Raises
    ------
    ValueError
        For an invalid setting, or an option that the sampler does not have.
    """

    sampler: str = "psgld"
    n_draws: int = 20
    thin: int = 50
    burn_in: int = 100
    schedule: str = "constant"
    schedule_steps: int = 100
    prior_sd: float = 1.0
    temperature: float = 1.0
    batch: int = 32
    window: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.sampler not in SAMPLERS:
            raise ValueError(f"expected a sampler among {', '.join(SAMPLERS)}, got {self.sampler!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"expected a schedule among {', '.join(SCHEDULES)}, got {self.schedule!r}")
        smallest = {"n_draws": 2, "thin": 1, "burn_in": 0, "schedule_steps": 1, "batch": 1, "window": 1}
        for name, least in smallest.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"expected {name} of at least {least}, got {getattr(self, name)}")
        if not self.prior_sd > 0 or not self.temperature >= 0:
            raise ValueError(
                "expected a prior_sd above 0 and a temperature of at least 0, "
                f"got {self.prior_sd} and {self.temperature}"
            )
        known = set(inspect.signature(SAMPLERS[self.sampler]).parameters) - set(_SET_HERE)
        unknown = set(self.options) - known
        if unknown:
            raise ValueError(
                f"expected further arguments of {self.sampler} among {', '.join(sorted(known)) or 'none'}, "
                f"got {', '.join(sorted(unknown))}"
            )

    @classmethod
    def from_settings(cls, sampler: str | SamplerConfig, settings: Mapping[str, Any]) -> SamplerConfig:
        """Return the config of settings that mix its own fields with arguments of the sampler.

        Raises
        ------
        ValueError
            For a whole config together with settings.
        """
        if isinstance(sampler, SamplerConfig):
            if settings:
                raise ValueError(f"expected settings in the config, got {', '.join(settings)} next to it")
            return sampler
        own = {each.name for each in fields(cls)} - {"sampler", "options"}
        mine = {name: value for name, value in settings.items() if name in own}
        rest = {name: value for name, value in settings.items() if name not in own}
        return cls(sampler, **mine, options=rest)

    @property
    def steps(self) -> int:
        """All steps of the chain."""
        return self.burn_in + self.n_draws * self.thin

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name, options included."""
        flat = asdict(self)
        return {**{name: value for name, value in flat.items() if name != "options"}, **flat["options"]}


class ChainTarget(NamedTuple):
    """What differs from chain to chain; each field a number, or one number per chain.

    Attributes
    ----------
    step_size
        The step size of the first step.
    n_symbols
        The number of symbols in the text: the mean gradient times this estimates the gradient of the whole text.
    prior_precision
        1 over the prior's variance.
    """

    step_size: Any
    n_symbols: Any
    prior_precision: Any


class _ChainState(NamedTuple):
    target: ChainTarget
    inner: Any


class ChainSampler(NamedTuple):
    """An Optax transformation of training's mean gradient whose state also holds the chain's target.

    Numbers that differ from chain to chain must not be in the transformation itself: it is a static argument, and
    every step size would compile a program of its own.

    Attributes
    ----------
    init, update
        As in Optax.
    start
        ``start(weights, key, target)`` returns the initial state of a chain; `init` that of a chain that never moves.
    """

    init: Any
    update: Any
    start: Any


def make_sampler(config: SamplerConfig) -> ChainSampler:
    """Return the sampler of a config; configs that sample alike share one object, and so one compiled program."""
    options = tuple(sorted(config.options.items()))
    schedule_steps = config.schedule_steps if config.schedule != "constant" else 1
    return _make_sampler(config.sampler, config.schedule, schedule_steps, float(config.temperature), options)


@lru_cache(maxsize=16)
def _make_sampler(
    name: str, schedule: str, schedule_steps: int, temperature: float, options: tuple[Any, ...]
) -> ChainSampler:
    makers: dict[str, Any] = {
        "constant": lambda: lambda step: 1.0,
        "polynomial": lambda: polynomial(1.0, offset=schedule_steps),
        "cyclical": lambda: cyclical(1.0, schedule_steps),
    }
    relative = makers[schedule]()

    def transformation(target: ChainTarget, key: Array) -> Any:
        arguments: dict[str, Any] = dict(options)
        if name in _DAMPED:
            arguments["damping"] = arguments.get("damping", 1e-5) * target.n_symbols
        sampler = SAMPLERS[name](
            lambda step: target.step_size * relative(step), key=key, temperature=temperature, **arguments
        )
        return optax.chain(posterior_gradient(target.n_symbols, target.prior_precision), sampler)

    def start(params: Any, key: Array, target: ChainTarget) -> _ChainState:
        return _ChainState(target, transformation(target, key).init(params))

    def init(params: Any) -> _ChainState:
        zero = jnp.zeros(())
        return start(params, jax.random.key(0), ChainTarget(zero, zero, zero))

    def update(gradient: Any, state: _ChainState, params: Any) -> tuple[Any, _ChainState]:
        key = state.inner[1].key  # used by init only; the state holds the chain's own
        change, inner = transformation(state.target, key).update(gradient, state.inner, params)
        return change, state._replace(inner=inner)

    return ChainSampler(init, update, start)


class ChainDraws(NamedTuple):
    """The draws of M chains.

    Attributes
    ----------
    weights
        float32 ``(D, M, ...)``: the D draws of each.
    stable
        bool ``(M,)``: False for chains that diverged: weights that are not finite, or a loss on their own text above
        twice that of equal probabilities. (The states of an LSTM are bounded, so its weights may grow without any
        overflow.)
    train_loss
        float ``(D, M)``: the mean loss of the steps up to each draw, nats per symbol.
    """

    weights: Weights
    stable: Bool[np.ndarray, " M"]
    train_loss: Float[np.ndarray, "D M"]


def count_symbols(corpus: Corpus) -> int:
    """Count the symbols of a text that a network predicts: characters and boundaries."""
    return int(make_lanes(corpus, 1).weights.sum())


def run_chains(
    model: TrainedModel,
    corpus: Corpus,
    config: SamplerConfig,
    step_sizes: Sequence[float],
    seeds: Sequence[int],
    progress: bool = True,
) -> ChainDraws:
    """Run M chains from one network's weights over the corpus' training strings, as one program.

    Parameters
    ----------
    model
        Where the chains start.
    corpus
        The data.
    config
        The sampler and its settings.
    step_sizes, seeds
        One per chain; the first seed also decides the order of the text, which is the same for all chains.
    progress
        Whether to show a progress bar.

    Raises
    ------
    ValueError
        For a step size that is not positive and finite.
    """
    if not len(step_sizes) or not all(0 < step < math.inf for step in step_sizes):
        raise ValueError(f"expected step sizes above 0, got {list(step_sizes)}")
    text, n_chains, sampler = model.encode(corpus).train, len(step_sizes), make_sampler(config)
    state = _init_chains(model, config, sampler, step_sizes, seeds, count_symbols(text))
    plan = TrainConfig(steps=config.steps, batch=config.batch, window=config.window, seed=seeds[0]).plan(1)
    chunk, rates = math.gcd(_CHUNK, config.thin, config.burn_in), jnp.ones(n_chains)
    devices = make_grid(n_chains, config.batch)
    draws: list[Weights] = []
    losses: list[np.ndarray] = []
    since_draw: list[Any] = []
    step = 0
    with bar("sampling", config.steps, progress) as advance:
        for batch in make_batches(text, [plan] * n_chains, 0, chunk):
            state, (loss, _) = take_steps(state, rates, batch, sampler, devices)
            since_draw.append(loss)
            step += chunk
            advance(step, lambda loss=loss: f"loss {float(np.nanmean(np.asarray(loss)[:, -1])):.3f}")  # type: ignore[misc]
            if step <= config.burn_in or (step - config.burn_in) % config.thin:
                continue
            draws.append(jax.device_get(state.weights))
            losses.append(np.concatenate(jax.device_get(since_draw), axis=1).mean(1))
            since_draw = []
    weights = jax.tree.map(lambda *parts: np.stack(parts), *draws)
    train_loss = np.stack(losses)
    bounded = (train_loss < 2 * math.log(len(model.vocabulary))).all(0)
    return ChainDraws(weights, bounded & _all_finite(weights, n_chains), train_loss)


def _init_chains(
    model: TrainedModel,
    config: SamplerConfig,
    sampler: ChainSampler,
    step_sizes: Sequence[float],
    seeds: Sequence[int],
    n_symbols: int,
) -> TrainState:
    n_chains = len(step_sizes)
    state = init_state([model.weights] * n_chains, _IDENTITY, config.batch)
    fill = partial(jnp.full, n_chains, dtype=jnp.float32)
    target = ChainTarget(jnp.asarray(step_sizes, jnp.float32), fill(n_symbols), fill(config.prior_sd**-2))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    return state._replace(optimizer=jax.vmap(sampler.start)(state.weights, keys, target))


def _all_finite(weights: Weights, n_chains: int) -> Bool[np.ndarray, " M"]:
    each = [np.isfinite(a).reshape(len(a), n_chains, -1) for a in named_arrays(weights).values()]
    rows = np.concatenate([one.swapaxes(0, 1).reshape(n_chains, -1) for one in each], axis=1)
    return np.asarray(rows.all(axis=1))
