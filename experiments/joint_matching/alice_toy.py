"""ALI, ALICE, CycleGAN and a few pairs on a mixture of five, over 576 settings each (after Li et al. 2017, figure 2).

Claims    Matching joints leaves open which z an x belongs to, so ALI reconstructs poorly, whatever its samples are. A
          bound on H(x|z) (the cycle term, explicit or by a discriminator) makes far more settings good at both. It
          does not say which of the couplings is meant: that takes pairs.
Measures  error       squared, of x to z and back; a setting reconstructs well below 5 % of x's variance (6.48).
          score       inception score by the mixture's own posterior, at most 5; a setting generates well above 4.5
                      with all five modes covered (2 % of the samples within three standard deviations of each).
          near        share of samples within three standard deviations of a mode, which the score does not see.
          coupling    share of unseen x whose z is nearest to where the pairs put its mode (chance about .2).
Command   python -m experiments.joint_matching.alice_toy [--methods "ALI, 5 pairs, implicit"]
          python -m experiments.joint_matching.alice_toy --longer: wider networks and more steps, three seeds; measures
          what is missing in results_toy.json beside this file. Does the share of samples near a mode approach .989?
Run time  12 minutes of CPU time, measured beside other work: about 7 minutes on 2 CPU cores
Result    Settings of 576 that reconstruct, generate, do both: ALI 2, 116, 1; ALICE explicit 495, 290, 277, implicit
          564, 259, 257; CycleGAN 475, 308, 299; with 5 pairs ALI 41, 354, 31, ALICE explicit 515, 459, 432.
          Coupling .25, .28, .31, .34, and with pairs .90 and .98. For the quartiles, and the image alice_toy.png,
          see README.md in this folder.
"""

import argparse
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from dni_jax.plot import PALETTE
from experiments._shared.results import Results
from experiments._shared.subjects import spread, table
from experiments.joint_matching import _networks as nets
from experiments.joint_matching._networks import Batch, Setting, ask, train_many

CENTERS = jnp.asarray([[0, 0], [2, 2], [-2, -2], [2, -2], [-2, 2]], jnp.float32)  # as in the paper's code
SPREAD = 0.2
NOISE = 2  # coordinates of noise that encoder and decoder are given
VARIANCE = 2 * (3.2 + SPREAD**2)  # of x, both coordinates: the squared error of always answering with the mean
STEPS, BATCH, SAMPLES = 3_000, 32, 1_000
METHODS = {
    "ALI": nets.ali,
    "ALI, 5 pairs": nets.pairs,
    "ALI, 5 pairs, implicit": nets.judged_pairs,
    "ALICE, explicit": nets.explicit,
    "ALICE, implicit": nets.implicit,
    "ALICE, explicit, 5 pairs": nets.explicit_and_pairs,
    "CycleGAN": nets.cyclegan,
}
GRID = {
    "rate_g": (5e-4, 1.5e-3, 4e-3),
    "rate_d": (5e-4, 1.5e-3, 4e-3),
    "weight": (0.1, 1.0),  # ALI has no use for it: two seeds more
    "every": (1, 3),
    "width": (16, 32),
    "noise": (0.0, 1.0),
    "scale": (0.5, 1.0),
}
SEEDS = 2
MEASURES = ("error", "modes", "good", "score", "coupling")


def all_settings():
    """Every combination of the grid, each with its own seeds."""
    rows = [row for row in itertools.product(*GRID.values()) for _ in range(SEEDS)]
    whole = {"every", "width"}
    columns = [
        jnp.asarray(column, jnp.int32 if name in whole else jnp.float32)
        for name, column in zip(GRID, zip(*rows, strict=True), strict=True)
    ]
    return Setting(*columns, jnp.arange(len(rows), dtype=jnp.int32))


def mixture(key, mode):
    return CENTERS[mode] + SPREAD * jax.random.normal(key, (len(mode), 2))


def draw(key, _):
    """A batch of x and z, not paired; the pairs that are given are the centers and their own places in z."""
    keys = jax.random.split(key, 5)
    x = mixture(keys[0], jax.random.randint(keys[1], (BATCH,), 0, len(CENTERS)))
    noise = jax.random.normal(keys[3], (2, BATCH, NOISE))
    given = jax.random.normal(keys[4], (2, len(CENTERS), NOISE))
    return Batch(x, jax.random.normal(keys[2], (BATCH, 2)), noise, CENTERS, -CENTERS / 2, given)


def shown(players, noise, n=SAMPLES):
    """Unseen x with their modes, the same to z and back, their z, and generated samples."""
    keys = jax.random.split(jax.random.key(99), 3)
    mode = jnp.arange(n, dtype=jnp.int32) % len(CENTERS)
    x, z = mixture(keys[0], mode), jax.random.normal(keys[1], (n, 2))
    noise = noise * jax.random.normal(keys[2], (3, n, NOISE))
    inferred = ask(players.encoder, x, noise[0])
    return mode, x, inferred, ask(players.decoder, inferred, noise[1]), ask(players.decoder, z, noise[2])


def inception(samples):
    """``exp E KL(p(mode | x) || p(mode))`` by the mixture's own posterior: 1 to 5 (Salimans et al. 2016)."""
    log_p = jax.nn.log_softmax(-jnp.square(samples[:, None] - CENTERS).sum(-1) / (2 * SPREAD**2), axis=-1)
    marginal = jax.nn.logsumexp(log_p, axis=0) - jnp.log(len(samples))
    return jnp.exp((jnp.exp(log_p) * (log_p - marginal)).sum(-1).mean())


def measured(players, noise):
    """Squared error of reconstruction; modes with 2 % of the samples near them; samples near a mode; score; coupling.

    Near is within three standard deviations (.989 of true samples). Coupling is the share of x whose inferred z is
    nearest to the place that the pairs give to its mode, whether or not the method was shown them.
    """
    mode, x, inferred, again, samples = shown(players, noise)
    apart = jnp.linalg.norm(samples[:, None] - CENTERS, axis=-1)
    near = (apart < 3 * SPREAD).mean(0)
    place = jnp.linalg.norm(inferred[:, None] + CENTERS / 2, axis=-1).argmin(1)
    error = jnp.square(x - again).sum(-1).mean()
    return error, (near > 0.02).sum().astype(jnp.float32), near.sum(), inception(samples), (place == mode).mean()


def trained(method, settings):
    """Encoders and decoders of all settings, and what each measures; one that ran away has error infinity."""
    players = train_many(method, settings, draw, jax.random.split(jax.random.key(5), STEPS))
    found = jax.jit(jax.vmap(measured))(players, settings.noise)
    found = {name: np.asarray(values, np.float64) for name, values in zip(MEASURES, found, strict=True)}
    ran_away = ~np.isfinite(found["error"])
    for name, worst in (("error", np.inf), ("score", 1.0)):
        found[name] = np.where(ran_away, worst, found[name])
    return players, found


def verdicts(found):
    """Which settings reconstruct well (error below 5 % of x's variance), which generate well, which do both."""
    reconstructs = found["error"] < 0.05 * VARIANCE
    generates = (found["score"] > 4.5) & (found["modes"] == len(CENTERS))
    return reconstructs, generates, reconstructs & generates


def quartiles(values, digits):
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def report(results, settings):
    rows = []
    for name, (_, found) in results.items():
        digits = {"error": 2, "modes": 0, "good": 2, "score": 2, "coupling": 2}
        cells = [quartiles(found[measure], digits[measure]) for measure in MEASURES]
        rows.append([name, *cells, *(f"{one.mean():.2f}" for one in verdicts(found))])
    head = ["method", "squared error", "modes of 5", "samples near a mode", "inception score", "coupling"]
    table([*head, "reconstruct", "generate", "both"], rows)
    head = [f"{name} {value:g}" for name, values in GRID.items() for value in values]
    rows = []
    for name, (_, found) in results.items():
        both = verdicts(found)[2]
        levels = [(getattr(settings, field), value) for field, values in GRID.items() for value in values]
        rows.append([name, *(f"{both[np.isclose(np.asarray(all_of), level)].mean():.2f}" for all_of, level in levels)])
    table(["good at both", *head], rows)


def two_of(found):
    """The median setting by error; and of those with the most modes the best by ranks of error and of near samples."""
    order = np.argsort(found["error"])
    ranks = np.argsort(order) + np.argsort(np.argsort(-found["good"]))
    return order[len(order) // 2], np.argmin(np.where(found["modes"] == found["modes"].max(), ranks, np.inf))


def dots(axis, points, color):
    axis.scatter(*np.asarray(points).T, s=2, c=color, linewidths=0)


def picture(results, settings, path):
    """All settings of each method; samples and reconstructions of its median one and of its best."""
    figure = Figure(figsize=(11, 9.2), layout="constrained")
    axes = figure.subplots(5, len(results))
    for column, (name, (players, found)) in zip(axes.T, results.items(), strict=True):
        dots(column[0], np.stack([np.clip(found["error"], 6e-3, 1e2), found["score"]], 1), PALETTE[0])
        column[0].set(xscale="log", xlim=(5e-3, 1.2e2), ylim=(0.9, 5.1), xlabel="squared error")
        column[0].set_title(name, fontsize=10)
        for row, at in zip((1, 3), two_of(found), strict=True):
            mode, x, _, again, samples = shown(
                jax.tree.map(lambda array, at=at: array[at], players), settings.noise[at], 300
            )
            dots(column[row], x, "0.8")
            dots(column[row], samples, "0.2")
            dots(column[row + 1], again, [PALETTE[one] for one in np.asarray(mode)])
        for axis in column[1:]:
            axis.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), xticks=[], yticks=[])
    texts = ("inception score", "median: samples", "median: there and back", "best: samples", "best: there and back")
    for axis, text in zip(axes[:, 0], texts, strict=True):
        axis.set_ylabel(text)
    figure.savefig(path, dpi=75)


def longer(results, seeds=(0, 1, 2), steps=(3_000, 12_000), widths=(32, 128)):
    """One setting of the middle of the grid, by width and number of steps."""
    rows = []
    for name, width, count in itertools.product(("ALI", "ALICE, explicit", "ALI, 5 pairs"), widths, steps):

        def measure(name=name, width=width, count=count):
            middle = Setting(1e-3, 1e-3, 1.0, 1, width, 1.0, 1.0, 0)
            settings = Setting(*(
                jnp.full(len(seeds), value, jnp.int32 if isinstance(value, int) else jnp.float32) for value in middle
            ))._replace(seed=jnp.asarray(seeds, jnp.int32))  # fmt: skip
            keys = jax.random.split(jax.random.key(5), count)
            players = train_many(METHODS[name], settings, draw, keys, layers=(width, width))
            found = jax.jit(jax.vmap(measured))(players, settings.noise)
            return {key: [round(float(one), 3) for one in values] for key, values in zip(MEASURES, found, strict=True)}

        row = results.measured(measure, method=name, width=width, steps=count, seeds=list(seeds))
        rows.append([name, width, count, *(spread(row[key], 2) for key in MEASURES)])
    table(["method", "width", "steps", "squared error", "modes of 5", "near a mode", "score", "coupling"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--longer", action="store_true", help="wider networks and more steps instead of the grid")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results_toy.json"))
    asked = parser.parse_args()
    if asked.longer:
        longer(Results(asked.results))
        return
    settings, methods = all_settings(), {name: METHODS[name] for name in asked.methods}
    print(f"{len(settings.seed)} settings per method, {STEPS} steps of {BATCH} samples\n")
    # Two methods at a time: much of a step keeps one core busy only.
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(methods, pool.map(lambda method: trained(method, settings), methods.values()), strict=True))
    report(results, settings)
    if len(methods) == len(METHODS):
        picture(results, settings, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
