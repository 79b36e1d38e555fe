"""Repairs by several sets of neurons, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dni_jax.features import Feature
from dni_jax.lab.repair._texts import repair
from dni_jax.models import TrainedModel
from dni_jax.text import Corpus


def repair_table(
    model: TrainedModel,
    corpus: Corpus,
    violation: Feature,
    sets: Mapping[str, Any],
    *,
    n_random: int = 20,
    **settings: Any,
) -> pd.DataFrame:
    """Repair by the weights of several sets of neurons, each from the same texts, and compare what comes of it.

    Parameters
    ----------
    model, corpus, violation, settings
        See `dni_jax.lab.repair.repair`.
    sets
        For the name of each set its neurons: numbers, a table from `dni_jax.top`, or None for all.
    n_random
        Random sets of as many neurons, for each set that is not all of the top layer.

    Returns
    -------
    One row a set: ``free`` (its name), ``violation``, ``neurons`` (how many), ``examples``, ``keep``, ``changed``
    (weights), ``size`` (the sum of their changes' magnitudes); ``per_1000_before``, ``per_1000`` with ``_low`` and
    ``_high`` (violations in 1,000 symbols of fresh text), ``random_per_1000`` (the random sets' median);
    ``loss_before``, ``loss``, ``random_loss`` (nats a symbol on test strings); ``p_per_1000`` and ``p_loss`` (how often
    a random set does as well). NaN where there are no random sets.

    Raises
    ------
    ValueError
        As `dni_jax.lab.repair.repair`; a `NoViolationError` where no text goes wrong.

    Examples
    --------
    >>> import dni_jax as dni
    >>> from dni_jax.lab.repair import repair_table
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> model = dni.train(corpus, hidden=8, steps=2, progress=False)
    >>> four = dni.char_feature("4", "4".__eq__)
    >>> table = repair_table(model, corpus, four, {"all": None, "two": [1, 5]}, n_random=2, n=8, length=30, n_clean=50)
    >>> table[["free", "neurons"]].values.tolist()
    [['all', 8], ['two', 2]]
    """
    rows = []
    for name, neurons in sets.items():
        few = neurons is not None and len(neurons) < model.weights.sizes[-1]
        fix = repair(model, corpus, violation, neurons=neurons, n_random=n_random if few else 0, **settings)
        rows.append({"free": name, **fix.row()})
    return pd.DataFrame(rows)
