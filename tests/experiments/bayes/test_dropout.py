"""Steps with dropout, against training's own steps where nothing is dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dni_jax.devices import make_grid
from dni_jax.models import TrainConfig
from dni_jax.models._network import zero_carries
from dni_jax.models._steps import init_state, take_steps
from dni_jax.models._training import make_batches
from dni_jax.models._weights import named_arrays
from experiments.bayes._dropout import Learner, dropped, learn


@pytest.mark.slow
def test_without_dropout_they_are_trainings_own_steps(model, corpus):
    plan = TrainConfig(steps=5, batch=16, window=32).plan(1)
    batch = next(make_batches(corpus.train, [plan], 0, 5))
    optimizer = optax.sgd(0.1)
    theirs, (loss, _) = take_steps(
        init_state([model.weights], optimizer, 16), jnp.ones(1), batch, optimizer, make_grid(1, 16)
    )
    start = Learner(model.weights, optimizer.init(model.weights), zero_carries(model.weights, 16), jax.random.key(0))
    ours, mine = learn(start, [array[0] for array in batch[:4]], optimizer)
    np.testing.assert_allclose(mine, loss[0], rtol=1e-5)
    for name, array in named_arrays(ours.weights).items():
        np.testing.assert_allclose(array, named_arrays(theirs.weights)[name][0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_dropout_keeps_the_mean_and_its_share():
    hidden = jnp.full((50, 40, 10), 0.3)
    found = dropped(jax.random.key(0), hidden, 0.8)
    assert abs(float((found > 0).mean()) - 0.8) < 0.01
    np.testing.assert_allclose(found[found > 0], 0.3 / 0.8, rtol=1e-6)
    assert dropped(jax.random.key(0), hidden, 1.0) is hidden
