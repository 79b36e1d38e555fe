"""How wrong a sampler is at each step size, on a Gaussian of two scales (after Li et al. 2016, figure 1).

Claims    SGLD's covariance follows s^2 / (1 - step / (2 s^2)) and diverges from twice the smallest variance on; pSGLD,
          which scales each direction, goes on. Its error depends on how long its preconditioner remembers. One step
          size serves pSGLD on Gaussians whose covariances differ ten thousandfold, and SGLD on one of them only.
Command   python -m experiments.bayes.toy_gaussian [--out runs/toy_gaussian.png]
Run time  about 10 seconds on 2 CPU cores
Result    the tables of README.md in this folder
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from dni_jax.lab.posterior import psgld, sgld
from experiments._shared.subjects import table

VARIANCE = np.asarray([0.16, 1.0])
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
CHAINS, LENGTH, BURN_IN = 500, 3_000, 1_000


def covariance(make, step, gamma=False, variance=VARIANCE, away=1.0):
    """The 2 x 2 second moments of many chains after the burn-in; they start `away` deviations from the mean."""
    precision = jnp.asarray(1 / variance, jnp.float32)

    def one(key, step):
        own, start_key = jax.random.split(key)
        sampler = make(step, own)

        def body(carry, _):
            w, state = carry
            more = {"curvature": precision} if gamma else {}
            update, state = sampler.update(precision * w, state, w, **more)
            w = optax.apply_updates(w, update)
            return (w, state), jnp.outer(w, w)

        deviation = jnp.sqrt(jnp.asarray(variance, jnp.float32))
        start = away * deviation * jnp.sign(jax.random.normal(start_key, (2,)))
        return jax.lax.scan(body, (start, sampler.init(start)), None, LENGTH)[1][BURN_IN:].mean(0)

    each = jax.jit(jax.vmap(jax.vmap(one, (0, None)), (None, 0)))
    keys = jax.random.split(jax.random.key(0), CHAINS)
    return np.asarray(each(keys, jnp.asarray(step, jnp.float32)).mean(1), np.float64)


def errors(found):
    """Mean absolute error of the four entries of each covariance; infinite where a chain has run away."""
    error = np.abs(found - np.diag(VARIANCE)).mean((1, 2))
    return np.where(np.isfinite(error) & (error < 1e3), error, np.inf)


def closed_form(step):
    """SGLD's: an autoregression in each direction."""
    step = np.asarray(step)[:, None]
    with np.errstate(divide="ignore"):
        off = np.where(step < 2 * VARIANCE, VARIANCE / (1 - step / (2 * VARIANCE)) - VARIANCE, np.inf)
    return off.sum(1) / 4


def endless_memory(step):
    """pSGLD's, with a preconditioner that is the root of the mean square itself: x^2 - (step / 2) x - s^2 = 0."""
    step = np.asarray(step)[:, None]
    return (np.square(step / 4 + np.sqrt(step**2 / 16 + VARIANCE)) - VARIANCE).sum(1) / 4


def rescaled(samplers, step=0.02, scales=(0.01, 0.1, 1.0, 10.0, 100.0)):
    """Errors relative to the covariance, of one step size on several scales; chains start three deviations away."""
    cells = []
    for name, make in samplers.items():
        found = [covariance(make, [step], variance=scale * VARIANCE, away=3.0)[0] / scale for scale in scales]
        cells.append([name, *(f"{one:.4f}" for one in errors(np.stack(found)))])
    table([f"step size {step:g}", *(f"covariance times {scale:g}" for scale in scales)], cells)


def draw(rows, path):
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in rows.items():
        shown = np.isfinite(values)
        style = "--" if "closed form" in name else "o-"
        axes.plot(np.asarray(STEPS)[shown], np.asarray(values)[shown], style, label=name, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="step size", ylabel="mean absolute error of the covariance")
    axes.axvline(2 * VARIANCE.min(), color="0.7", linewidth=1)
    axes.text(2 * VARIANCE.min(), axes.get_ylim()[0], " SGLD diverges", color="0.4", va="bottom", fontsize=8)
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main(out):
    def with_memory(decay):
        return lambda step, key: psgld(step, key=key, decay=decay)

    rows = {
        "SGLD": errors(covariance(lambda step, key: sgld(step, key=key), STEPS)),
        "SGLD, closed form": closed_form(STEPS),
        "pSGLD .99": errors(covariance(with_memory(0.99), STEPS)),
        "pSGLD .99, Gamma": errors(covariance(with_memory(0.99), STEPS, gamma=True)),
        "pSGLD .9999": errors(covariance(with_memory(0.9999), STEPS)),
        "pSGLD, closed form": endless_memory(STEPS),
    }
    cells = [[f"{step:g}", *(f"{values[at]:.4f}" for values in rows.values())] for at, step in enumerate(STEPS)]
    table(["step size", *rows], cells)
    rescaled({"SGLD": lambda step, key: sgld(step, key=key), "pSGLD .9999": with_memory(0.9999)})
    draw(rows, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/toy_gaussian.png"))
    main(parser.parse_args().out)
