"""How sure the weights are, near where training ended: draws of a network by stochastic-gradient MCMC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.special import softmax

from dni_jax.features import Labels
from dni_jax.html import card, facts
from dni_jax.inspection import inspect
from dni_jax.lab.posterior._averaging import PredictiveLoss, held_out
from dni_jax.lab.posterior._credible import credible
from dni_jax.lab.posterior._plan import SamplerConfig
from dni_jax.lab.posterior._walking import walk
from dni_jax.models import Population, TrainedModel, Weights, named_arrays, record
from dni_jax.text import Corpus

_STEP_SIZE = 1e-4  # of psgld; the largest power of ten whose average predicted no worse than the network it began with


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of a network's weights about those it was trained to.

    They are *local*. A chain does not leave the surroundings of its start: neurons can be swapped without any change to
    what a network predicts, and no chain of any affordable length swaps them. How far draws spread is set by the step
    size and the number of steps as much as by the data, so that an interval means little without `step_size_sweep`, and
    without what other texts and other seeds change (`beside`).

    Attributes
    ----------
    model
        The network that the chain started from.
    weights
        float32, each array with a leading axis of D draws.
    steps
        int64 ``(D,)``: the step each draw was taken at.
    validation
        How well each draw, and the mean of their probabilities, predicts text that the chain did not see; and
        ``start_loss``, the network the chain started from. NaN where there was no such text.
    start_loss
        See `validation`; nats a symbol.
    train_loss
        float64 ``(D,)``: the mean loss over the steps up to each draw, nats a symbol.
    settings
        How the draws were made.
    """

    model: TrainedModel
    weights: Weights
    steps: Int[np.ndarray, " D"]
    validation: PredictiveLoss
    start_loss: float
    train_loss: Float[np.ndarray, " D"]
    settings: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        each, average = self.validation
        loss = f"{average:.4f} nats averaged, {each.mean():.4f} each, {self.start_loss:.4f} at the start"
        return f"Posterior({len(self)} local draws, {self.settings['sampler']}; unseen text: {loss})"

    def _repr_html_(self) -> str:
        losses = {
            "unseen text, average": f"{self.validation.average:.4f} nats a symbol",
            "unseen text, each draw": f"{self.validation.each.mean():.4f} nats a symbol",
            "unseen text, start": f"{self.start_loss:.4f} nats a symbol",
            "spread": f"{self.spread:.3f} of the weights' size",
        }
        return card(f"Posterior: {len(self)} local draws", facts({**losses, **dict(self.settings)}))

    @property
    def spread(self) -> float:
        """The draws' root mean square distance from their mean, over the root mean square of the start's weights."""
        return spread_of(self.weights, self.model.weights)

    @cached_property
    def population(self) -> Population:
        """The draws as networks, for `dni_jax.record` and all else that takes a population."""
        each = (jax.tree.map(lambda array, n=n: array[n], self.weights) for n in range(len(self)))
        about = (self.model.vocabulary, self.model.config)
        models = [
            TrainedModel.from_weights(one, *about, [{"step": int(step), "validation_loss": float(loss)}], self.model.boundary)
            for one, step, loss in zip(each, self.steps, self.validation.each, strict=True)
        ]
        return Population(tuple(models), (None,) * len(models))

    def evaluate(self, corpus: Corpus) -> PredictiveLoss:
        """How well each draw, and the mean of their probabilities, predicts a text."""
        return held_out(self.weights, self.model.encode(corpus))

    def predict(self, corpus: Corpus) -> Float[np.ndarray, "T V"]:
        """The probability of each next symbol after each character: the mean over draws.

        Returns
        -------
        float32 ``(T, V)``, by the network's own codes.
        """
        total = np.zeros((corpus.n_positions, len(self.model.vocabulary)))
        for model in self.population:
            logits = record(model, corpus, ("logits",)).logits
            total += softmax(np.asarray(logits, np.float64), axis=-1)
        return (total / len(self)).astype(np.float32)

    def relevance(
        self,
        corpus: Corpus,
        labels: Labels,
        probe: str = "svm",
        folds: int = 5,
        *,
        k: int = 10,
        level: float = 0.95,
        **options: Any,
    ) -> xr.Dataset:
        """Score every neuron of every draw, and say how sure the scores and the ranking are.

        Parameters
        ----------
        corpus
            What the networks read; better text that the chain did not see.
        labels
            The features' labels on it.
        probe, folds, options
            See `dni_jax.inspect`.
        k
            How many neurons count as the top ones.
        level
            The share of draws within an interval.

        Returns
        -------
        Dataset with dimensions ``(neuron, feature)``: ``score`` and ``auc``, the means over draws; ``score_low``,
        ``score_high``, ``auc_low``, ``auc_high``, local credible intervals; ``p_top``, the share of draws in which the
        neuron is among the k best (by AUC; continuous features by score); ``rank``, its mean rank, 0 the best. Neuron
        numbers mean the same in all draws, since draws are local.

        Raises
        ------
        ValueError
            For k out of range, or a level outside (0, 1); and as `dni_jax.inspect` does.
        """
        found = inspect(record(self.population, corpus), labels, probe, folds, **options)
        return credible(found, k=k, level=level)


def sample_posterior(
    model: TrainedModel,
    corpus: Corpus,
    sampler: str = "psgld",
    *,
    n_draws: int = 20,
    thin: int = 50,
    burn_in: int = 100,
    step_size: float | None = None,
    schedule: str = "constant",
    length: int = 100,
    prior_sd: float = 1.0,
    temperature: float = 1.0,
    batch: int = 32,
    window: int = 64,
    seed: int = 0,
    validation: Corpus | None = None,
    progress: bool = True,
    **options: Any,
) -> Posterior:
    """Draw weights from the posterior near a trained network's, by a sampler that follows stochastic gradients.

    The target is ``exp(-U / temperature)``, U being the whole training text's loss plus that of a normal prior. Its
    gradient is estimated from some windows of text at a time, as in training: states flow on from window to window, and
    gradients end at a window's edge. So the estimate is of truncated backpropagation's gradient, with states that older
    weights have left: close to U's, but not unbiased.

    Parameters
    ----------
    model
        Where the chain starts.
    corpus
        Its ``train`` strings are the data.
    sampler : {"psgld", "sgld", "sghmc", "sgnht", "santa"}
        See `dni_jax.lab.posterior._samplers`; `options` go to it.
    n_draws, thin, burn_in
        How many draws, steps from one to the next, and steps before.
    step_size
        Of the first step: for psgld in units of RMSprop's rate, by default 1e-4; for the others of the gradient of U,
        without a default (sgld took 1e-6 on 76,000 symbols). Intervals are as wide as its root: see `step_size_sweep`.
    schedule : {"constant", "polynomial", "cyclical"}
        How the step size goes on; all draws count alike.
    length
        The cycle's steps (cyclical), or how many steps halve the step size, about (polynomial).
    prior_sd
        Standard deviation of the normal prior of every weight.
    temperature
        1 is the posterior; below, draws stay closer to its peak.
    batch, window
        Texts side by side in a step, and characters of each.
    seed
        Decides the noise and the order of the text.
    validation
        Text to report the held-out likelihood on; by default the corpus' validation strings.
    progress
        Whether to show a bar (only on a terminal).

    Returns
    -------
    Posterior, whose draws are local: see there.

    Raises
    ------
    ValueError
        For a setting that cannot be, or a chain that runs away.

    References
    ----------
    Welling & Teh 2011; Li et al. 2016 (pSGLD); Gan et al. 2017, "Scalable Bayesian learning of recurrent neural
    networks for language modeling".

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax.lab.posterior import sample_posterior
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> draws = sample_posterior(model, corpus, n_draws=3, thin=2, burn_in=2, progress=False)
    >>> dni.record(draws.population, corpus.test).hidden.shape == (3, corpus.test.n_positions, 8)
    True
    """
    own: dict[str, Any] = {"n_draws": n_draws, "thin": thin, "burn_in": burn_in, "batch": batch, "window": window}
    plan = SamplerConfig(sampler, **own, schedule=schedule, length=length, prior_sd=prior_sd, temperature=temperature,
                        options=options)  # fmt: skip
    if step_size is None:
        if sampler != "psgld":
            raise ValueError(f"expected step_size= for the sampler {sampler!r}, got none: see step_size_sweep")
        step_size = _STEP_SIZE
    (draws,) = sample_chains(model, corpus, plan, [step_size], seed, validation, progress)
    if draws is None:
        raise ValueError(
            f"expected draws near the network, got a chain that runs away with step_size {step_size:g}: take a smaller "
            "one, or sampler='psgld'; dni_jax.lab.posterior.step_size_sweep shows which step sizes go"
        )
    return draws


def sample_chains(
    model: TrainedModel,
    corpus: Corpus,
    plan: SamplerConfig,
    step_sizes: Sequence[float],
    seed: int,
    validation: Corpus | None = None,
    progress: bool = True,
) -> list[Posterior | None]:
    """Draw with each step size, all chains as one program; None for a chain that ran away."""
    walked = walk(model, corpus, plan, step_sizes, [seed] * len(step_sizes), progress)
    text = unseen_text(model, corpus, validation)
    steps = plan.burn_in + plan.thin * np.arange(1, plan.n_draws + 1, dtype=np.int64)
    found: list[Posterior | None] = []
    for number, step_size in enumerate(step_sizes):
        if not walked.stayed[number]:
            found.append(None)
            continue
        weights = jax.tree.map(lambda array, n=number: array[:, n], walked.weights)
        unseen, start = judged(model, weights, text)
        told = {**plan.settings, "step_size": float(step_size), "seed": seed}
        loss = walked.train_loss[:, number].astype(np.float64)
        found.append(Posterior(model, weights, steps, unseen, start, loss, told))
    return found


def unseen_text(model: TrainedModel, corpus: Corpus, validation: Corpus | None) -> Corpus | None:
    """The text to judge draws by, in the network's codes: what was given, or the corpus' own validation strings."""
    if validation is not None:
        return model.encode(validation)
    return model.encode(corpus.validation) if (corpus.split == 1).any() else None


def judged(model: TrainedModel, weights: Weights, text: Corpus | None) -> tuple[PredictiveLoss, float]:
    """How well draws predict a text, and how well the network that they started from does; NaN without text."""
    if text is None:
        return PredictiveLoss(np.full(len(weights.head), np.nan), float("nan")), float("nan")
    start = jax.tree.map(lambda array: np.asarray(array)[None], model.weights)
    return held_out(weights, text), held_out(start, text).average


def spread_of(weights: Weights, start: Weights) -> float:
    """The root mean square distance of draws from their mean, over the root mean square of one network's weights."""
    drawn = sum(float(a.var(0, dtype=np.float64).sum()) for a in named_arrays(weights).values())
    return float(np.sqrt(drawn / _squares(start)))


def moved_of(weights: Weights, start: Weights) -> float:
    """The distance of the last draw from the start, in the same units."""
    off = jax.tree.map(lambda drawn, before: drawn[-1] - np.asarray(before), weights, start)
    return float(np.sqrt(_squares(off) / _squares(start)))


def _squares(weights: Weights) -> float:
    return sum(float(np.square(np.asarray(a), dtype=np.float64).sum()) for a in named_arrays(weights).values())
