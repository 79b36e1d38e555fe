"""Bayesian model averaging: the mean of many networks' probabilities, and how well it predicts."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float
from scipy.special import logsumexp

from dni_jax.devices import make_grid, map_models
from dni_jax.models import (
    Weights,
    choose_lane_count,
    compute_logits,
    compute_losses,
    make_lanes,
    network_scan,
    zero_carries,
)
from dni_jax.text import Corpus


class PredictiveLoss(NamedTuple):
    """How well networks predict a text, each alone and all averaged, in nats per symbol.

    Attributes
    ----------
    each
        float64 ``(D,)``: minus the mean log-probability of the text's symbols under each network.
    average
        The same for the mean of their probabilities; never above the mean of `each`.
    """

    each: Float[np.ndarray, " D"]
    average: float


def predictive_losses(weights: Weights, corpus: Corpus) -> Float[np.ndarray, "D U"]:
    """Compute minus the log-probability of each of the U symbols of a text under each of D networks.

    Parameters
    ----------
    weights
        Of all networks: each array has a leading axis of D.
    corpus
        In the networks' codes. The symbols are in the order of its lanes, boundaries included.
    """
    lanes = make_lanes(corpus, choose_lane_count(corpus, 64))
    devices = make_grid(weights.head.shape[0], lanes.codes.shape[1])
    losses = _sharded_losses(jax.device_get(weights), lanes.codes, lanes.targets, lanes.resets, devices)
    return np.asarray(losses)[:, lanes.weights > 0]


@partial(jax.jit, static_argnames="devices")
def _sharded_losses(
    weights: Weights, codes: Array, targets: Array, resets: Array, devices: Mesh
) -> Float[Array, "D n B"]:
    def of_one(weights: Weights, codes: Array, targets: Array, resets: Array) -> Array:
        hidden, _ = network_scan(weights, codes, resets, zero_carries(weights, codes.shape[1]))
        return compute_losses(compute_logits(weights, hidden), targets)

    def local(weights: Weights, *text: Array) -> Array:
        return map_models(lambda one: of_one(one, *text), devices)(weights)

    text = P(None, "lanes")
    sharded = jax.shard_map(
        local,
        mesh=devices,
        in_specs=(P("models"), text, text, text),
        out_specs=P("models", None, "lanes"),
        check_vma=False,
    )
    return sharded(weights, codes, targets, resets)


def combine_losses(losses: Float[np.ndarray, "D U"]) -> PredictiveLoss:
    """Combine the losses of D networks on the same symbols: the average's probability is the mean of theirs.

    Examples
    --------
    >>> combined = combine_losses(-np.log([[0.5, 0.1], [0.5, 0.3]]))
    >>> bool(np.isclose(combined.average, -np.log([0.5, 0.2]).mean()))
    True
    """
    losses = losses.astype(np.float64)
    average = np.log(len(losses)) - logsumexp(-losses, axis=0)
    return PredictiveLoss(losses.mean(1), float(average.mean()))


def predictive_loss(weights: Weights, corpus: Corpus) -> PredictiveLoss:
    """Compute how well D networks predict a text, each alone and all averaged; see `predictive_losses`."""
    return combine_losses(predictive_losses(weights, corpus))
