"""Joint matching on states of a network and a feature of its text, without pairs and with a few.

Claim     State and feature are observed in pairs, so a probe has no ambiguity to resolve. Without pairs, matching the
          joint of (nesting level, state) may exchange levels; the cycle term makes it consistent, not right.
Measures  Share of unseen characters whose level the state-to-level network gets right; the same after the best
          renaming of levels; and of a logistic regression on the same pairs. The state is its 10 first principal
          components, whitened; levels are 0 to 4. 5 pairs are one a level, 20 four a level.
Command   python -m experiments.joint_matching.alice_states
Run time  4 minutes of CPU time, measured beside other work: about 3 minutes on 2 CPU cores
Result    Without pairs .20 (ALI) and .21 (ALICE) of unseen levels are right, where the commonest level has .26; after
          the best renaming .45. With 20 pairs matching gets .54 and .55, the probe .80; on all pairs the probe has 1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

import dni_jax as dni
from experiments._shared.subjects import arguments, spread, subject, table
from experiments.joint_matching._networks import (
    Batch,
    Setting,
    ali,
    ask,
    explicit,
    explicit_and_pairs,
    pairs,
    train_many,
)

LEVELS, PARTS, NOISE, BLUR = 5, 10, 8, 0.1
STEPS, BATCH, STARTS = 4_000, 64, 8
PAIRS = (1, 5, 20)


def data_of(seed, networks):
    """Whitened states and levels of characters: of half of the strings to learn from, of the others to score."""
    its = subject("parentheses", seed, networks)
    text = its.held_out
    depth = its.language.features().label(text).select("depth").values[:, 0]
    levels = np.rint((LEVELS - 1) * np.asarray(depth)).astype(int)
    states = np.asarray(dni.record(its.model, text).hidden)
    learns = text.string_ids % 2 == 0
    parts = PCA(PARTS, whiten=True).fit(states[learns]).transform(states).astype(np.float32)
    return parts[learns], levels[learns], parts[~learns], levels[~learns]


def given_pairs(levels, n, rng):
    """Places of n pairs, repeated to the most that there are; as many of each level as can be."""
    chosen = [rng.choice(np.flatnonzero(levels == level), max(PAIRS) // LEVELS, replace=False)
              for level in rng.permutation(LEVELS)]  # fmt: skip
    return np.tile(np.ravel(chosen, order="F")[:n], max(PAIRS) // n)


def drawing(states, levels):
    """Batches of levels (x, blurred one-hot) and states (z) of one network, drawn apart; and its pairs."""
    codes = jnp.asarray(np.eye(LEVELS, dtype=np.float32)[levels])
    states = jnp.asarray(states)

    def draw(key, own):
        keys = jax.random.split(key, 6)
        network, given = own
        of_x, of_z = (jax.random.randint(one, (BATCH,), 0, codes.shape[1]) for one in keys[:2])
        x = codes[network, of_x] + BLUR * jax.random.normal(keys[2], (BATCH, LEVELS))
        x_given = codes[network, given] + BLUR * jax.random.normal(keys[3], (len(given), LEVELS))
        noise = jax.random.normal(keys[4], (2, BATCH, NOISE))
        noise_given = jax.random.normal(keys[5], (2, len(given), NOISE))
        return Batch(x, states[network, of_z], noise, x_given, states[network, given], noise_given)

    return draw


def settings_of(n):
    def same(value):
        return jnp.full(n, value, jnp.float32)

    whole = jnp.ones(n, jnp.int32)
    return Setting(same(1e-3), same(1e-3), same(1.0), whole, 32 * whole, same(1.0), same(1.0), jnp.cumsum(whole))


def renamed(truth, answer):
    """The accuracy under the one-to-one renaming of the answers that suits best."""
    counts = np.zeros((LEVELS, LEVELS))
    np.add.at(counts, (answer, truth), 1)
    return counts[linear_sum_assignment(-counts)].sum() / len(truth)


def matched(method, draw, members, unseen):
    """Accuracy, and that after the best renaming, of each (network, places of pairs)."""
    networks, given = (jnp.asarray(np.asarray(part), jnp.int32) for part in zip(*members, strict=True))
    keys = jax.random.split(jax.random.key(1), STEPS)
    players = train_many(method, settings_of(len(members)), draw, keys, own=(networks, given))

    @jax.jit
    def answers(decoder, states):
        return ask(decoder, states, jnp.zeros((len(states), NOISE))).argmax(1)

    scores = []
    for at, (network, _) in enumerate(members):
        states, levels = unseen[network]
        answer = np.asarray(answers(jax.tree.map(lambda array, at=at: array[at], players.decoder), states))
        scores.append(((answer == levels).mean(), renamed(levels, answer)))
    return np.asarray(scores)


def probed(learn, unseen, places):
    """The same of a logistic regression on pairs at these places; of one class only it answers that class."""
    states, levels = learn[0][places], learn[1][places]
    if len(np.unique(levels)) == 1:
        answer = np.full(len(unseen[1]), levels[0])
    else:
        answer = LogisticRegression(max_iter=1_000).fit(states, levels).predict(unseen[0])
    return (answer == unseen[1]).mean(), renamed(unseen[1], answer)


def main():
    asked = arguments(__doc__)
    data = [data_of(seed, asked.networks) for seed in asked.seeds]
    least = min(len(one[0]) for one in data)
    learn, unseen = [(one[0][:least], one[1][:least]) for one in data], [one[2:] for one in data]
    draw = drawing(*(np.stack(parts) for parts in zip(*learn, strict=True)))
    rng = np.random.default_rng(0)
    members = {
        n: [(at, given_pairs(learn[at][1], n, rng)) for at in range(len(data)) for _ in range(STARTS)] for n in PAIRS
    }
    rows = []

    def add(name, n, scores):
        rows.append([name, n, *(spread(column, 2) for column in np.asarray(scores).T), f"{np.std(scores, 0)[0]:.2f}"])

    for name, method in (("ALI", ali), ("ALICE, explicit", explicit)):
        add(name, 0, matched(method, draw, members[1], unseen))
    for name, method in (("ALI and pairs", pairs), ("ALICE, explicit, and pairs", explicit_and_pairs)):
        scores = matched(method, draw, [one for each in members.values() for one in each], unseen)
        for n, part in zip(PAIRS, np.split(scores, len(PAIRS)), strict=True):
            add(name, n, part)
    for n in PAIRS:
        add("probe", n, [probed(learn[at], unseen[at], np.unique(places)) for at, places in members[n]])
    add("probe", least, [probed(one, other, slice(None)) for one, other in zip(learn, unseen, strict=True)])
    often = [spread([(one[3] == level).mean() for one in data], 2) for level in range(LEVELS)]
    print(f"shares of the levels: {', '.join(often)}; {len(data)} networks, {STARTS} starts each\n")
    table(["method", "pairs", "accuracy", "after the best renaming", "standard deviation of accuracy"], rows)


if __name__ == "__main__":
    main()
