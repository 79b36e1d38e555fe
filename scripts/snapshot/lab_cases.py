"""Densities, attribution, posteriors, intrinsic dimension and repair."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import names
import numpy as np
from registry import case
from shared import corpus, labels, language, network, population, relevance, rng, states, text

import dni_jax as dni

KINDS = ("gaussian", "realnvp", "planar", "sylvester", "plu", "qr")


@cache
def density(kind: str) -> Any:
    small = {"layers": 2, "width": 8, "depth": 1, "directions": 3, "steps": 30, "batch": 64}
    return dni.plausibility(states(), kind, seed=1, **({} if kind == "gaussian" else small))


@case("plausibility", *KINDS)
def plausibility(kind: str) -> Any:
    found, some = density(kind), states().hidden[:100]
    parts = {"log_prob": found.log_prob(some), "percentile": found.percentile(some), "sample": found.sample(20, 2)}
    return {**parts, "looks": names.density_looks(found)}


@case("plausibility/of interventions")
def plausible() -> Any:
    asked = {"density": density("gaussian"), "states": states()}
    held = [dni.clamp([3, 8], "plausible", **asked), dni.clamp([3], "plausible", percentile=2.0, sign=-1, **asked)]
    effect = dni.verify(network(), text(), relevance(), "digit", ks=(1, 3), n_random=4, density=density("gaussian"))
    return {"held": [dni.record(network(), text(), intervention=one).hidden for one in held], "verify": effect}


@case("densities/bounds")
def bounds() -> Any:
    weights, kl = jnp.asarray(rng(1).normal(size=(6, 5))), jnp.asarray(rng(2).random((4, 3)))
    schedules = [names.kl_weight(step, 50, kind) for kind in ("linear", "sigmoid", "cyclic") for step in (0, 7, 30, 60)]
    gap = names.gaussian_kl(weights, kl[0, 0] * weights, 0.5, 0.1)
    return {"elbo": names.elbo(weights), "iwae": names.iwae(weights), "kl": gap, "free": names.free_bits(kl, 0.4),
            "weights": np.asarray(schedules)}  # fmt: skip


@case("attribute", "gradient_x_activation", "integrated_gradients")
def attribute(method: str) -> Any:
    asked: dict[str, Any] = {"lags": [0, 2, 5], "method": method, "positions": 40, "steps": 6, "batch": 16}
    return {
        "hidden": names.attribute(network(), text(), **asked),
        "state": names.attribute(network(), text(), ")", part="state", baseline="mean", **asked),
        "gru, 2": names.attribute(network("gru", 2), text(), part="state", seed=1, **asked),
        "rnn": names.attribute(network("rnn"), text(), "4", **asked),
    }


@case("attribute/checked by ablation")
def ablation() -> Any:
    asked: dict[str, Any] = {"lags": [0, 2], "positions": 40, "part": "state", "batch": 16}
    found = names.attribute(network(), text(), **asked)
    effects = names.ablation_effects(network(), text(), baseline="mean", **asked)
    sets = names.ablation_effects(network(), text(), sets=rng(1).random((3, 12)) < 0.3, **asked)
    return {
        "effects": effects,
        "sets": sets,
        "agreement": names.agreement(found, effects, relevance(), ["digit", "depth"]),
        "shares": names.share_by_lag(found, np.array([[0, 1], [1, 2]])),
    }


CHAIN = {"n_draws": 3, "thin": 3, "burn_in": 3, "batch": 8, "window": 32, "progress": False}


@cache
def draws(sampler: str) -> Any:
    return names.posterior(network(), corpus(), sampler, step_size=1e-5, seed=1, **CHAIN)


@case("posterior", "sgld", "psgld", "sghmc", "sgnht", "santa")
def posterior(sampler: str) -> Any:
    return names.posterior_draws(draws(sampler))


@case("posterior/schedules")
def schedules() -> Any:
    asked = {"schedule": "cyclical", "schedule_steps": 4, "seed": 2, **CHAIN}
    cyclical = names.posterior(network("gru"), corpus(), "sgld", step_size=1e-5, temperature=0.5, **asked)
    polynomial = names.posterior(network(), corpus(), schedule="polynomial", prior_sd=0.5, **CHAIN)
    return [names.posterior_draws(cyclical), names.posterior_draws(polynomial)]


@case("posterior/scores")
def posterior_scores() -> Any:
    chain, some = draws("psgld"), labels().select("digit", "depth=1", "depth")
    unseen = chain.evaluate(text())
    return {
        "relevance": chain.relevance(text(), some, "ridge", 3, k=3),
        "probability": chain.predict(text()),
        "held out": [unseen.each, unseen.average],
        "compared": names.compare_uncertainty(chain, text(), some, population(), probe="ridge", folds=3, n_draws=20),
        "step sizes": names.step_size_sweep(
            network(), corpus(), (1e-5, 1e-4), labels=some, text=text(), probe="ridge", folds=3, k=3, **CHAIN
        ),
    }


@case("intrinsic dimension", "dense", "sparse", "fastfood")
def intrinsic_dimension(projection: str) -> Any:
    def loss(params: Any) -> Any:
        return jnp.square(params["w"].reshape(5, 12).sum(1) - jnp.arange(1.0, 6.0)).sum()

    asked: dict[str, Any] = {"projection": projection, "full": 0.0, "repeats": 2, "progress": False}
    newton = names.intrinsic_dimension(loss, {"w": jnp.zeros(60)}, [3, 5, 7], optimizer="lbfgs", steps=40, **asked)
    adam = names.intrinsic_dimension(loss, {"w": jnp.zeros(60)}, [2, 6], learning_rate=0.05, steps=20, **asked)
    drawn = names.random_projection(projection, 50, 7, seed=3)
    moved = [drawn.apply(jnp.arange(7.0)), drawn.transpose(jnp.ones((2, 50)))]
    found = [{"performance": one.performance, "loss": one.train_loss, "bracket": list(one.bracket), "table": one.table}
             for one in (newton, adam)]  # fmt: skip
    return {"found": found, "projection": moved}


@case("probe dimension")
def probe_dimension() -> Any:
    some = labels().select("digit", "depth", "range:e3")
    return names.probe_dimension(states(), some, (1, 3, 6, 12), repeats=2, folds=3, min_gain=0.0, seed=1)


WRITTEN = {"n": 40, "length": 40, "n_clean": 60, "seed": 3}


@case("repair")
def repair() -> Any:
    wrong = language().violations()
    few: dict[str, Any] = {"neurons": [1, 4, 9], "n_examples": 6, "n_random": 2, "preserve_cost": 0.2}
    return [names.repair(network(), corpus(), wrong, **more, **WRITTEN) for more in ({}, few)]


@case("repair/table")
def repair_table() -> Any:
    four = dni.char_feature("4", "4".__eq__)
    return names.repair_table(network(), corpus(), four, {"all": None, "two": [1, 5]}, n_random=2, **WRITTEN)


@case("repair_head")
def repair_head() -> Any:
    draw = rng(2)
    weights, bias, rows = draw.normal(size=(3, 6)), draw.normal(size=3), draw.normal(size=(12, 6))
    scores, right = rows @ weights.T + bias, draw.integers(0, 3, 12)
    raised = names.raised_targets(scores, right, 0.5)
    calls: dict[str, dict[str, Any]] = {
        "soft": {"cost": 0.7}, "default": {}, "highs": {"cost": 0.7, "solver": "highs"},
        "neurons": {"cost": 2.0, "neurons": [0, 3, 4]},
    }  # fmt: skip
    found = {name: dni.repair_head(weights, bias, rows, raised, **more) for name, more in calls.items()}
    found["hard"] = dni.repair_head(weights, bias, rows[:4], raised[:4], hard=True)
    found["one state"] = dni.repair_head(weights, bias, rows[:1], raised[:1], cost=1.0)
    found["one hot"] = dni.repair_head(weights, bias, rows, names.one_hot_targets(right, 3), cost=0.3)
    return {name: names.repaired_head(fix) for name, fix in found.items()} | {
        "effect": vars(found["soft"].effect(rows, labels=right)),
        "scores": found["soft"].scores(rows),
    }


@case("hybrid", "linear", "rbf")
def hybrid(kernel: str) -> Any:
    draw = rng(3)
    right = draw.integers(0, 3, 60)
    rows = draw.normal(size=(3, 4))[right] + draw.normal(size=(60, 4))
    ours = names.hybrid(None, rows, right, kernel, C=2.0)
    model = names.hybrid(lambda x: jnp.tanh(x), np.tanh(rows), right == 1, kernel)
    return {
        "decide": ours.decision_function(rows), "predict": ours.predict(rows), "accuracy": ours.accuracy(rows, right),
        "scores": model.scores(rows.astype(np.float32)), "classes": ours.classes,
    }  # fmt: skip


@case("fgsm")
def fgsm() -> Any:
    draw = rng(4)
    weights, inputs = draw.normal(size=(5, 3)).astype(np.float32), draw.random((20, 5)).astype(np.float32)
    right = draw.integers(0, 3, 20)

    def scores(x: Any) -> Any:
        return jnp.tanh(x) @ weights

    return [names.fgsm(scores, inputs, right, 0.1, batch=8), names.gradient_sign(scores, inputs, right)]
