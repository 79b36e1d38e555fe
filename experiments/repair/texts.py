"""Repairing a network so that its texts go wrong less often, and whether the neurons that inspection finds suffice.

Asked     (r) Can a small change of the head keep a network from writing what its language does not hold, what does it
          cost on right text, and do the ten neurons that inspection finds do better than ten random ones?
Command   python -m experiments.repair.texts
Run time  about 6 minutes on 2 CPU cores (networks that are there already are not trained again)
Result    the tables of README.md in this folder
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import dni_jax as dni
from dni_jax.lab.repair import count_violations, prefix_states, preserved_states, violating_symbols
from dni_jax.models import TrainedModel, cross_entropy
from experiments._shared.subjects import arguments, spread, subject, table

EARLY = 200  # steps after which one of the networks was stopped
N, LENGTH, MOST = 1_000, 100, 1e-4
SIZES = {"stopped early": (5, 20, 100, 500), "trained": (5, 20, 50)}
MATCHED = "top 10 for depth"  # random sets are alike in variance to these
RANDOM_SETS, RANDOM_AT = 20, 100  # drawn for the network stopped early only: the other makes too few mistakes to tell
STEPS, PRICES = 1_000, (0.3, 3.0, 30.0, 300.0)  # of gradient descent


def stopped_early(case, seed, networks):
    path = Path(networks) / f"parentheses-{seed}-{EARLY}-steps"
    if not path.exists():
        dni.train(case.corpus, seed=seed, steps=EARLY).save(path)
    return replace(case, model=dni.load(path))


def rankings(case, seed):
    """Ten neurons each: the best for depth in right text, and the best for "what comes next is wrong" in its own."""
    states, library = dni.record(case.model, case.held_out), case.language.features()
    depth = dni.inspect(states, library.select(["depth"]).label(case.held_out), seed=seed)
    texts = dni.generate(case.model, 400, LENGTH, seed=seed + 100)
    strings = [string for text in texts for string in text.split("\n") if string]
    own = dni.Corpus.from_strings(strings, vocabulary=case.model.vocabulary)
    wrong = case.language.violations()
    labels = wrong.label(own).columns[0]
    following = np.append(labels[1:], 0)
    following[own.offsets[1:] - 1] = 0
    first = (following == 1) & (labels == 0)
    coming = dni.features.Feature("next is wrong", lambda corpus: first)
    ahead = dni.inspect(dni.record(case.model, own), coming.label(own), seed=seed)
    return {
        MATCHED: dni.top(depth, "depth", k=10)["neuron"].to_numpy(),
        "top 10 for an error to come": dni.top(ahead, "next is wrong", k=10, by="auc")["neuron"].to_numpy(),
    }


def by_gradient(case, fix, wrong, seed):
    """The plain way: Adam on the head, on the same states; to be right in examples and as before in right text.

    Like `dni.lab.repair.repair`, it takes the lowest price of right text with which validation text is predicted no
    worse.
    """
    model = case.model
    prefixes = fix.examples["prefix"].tolist()
    bad = jnp.asarray(prefix_states(model, prefixes))
    never = jnp.asarray(violating_symbols(wrong, prefixes, model.vocabulary))
    good = jnp.asarray(preserved_states(model, wrong, case.corpus.train, 500, seed).states)
    bias, start = jnp.asarray(model.weights.head_b), jnp.asarray(model.weights.head)
    before = jax.nn.softmax(good @ start + bias)

    def cost(head, price):
        chances = jax.nn.log_softmax(bad @ head + bias)
        mass = jax.nn.logsumexp(jnp.where(never, chances, -jnp.inf), axis=1)
        stays = -(before * jax.nn.log_softmax(good @ head + bias)).sum(axis=1).mean()
        return jnp.maximum(mass - np.log(MOST), 0.0).mean() + price * stays

    adam = optax.adam(0.01)

    @jax.jit
    def run(head, price):
        def step(carry, _):
            head, state = carry
            update, state = adam.update(jax.grad(cost)(head, price), state)
            return (optax.apply_updates(head, update), state), None

        return jax.lax.scan(step, (head, adam.init(head)), None, length=STEPS)[0][0]

    validation = case.corpus.validation
    most = cross_entropy(model.weights, validation, 50_000)
    for price in PRICES:
        head = run(start, price)
        tuned = TrainedModel.from_weights(replace(model.weights, head=head), model.vocabulary, boundary=model.boundary)
        if cross_entropy(tuned.weights, validation, 50_000) <= most:
            break
    after = count_violations(tuned, wrong, case.corpus.test, N, LENGTH, seed + 1, "")
    return {
        "per_1000": 1_000 * after.wrong.sum() / after.symbols.sum(),
        "loss": after.loss,
        "changed": int((head != start).sum()),
        "size": float(jnp.abs(head - start).sum()),
    }


def of_one_network(case, sizes, seed):
    """Rows of every way and number of examples."""
    wrong, found = case.language.violations(), {}
    settings = {"n": N, "length": LENGTH, "target_probability": MOST, "seed": seed}
    chosen = rankings(case, seed)
    for size in sizes:
        fix = dni.lab.repair.repair(case.model, case.corpus, wrong, n_examples=size, **settings)
        if len(fix.examples) < size:
            raise SystemExit(f"expected {size} strings that go wrong, got {len(fix.examples)}: raise N")
        found["all neurons", size] = fix.row()
        found["all neurons, by gradient", size] = by_gradient(case, fix, wrong, seed)
        ways = {**chosen, "the 10 that carry most of it": fix.by_neuron["neuron"].to_numpy()[:10]}
        for way, neurons in ways.items():
            n_random = RANDOM_SETS if size == RANDOM_AT and way == MATCHED else 0
            some = dni.lab.repair.repair(
                case.model, case.corpus, wrong, n_examples=size, neurons=neurons, n_random=n_random, **settings
            )
            found[way, size] = some.row()
            if n_random:
                found["random 10", size] = some.random
    return found


def p_values(found, way, size):
    """How often a random set leaves as few violations."""
    if way == "random 10" or "10" not in way or ("random 10", size) not in found[0]:
        return "-"
    few = [(one["random 10", size]["per_1000"] <= one[way, size]["per_1000"]).sum() for one in found]
    return spread([(1 + count) / (1 + RANDOM_SETS) for count in few], 2)


def printed(kind, found):
    """Print the table of one kind of network."""
    before = [one["all neurons", SIZES[kind][0]] for one in found]
    rate, loss = ([row[name] for row in before] for name in ("per_1000_before", "loss_before"))
    print(f"Network {kind}: {spread(rate)} violations in 1,000 symbols, {spread(loss, 4)} nats on right text\n")
    rows = []
    for way, size in found[0]:
        each = [one[way, size] for one in found]
        cells = []
        for name, digits in (("per_1000", 2), ("loss", 4), ("changed", 0), ("size", 0)):
            cells.append(spread([np.median(row[name]) for row in each], digits))
            if way.startswith("random") and digits:
                every = np.concatenate([row[name] for row in each])
                cells[-1] += f"; sets {every.min():.{digits}f} to {every.max():.{digits}f}"
        rows.append([size, way, *cells, p_values(found, way, size)])
    rows.sort(key=lambda row: row[0])
    table(
        ["examples", "free to change", "violations in 1,000", "loss", "weights", "L1 size", "p"],
        rows,
    )


def main():
    asked = arguments(__doc__)
    found = {kind: [] for kind in SIZES}
    for seed in asked.seeds:
        case = subject("parentheses", seed, asked.networks)
        found["trained"].append(of_one_network(case, SIZES["trained"], seed))
        early = stopped_early(case, seed, asked.networks)
        found["stopped early"].append(of_one_network(early, SIZES["stopped early"], seed))
    for kind, each in found.items():
        printed(kind, each)


if __name__ == "__main__":
    main()
