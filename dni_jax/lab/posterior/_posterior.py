"""Draws of a network's weights near the trained ones, by stochastic gradient MCMC."""

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
from dni_jax.lab.posterior._chains import SamplerConfig, run_chains
from dni_jax.lab.posterior._intervals import credible_intervals
from dni_jax.lab.posterior._prediction import PredictiveLoss, predictive_loss
from dni_jax.lab.posterior._uncertainty import Uncertainty, measure_uncertainty
from dni_jax.models import Population, TrainedModel, Weights, named_arrays, record
from dni_jax.text import Corpus

_STEP_SIZE = (
    1e-4  # of psgld: the largest power of ten whose average predicted no worse than the network it started from
)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of a network's weights around the trained ones.

    The draws are *local*. A chain does not leave the neighborhood of its start: neurons can be permuted without any
    change of what a network predicts, and no chain of affordable length permutes them. The step size and the number of
    steps set the spread of the draws as much as the data do. So an interval means little without `step_size_sweep`,
    and without a comparison with other texts and other seeds (`compare_uncertainty`).

    Attributes
    ----------
    model
        The network that the chain started from.
    weights
        float32: each array has a leading axis of D draws.
    steps
        int64 ``(D,)``: the step of each draw.
    validation
        How well each draw, and the mean of their probabilities, predicts text that the chain did not see. NaN without
        such text.
    start_loss
        The loss of `model` on the same text, nats per symbol.
    train_loss
        float64 ``(D,)``: the mean loss of the steps up to each draw, nats per symbol.
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
        return f"Posterior({len(self)} local draws, {self.settings['sampler']}; validation text: {loss})"

    def _repr_html_(self) -> str:
        losses = {
            "validation text, average": f"{self.validation.average:.4f} nats per symbol",
            "validation text, each draw": f"{self.validation.each.mean():.4f} nats per symbol",
            "validation text, start": f"{self.start_loss:.4f} nats per symbol",
            "spread": f"{self.spread:.3f} of the weights' size",
        }
        return card(f"Posterior: {len(self)} local draws", facts({**losses, **dict(self.settings)}))

    @property
    def spread(self) -> float:
        """The draws' root mean square distance from their mean, over the root mean square of the start's weights."""
        variance = sum(float(a.var(0, dtype=np.float64).sum()) for a in named_arrays(self.weights).values())
        return float(np.sqrt(variance / _sum_of_squares(self.model.weights)))

    @property
    def distance(self) -> float:
        """The distance of the last draw from the start, in the unit of `spread`."""
        change = jax.tree.map(lambda draws, start: draws[-1] - np.asarray(start), self.weights, self.model.weights)
        return float(np.sqrt(_sum_of_squares(change) / _sum_of_squares(self.model.weights)))

    @property
    def autocorrelation(self) -> float:
        """The correlation of successive draws about their mean, over all weights; NaN if nothing moved."""
        covariance, variance = 0.0, 0.0
        for array in named_arrays(self.weights).values():
            deviation = array - array.mean(0, dtype=np.float64)
            covariance += float((deviation[1:] * deviation[:-1]).sum()) / (len(deviation) - 1)
            variance += float((deviation * deviation).sum()) / len(deviation)
        return covariance / variance if variance > 0 else float("nan")

    @cached_property
    def population(self) -> Population:
        """The draws as networks, for `dni_jax.record` and everything else that accepts a population."""
        draws = (jax.tree.map(lambda array, n=n: array[n], self.weights) for n in range(len(self)))
        models = [
            TrainedModel.from_weights(
                one,
                self.model.vocabulary,
                self.model.config,
                [{"step": int(step), "validation_loss": float(loss)}],
                self.model.boundary,
            )
            for one, step, loss in zip(draws, self.steps, self.validation.each, strict=True)
        ]
        return Population(tuple(models), (None,) * len(models))

    def evaluate(self, corpus: Corpus) -> PredictiveLoss:
        """Compute how well each draw, and the mean of their probabilities, predicts a text."""
        return predictive_loss(self.weights, self.model.encode(corpus))

    def predict(self, corpus: Corpus, return_std: bool = False) -> Any:
        """Compute the probability of each next symbol after each character: the mean over draws.

        Parameters
        ----------
        corpus
            What the networks read.
        return_std
            Whether to return the standard deviation over draws as well.

        Returns
        -------
        float32 ``(T, V)``, by the network's own codes; with `return_std` the mean and the standard deviation.
        """
        found = self.uncertainty(corpus)
        return (found.mean, found.std) if return_std else found.mean

    def uncertainty(self, corpus: Corpus) -> Uncertainty:
        """Compute how unsure predictions are after each character, and which part of that the draws disagree on.

        Returns
        -------
        Uncertainty, of shapes ``(T, V)`` and ``(T,)``: more text would settle a `disagreement`; what is `shared`, such
        as which of ten digits comes next, it would not.
        """
        logits = (record(model, corpus, ("logits",)).logits for model in self.population)
        return measure_uncertainty(softmax(np.asarray(one, np.float64), axis=-1) for one in logits)

    def relevance(
        self,
        corpus: Corpus,
        labels: Labels,
        probe: str = "svm",
        folds: int = 5,
        *,
        k: int | None = None,
        level: float = 0.95,
        **options: Any,
    ) -> xr.Dataset:
        """Score every neuron of every draw, and compute how certain the scores and the ranking are.

        Parameters
        ----------
        corpus
            What the networks read; best a text that the chain did not see.
        labels
            The features' labels on it.
        probe, folds, options
            See `dni_jax.inspect`.
        k
            The number of neurons that count as the top ones. Default: 10, or all if the network has fewer.
        level
            The share of draws within an interval.

        Returns
        -------
        Dataset with dimensions ``(neuron, feature)``: ``score`` and ``auc``, the means over draws; ``score_low``,
        ``score_high``, ``auc_low``, ``auc_high``, local credible intervals; ``p_top``, the share of draws in which the
        neuron is among the k best (by AUC; for continuous features by score); ``rank``, its mean rank, 0 for the best.
        Neuron numbers mean the same in all draws, since draws are local.

        Raises
        ------
        ValueError
            For k out of range, or a level outside (0, 1); and as `dni_jax.inspect` does.
        """
        relevance = inspect(record(self.population, corpus), labels, probe, folds, **options)
        return credible_intervals(relevance, k=k, level=level)


def sample_posterior(
    model: TrainedModel,
    corpus: Corpus,
    sampler: str | SamplerConfig = "psgld",
    *,
    step_size: float | None = None,
    seed: int = 0,
    validation: Corpus | None = None,
    progress: bool = True,
    **settings: Any,
) -> Posterior:
    """Draw weights from the posterior near a trained network's, with a stochastic gradient sampler.

    The target is ``exp(-U / temperature)``, where U is the loss on the whole training text plus that of a normal prior.
    Its gradient is estimated from windows of text, as in training: states flow on from window to window, and gradients
    stop at a window's edge. So the estimate is that of truncated backpropagation, with states that older weights have
    left: close to the gradient of U, but not unbiased.

    Parameters
    ----------
    model
        Where the chain starts.
    corpus
        Its ``train`` strings are the data.
    sampler
        The name of a sampler, such as ``"psgld"``, or a whole `dni_jax.lab.posterior.SamplerConfig`.
    step_size
        The step size of the first step: for psgld in units of RMSprop's rate, by default 1e-4; for the others in units
        of the gradient of U, without a default (sgld needed 1e-6 on 76,000 symbols). The width of intervals grows with
        its root: see `step_size_sweep`.
    seed
        Decides the noise and the order of the text.
    validation
        The text to evaluate the draws on; by default the corpus' validation strings.
    progress
        Whether to show a progress bar (on a terminal only).
    settings
        Fields of `dni_jax.lab.posterior.SamplerConfig`, such as ``n_draws``, ``thin`` and ``burn_in``; and further
        arguments of the sampler.

    Returns
    -------
    Posterior, whose draws are local: see there.

    Raises
    ------
    ValueError
        For an invalid setting, or a chain that diverges.

    References
    ----------
    Welling & Teh 2011; Li et al. 2016 (pSGLD); Gan et al. 2017, "Scalable Bayesian learning of recurrent neural
    networks for language modeling".

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> draws = sample_posterior(model, corpus, n_draws=3, thin=2, burn_in=2, progress=False)
    >>> dni.record(draws.population, corpus.test).hidden.shape == (3, corpus.test.n_positions, 8)
    True
    """
    config = SamplerConfig.from_settings(sampler, settings)
    if step_size is None:
        if config.sampler != "psgld":
            raise ValueError(f"expected step_size= for the sampler {config.sampler!r}, got none: see step_size_sweep")
        step_size = _STEP_SIZE
    (draws,) = sample_chains(model, corpus, config, [step_size], seed, validation, progress)
    if draws is None:
        raise ValueError(
            f"expected draws near the network, got a chain that diverges with step_size {step_size:g}: take a smaller "
            "one, or sampler='psgld'; dni_jax.lab.posterior.step_size_sweep shows which step sizes work"
        )
    return draws


def sample_chains(
    model: TrainedModel,
    corpus: Corpus,
    config: SamplerConfig,
    step_sizes: Sequence[float],
    seed: int | Sequence[int],
    validation: Corpus | None = None,
    progress: bool = True,
) -> list[Posterior | None]:
    """Draw with each of several step sizes or seeds, all chains in one program; None for a chain that diverged.

    Parameters
    ----------
    model, corpus, validation, progress
        See `sample_posterior`.
    config
        The sampler and its settings.
    step_sizes
        One per chain.
    seed
        Of all chains, or one per chain: equal step sizes with different seeds are what `convergence` compares. All
        chains start at the network and read the text in the same order, that of the first seed.

    Raises
    ------
    ValueError
        For another number of seeds than of step sizes.
    """
    seeds = [seed] * len(step_sizes) if isinstance(seed, int) else [int(one) for one in seed]
    if len(seeds) != len(step_sizes):
        raise ValueError(f"expected one seed per chain, got {len(seeds)} seeds and {len(step_sizes)} step sizes")
    chains = run_chains(model, corpus, config, step_sizes, seeds, progress)
    text = _validation_text(model, corpus, validation)
    steps = config.burn_in + config.thin * np.arange(1, config.n_draws + 1, dtype=np.int64)
    posteriors: list[Posterior | None] = []
    for number, step_size in enumerate(step_sizes):
        if not chains.stable[number]:
            posteriors.append(None)
            continue
        weights = jax.tree.map(lambda array, n=number: array[:, n], chains.weights)
        loss, start_loss = _validation_losses(model, weights, text)
        settings = {**config.settings, "step_size": float(step_size), "seed": seeds[number]}
        train_loss = chains.train_loss[:, number].astype(np.float64)
        posteriors.append(Posterior(model, weights, steps, loss, start_loss, train_loss, settings))
    return posteriors


def _validation_text(model: TrainedModel, corpus: Corpus, validation: Corpus | None) -> Corpus | None:
    """Return the text to evaluate draws on, in the network's codes; None if there is none."""
    if validation is not None:
        return model.encode(validation)
    return model.encode(corpus.validation) if (corpus.split == 1).any() else None


def _validation_losses(model: TrainedModel, weights: Weights, text: Corpus | None) -> tuple[PredictiveLoss, float]:
    """Return the losses of draws, and that of the network they started from; NaN without text."""
    if text is None:
        return PredictiveLoss(np.full(len(weights.head), np.nan), float("nan")), float("nan")
    start = jax.tree.map(lambda array: np.asarray(array)[None], model.weights)
    return predictive_loss(weights, text), predictive_loss(start, text).average


def _sum_of_squares(weights: Weights) -> float:
    return sum(float(np.square(np.asarray(a), dtype=np.float64).sum()) for a in named_arrays(weights).values())
