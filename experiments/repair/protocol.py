"""Repair in the protocol of Guidotti & Leofante 2019: minimal adversarials, and every classifier on every test set.

Claim     A network's last layers, replaced by a support vector machine, classify better. Its head can be repaired from
          one adversarial image; at least a fifth of the others are then classified correctly as well.
Command   python -m experiments.repair.protocol            (MNIST)
          python -m experiments.repair.protocol --part cifar --core --cifar-network FILE
          where FILE is what `experiments.repair.train_cifar` keeps
Result    README.md in this folder

An adversarial is the first image along the sign of the gradient that is misclassified (`minimal_fgsm`), as the
authors' tool makes them. The test sets are the 10,000 test images (Data), and these with all images replaced for
which an adversarial up to epsilon was found: of the network (NADV), of the linear hybrid (HADV), of the repaired one
(RHADV). Networks and machines are trained on the first 50,000 training images. Repairs are made from adversarials of
others: of MNIST's other 10,000 training images; CIFAR-10 has no more, so there test images that are not judged take
part. Every stage is kept: a run that was killed goes on with the next.
"""

import argparse
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import dni_jax as dni
from dni_jax.files import atomic_write
from dni_jax.lab.repair import (
    Hybrid,
    MinimalAttack,
    clean_targets,
    fit_hybrid,
    margin_targets,
    minimal_fgsm,
    one_hot_targets,
    relative_changes,
    repair_and_hold,
)
from experiments._shared.convolutional import in_blocks, load, pure, trained
from experiments._shared.images import Images, cifar10, mnist
from experiments._shared.subjects import spread, table


@dataclass(frozen=True)
class Plan:
    """What is measured: the images that machines learn from, and others that are judged, repaired from and held.

    ``paper`` are its accuracies on Data. The repair that holds also holds ``held_learned`` images of those learned.
    ``C`` is the linear machine's, 1 by scikit-learn's default.
    """

    kind: str
    epsilons: tuple[float, ...]
    paper: dict[str, float]
    tested: int
    pool: int
    held: int
    held_learned: int = 20_000
    learned: int = 50_000
    batch: int = 500
    C: float = 1.0


PLANS = {
    "mnist": Plan(
        "mnist",
        (0.025, 0.05, 0.075, 0.1, 0.125, 0.15),
        {"NN": 0.9712, "LH": 0.9872, "KH": 0.9886},
        tested=10_000,
        pool=2_000,
        held=8_000,
    ),
    "cifar": Plan(
        "cifar",
        (0.001, 0.005, 0.01, 0.015, 0.02, 0.025),
        {"NN": 0.8540, "LH": 0.8560, "KH": 0.8551},
        tested=1_000,
        pool=500,
        held=2_000,
        C=1e-4,  # 1 overfits: the states' squares sum to 5,000
        held_learned=6_000,  # with 20,000 states of 4,096 numbers, five rounds had not ended after 13 minutes
        batch=100,
    ),
}
STEPS = 200  # of 128 images: the MNIST network is then about as accurate as the paper's
FIXED = 0.2  # the paper: the least share of the others that is correct after a repair from one
SINGLES = 20  # repairs from one adversarial each
GIVEN = (5, 20, 200)
COST = 1.0  # the paper's
CS = (1e-5, 1e-4, 1e-3, 1.0)  # of linear machines, whose accuracy is compared
TARGETS = ("clean scores", "1 and 0", "correct class raised")
REPAIRED = ("RLH", "RLH from one", "RLH, clean images held")  # from 200, 1 and 200 adversarials
SETS = {"NN": "NADV", "LH": "HADV", "RLH": "RHADV", "RLH from one": "RHADV, from one", REPAIRED[2]: "RHADV, held"}


class Stages:
    """Results of one seed, in a folder: each is computed once, and checked to belong to the same plan."""

    def __init__(self, folder, plan):
        self.folder, self.plan, self.seconds = Path(folder), repr(plan), {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name, compute):
        """Return the arrays of a stage by name; compute and keep them if they are not there."""
        file = self.folder / f"{name}.npz"
        if not file.exists():
            began = time.process_time()
            found = compute()
            with atomic_write(file) as aside, aside.open("wb") as out:
                np.savez(out, **found, _plan=self.plan, _seconds=time.process_time() - began)
        with np.load(file) as read:
            arrays = dict(read)
        if str(arrays.pop("_plan")) != self.plan:
            raise SystemExit(f"{file} is of another plan: delete it, or name another folder with --networks")
        self.seconds[name] = float(arrays.pop("_seconds"))
        print(f"  {name}: {self.seconds[name]:.0f} CPU seconds", flush=True)
        return arrays


def split(images, plan):
    """Return the images to learn from, to judge on, to repair from and to hold; those are no part of the others."""
    learned, tested = slice(plan.learned), slice(plan.tested)
    x, y = (
        np.concatenate([train[plan.learned :], test[plan.tested :]])
        for train, test in ((images.x_train, images.x_test), (images.y_train, images.y_test))
    )
    if len(images.x_train) < plan.learned or len(images.x_test) < plan.tested or len(x) < plan.pool + plan.held:
        raise SystemExit(
            f"expected {plan.learned} training images, {plan.tested} test images and {plan.pool + plan.held} "
            f"others, got {len(images.x_train)} and {len(images.x_test)}: take fewer, with --tested or --quick"
        )
    pool, held = slice(plan.pool), slice(plan.pool, plan.pool + plan.held)
    return Images(images.x_train[learned], images.y_train[learned], images.x_test[tested], images.y_test[tested]), {
        "pool": (x[pool], y[pool]),
        "held": (x[held], y[held]),
    }


def attack_stage(stages, name, scores, x, y, plan):
    """Search the minimal adversarials of images up to the largest epsilon."""

    def compute():
        found = minimal_fgsm(scores, x, y, plan.epsilons, batch=plan.batch)
        return {"sizes": found.sizes, "signs": found.signs.astype(np.int8)}

    kept = stages(f"attack on {name}", compute)
    return MinimalAttack(x, kept["signs"].astype(np.float32), kept["sizes"], plan.epsilons, 0.0, 1.0)


def hybrid_stage(stages, kernel, body, states, y, C=1.0):
    """Fit a machine to the states of all training images."""

    def compute():
        svm = fit_hybrid(body, states(), y, kernel, C=C)
        names = ("classes", "bias", "weights", "support", "coefficients", "gamma")
        return {name: getattr(svm, name) for name in names if getattr(svm, name) is not None}

    kept = stages(f"{kernel} hybrid", compute)
    if "gamma" in kept:
        kept["gamma"] = float(kept["gamma"])
    return Hybrid(body, kernel, **kept)


def linear_scores(body, weights, bias):
    """Return a function of images to the scores of a linear head on the body's states."""
    weights, bias = jnp.asarray(weights.T, jnp.float32), jnp.asarray(bias, jnp.float32)
    return lambda x: body(x) @ weights + bias


def make_targets(way, clean, states, labels, head):
    """Return the target scores of adversarials in one of the three ways."""
    weights, bias = head
    if way == "clean scores":
        return clean_targets(clean @ weights.T + bias, labels)
    if way == "1 and 0":
        return one_hot_targets(labels, len(bias))
    return margin_targets(states @ weights.T + bias, labels, margin=0.1)


def accuracy(head, states, labels):
    weights, bias = head
    return float(np.mean((states @ weights.T + bias).argmax(axis=1) == labels))


def adversarials(states, head, attack, y):
    """Return the states, float64, of images and of their adversarials, with the labels.

    Left out are images that are as good as tied: the search calls them classified, but their scores are no targets.
    """
    weights, bias = head
    at = attack.epsilons[-1]
    known = np.flatnonzero(attack.found(at) & (attack.sizes > 0))
    before, after = (in_blocks(states, x[known]).astype(float) for x in (attack.inputs, attack.inputs_at(at)))
    right = (before @ weights.T + bias).argmax(axis=1) == y[known]
    return before[right], after[right], y[known][right]


def compare_repairs(body, svm, attack, pool, y_test):
    """Repair a linear head from 1 to 200 adversarials of a pool (attack, labels), toward each kind of target.

    Returns
    -------
    ``table``: rows of way, number, and the shares: of the test's adversarials that are then correct, accuracy on Data,
    on HADV, of the given ones; their range for single ones. And the repaired heads.
    """
    head = (svm.weights, svm.bias)
    at = attack.epsilons[-1]
    moved, clean = in_blocks(body, attack.inputs_at(at)).astype(float), in_blocks(body, attack.inputs).astype(float)
    fooled = attack.found(at) & (attack.sizes > 0)
    before, after, labels = adversarials(body, head, *pool)
    rows, heads = [], {}
    for place, way in enumerate(TARGETS):
        wanted = make_targets(way, before, after, labels, head)

        def judge(given, wanted=wanted):
            fix = dni.repair_head(*head, after[given], wanted[given], cost=COST)
            new = (fix.weights, fix.bias)
            numbers = (
                accuracy(new, moved[fooled], y_test[fooled]),
                accuracy(new, clean, y_test),
                accuracy(new, moved, y_test),
                float(fix.corrected.mean()),
                fix.changed,
            )
            return numbers, fix

        singles = [judge(np.array([one])) for one in range(SINGLES)]
        numbers = np.array([one for one, _ in singles], float)
        rows.append((place, 1, *numbers.mean(axis=0), numbers[:, 0].min(), numbers[:, 0].max()))
        for given in GIVEN:
            if given <= len(after):
                found, fix = judge(np.arange(given))
                rows.append((place, given, *found, found[0], found[0]))
                heads[way, given] = fix
        heads[way, 1] = singles[0][1]
    return {
        "table": np.array(rows, float),
        "weights_RLH": heads[TARGETS[0], max(g for w, g in heads if w == TARGETS[0])].weights,
        "weights_one": heads[TARGETS[0], 1].weights,
        "counts": np.array([fooled.sum(), len(labels)]),
    }


def hold_stage(body, svm, pool, x, y):
    """Repair from the same adversarials with the decisions about many images held: none may be lost, net of others.

    The promise is about these images. With 5,000 of them the accuracy on test images still fell by .011.
    """
    head = svm.weights, svm.bias
    before, after, labels = (one[: GIVEN[-1]] for one in adversarials(body, head, *pool))
    wanted = make_targets(TARGETS[0], before, after, labels, head)
    states = in_blocks(body, x).astype(float)
    found = repair_and_hold(*head, after, wanted, states, y, tolerance=0.0, cost=COST)
    return {
        "weights": found.fix.weights,
        "held": np.array([found.accuracy_before, found.accuracy_after]),
        "rounds": found.rounds,
        "constraints": found.constraints,
        "corrected": found.fix.corrected.mean(),
    }


def repair_own_head(layers, network, attack, y, test_attack, y_test):
    """Repair the network's own last layer, with no machine in its place, from its own adversarials."""
    last = network.full[-1]
    head = np.asarray(last.kernel[...], float).T, np.asarray(last.bias[...], float)

    def states(pictures):
        return layers(pictures)[f"full {len(network.full) - 1}"]

    before, after, labels = adversarials(states, head, attack, y)
    _, fooled, y_fooled = adversarials(states, head, test_attack, y_test)
    pictures = test_attack.inputs, test_attack.inputs_at(attack.epsilons[-1])
    clean, moved = (in_blocks(states, x).astype(float) for x in pictures)
    wanted = make_targets(TARGETS[0], before, after, labels, head)
    rows = []
    for given in (0, 1, *GIVEN):
        if given > len(labels):
            continue
        new, corrected, changed = head, np.nan, 0
        if given:
            fix = dni.repair_head(*head, after[:given], wanted[:given], cost=COST)
            new, corrected, changed = (fix.weights, fix.bias), fix.corrected.mean(), fix.changed
        sets = ((fooled, y_fooled), (clean, y_test), (moved, y_test))
        rows.append((given, *(accuracy(new, *one) for one in sets), corrected, changed))
    return {"table": np.array(rows, float)}


def measure_layers(layers, attack, seed):
    """Compare how far minimal adversarials, and random steps of the same sizes, move each layer: medians."""
    rows = np.flatnonzero((attack.sizes > 0) & np.isfinite(attack.sizes))[:1_000]
    x, moved = attack.inputs[rows], attack.inputs_at(attack.epsilons[-1])[rows]
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), x.shape)
    random = np.clip(x + attack.sizes[rows].reshape(-1, 1, 1, 1) * signs, 0, 1)
    both = [relative_changes(layers, x, other) for other in (moved, random)]
    return {
        "names": np.array(list(both[0])),
        "medians": np.array([[np.nanmedian(v) for v in b.values()] for b in both]),
    }


def compare_categories(body, one, other):
    """Compare the adversarials of two classifiers: which images have them, and whether states tell whose they are.

    Returns
    -------
    ``cross`` (rows: not found, found for one; columns: for the other), ``auc`` of a logistic probe on states, in five
    folds with both adversarials of an image in the same.
    """
    at = one.epsilons[-1]
    use = (one.sizes > 0) & (other.sizes > 0)
    found = [attack.found(at) & use for attack in (one, other)]
    cross = [[int((use & (found[0] == a) & (found[1] == b)).sum()) for b in (False, True)] for a in (False, True)]
    both = np.flatnonzero(found[0] & found[1])[:1_000]
    if len(both) < 10:
        return {"cross": np.array(cross), "auc": np.array(np.nan), "agree": np.array(np.nan)}
    moved = [attack.inputs_at(at)[both] for attack in (one, other)]
    states = np.concatenate([in_blocks(body, x) for x in moved])
    whose, groups = np.repeat([0, 1], len(both)), np.tile(np.arange(len(both)), 2)
    scores = np.zeros(len(whose))
    for train, test in GroupKFold(5).split(states, whose, groups):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500)).fit(
            states[train], whose[train]
        )
        scores[test] = probe.decision_function(states[test])
    agree = np.mean(one.signs[both] == other.signs[both])
    return {"cross": np.array(cross), "auc": np.array(roc_auc_score(whose, scores)), "agree": np.array(agree)}


def get_network(plan, seed, stages, images, asked):
    """Train a network of MNIST, or read the given one of CIFAR-10; with its CPU seconds."""
    if plan.kind == "mnist":
        return trained("mnist", seed, stages.folder, images.x_train, images.y_train, asked.steps, batch=128)
    return load(plan.kind, asked.cifar_network)


def get_parts(network):
    """Return two functions: from images to the states of every layer, and from states of the body to scores."""
    graph, state = nnx.split(network)
    state = jax.tree.map(jnp.array, state)

    def layers(pictures):
        return nnx.merge(graph, state).layers(pictures)

    def full(states):
        rest = nnx.merge(graph, state).full
        for layer in rest[:-1]:
            states = nnx.relu(layer(states))
        return rest[-1](states)

    return layers, full


def measure_matrix(body, full, heads, attacks, x, y):
    """Compute the accuracy of the network and of each linear head on images, and on all test sets of all attacks."""

    def decide(pictures):
        """Return which images each classifier decides correctly: bool (classifiers, T)."""
        states = in_blocks(body, pictures)
        scores = [in_blocks(full, states), *(states @ weights.T + bias for weights, bias in heads)]
        return np.stack([one.argmax(axis=1) == y for one in scores])

    clean = decide(x)
    found = {"Data": clean.mean(axis=1)}
    for attacker, attack in attacks.items():
        moved = decide(attack.inputs_at(attack.epsilons[-1]))  # an image is moved by the same step at every epsilon
        for epsilon in attack.epsilons:
            found[f"{SETS[attacker]} {epsilon}"] = np.where(attack.found(epsilon), moved, clean).mean(axis=1)
    return found


def measure_clean(body, full, machines, x, y):
    """Compute the accuracy of the network and of machines on its states; none of them learned from these images."""
    states = in_blocks(body, x)
    scores = {"NN": full} | {name: machine.decision_function for name, machine in machines.items()}
    return {name: np.mean(in_blocks(one, states).argmax(axis=1) == y) for name, one in scores.items()}


def measure_seed(images, plan, seed, asked):
    """Measure everything of one network, or read what is there."""
    # Of CIFAR-10 the others are test images, so they depend on how many of these are judged.
    source = asked.steps if plan.kind == "mnist" else (Path(asked.cifar_network).stem, plan.tested)
    sizes = plan.pool, plan.learned
    identity = (seed, sizes, source, plan.epsilons)
    stages = Stages(Path(asked.networks) / f"protocol-{plan.kind}-{seed}", identity)

    def stages_of(C):
        """Return the stages that depend on the linear machine."""
        return Stages(stages.folder / f"C-{C:g}", (*identity, C))

    of_svm = stages_of(plan.C)
    tested = f", {plan.tested} tested"  # in the names of stages that depend on it
    every = images.x_test, images.y_test
    images, others = split(images, plan)
    x_test, y_test = images.x_test, images.y_test
    network, training = get_network(plan, seed, stages, images, asked)
    body, whole = pure(network)
    layers, full = get_parts(network)

    @cache
    def learned_states():
        return in_blocks(body, images.x_train)

    def attack(name, scores, x, y):
        return attack_stage(stages if name.startswith("NN") else of_svm, name, scores, x, y, plan)

    svm = hybrid_stage(of_svm, "linear", body, learned_states, images.y_train, plan.C)
    scores = {"NN": whole, "LH": svm.scores}
    attacks = {name: attack(name + tested, scores[name], x_test, y_test) for name in ("NN", "LH")}
    pool = attack("LH, pool", svm.scores, *others["pool"]), others["pool"][1]
    repairs = of_svm("repairs" + tested, lambda: compare_repairs(body, svm, attacks["LH"], pool, y_test))
    held = [
        np.concatenate([one, learned[: plan.held_learned]])
        for one, learned in zip(others["held"], (images.x_train, images.y_train), strict=True)
    ]
    kept = of_svm(f"{len(held[0])} held", lambda: hold_stage(body, svm, pool, *held))
    weights = {REPAIRED[0]: repairs["weights_RLH"]}
    if not asked.core:
        weights[REPAIRED[1]] = repairs["weights_one"]
    weights[REPAIRED[2]] = kept["weights"]
    scores |= {name: linear_scores(body, one, svm.bias) for name, one in weights.items()}
    for name in weights:
        if name == "RLH" or not asked.core:
            attacks[name] = attack(name + tested, scores[name], x_test, y_test)

    heads = [(one, svm.bias) for one in (svm.weights, *weights.values())]

    def matrix():
        return measure_matrix(body, full, heads, attacks, x_test, y_test)

    found = {
        "matrix": of_svm(f"matrix of {len(scores)} by {len(attacks)}{tested}", matrix),
        "classifiers": list(scores),
        "repairs": repairs,
        "held": kept,
    }
    found["categories"] = of_svm("categories" + tested, lambda: compare_categories(body, attacks["LH"], attacks["RLH"]))
    found["layers"] = stages("layers" + tested, lambda: measure_layers(layers, attacks["NN"], seed))
    own = attack("NN, pool", whole, *others["pool"])
    found["own head"] = stages(
        "own head" + tested,
        lambda: repair_own_head(layers, network, own, others["pool"][1], attacks["NN"], y_test),
    )
    machines = {"LH": svm}
    if not asked.core:
        machines["KH"] = hybrid_stage(stages, "rbf", body, learned_states, images.y_train)
        linear = {C: hybrid_stage(stages_of(C), "linear", body, learned_states, images.y_train, C) for C in CS}
        judged = f"linear hybrids by C on {len(every[0])} test images"
        found["by C"] = stages(
            judged, lambda: measure_clean(body, full, {f"{C:g}": m for C, m in linear.items()}, *every)
        )
    clean = f"{' and '.join(machines)} on {len(every[0])} test images"
    found["clean"] = of_svm(clean, lambda: measure_clean(body, full, machines, *every))
    found["seconds"] = {"training": training, **stages.seconds, **of_svm.seconds}
    return found


def judge_claims(found, plan):
    """Compare the paper's claims with what was measured: rows of claim, paper, here, verdict."""

    def clean(name):
        return np.array([float(one["clean"][name]) for one in found])

    def verdict(holds):
        return "reproduced" if np.all(holds) else f"on {np.sum(holds)} of {len(found)} networks"

    def both(name, values, other, others):
        return f"{plan.paper[name]:.4f}, {plan.paper[other]:.4f}", f"{spread(values, 4)}, {spread(others, 4)}"

    def of_all(holds):
        """Machines that learned from fewer images than the network say nothing of those that learn from all."""
        learned = PLANS[plan.kind].learned
        return verdict(holds) if plan.learned == learned else f"open: machines of {plan.learned:,}, not {learned:,}"

    nn, lh = clean("NN"), clean("LH")
    rows = [["the linear hybrid is more accurate than the network", *both("LH", lh, "NN", nn), of_all(lh > nn)]]
    if "KH" in found[0]["clean"]:
        kh = clean("KH")
        more = plan.paper["KH"] > plan.paper["LH"]
        claim = f"the RBF hybrid is {'more' if more else 'less'} accurate than the linear one"
        rows.append([claim, *both("KH", kh, "LH", lh), of_all(kh > lh if more else kh < lh)])
        rows.append(["the RBF hybrid is more accurate than the network", *both("KH", kh, "NN", nn), of_all(kh > nn)])
    ones = np.array([one["repairs"]["table"][0] for one in found])
    rows.append(
        [
            "repair from one adversarial corrects others",
            f"at least {FIXED:.2f}",
            f"{spread(ones[:, 2])}; single ones {ones[:, 7].min():.3f} to {ones[:, 8].max():.3f}",
            verdict(ones[:, 2] >= FIXED),
        ]
    )
    return rows


def print_report(found, plan):
    """Print the tables of README.md, means over seeds with their least and greatest."""
    names = found[0]["classifiers"]
    table(["claim of the paper", "paper", "here", "verdict"], judge_claims(found, plan))
    if "by C" in found[0]:
        print("Linear hybrids by C, accuracy on all test images\n")
        table([f"C = {C:g}" for C in CS], [[spread([one["by C"][f"{C:g}"] for one in found], 4) for C in CS]])
    print("Accuracy of each classifier on each test set\n")
    rows = [
        [key, *(spread([one["matrix"][key][place] for one in found], 4) for place in range(len(names)))]
        for key in found[0]["matrix"]
    ]
    table(["test set", *names], rows)
    counts = [one["repairs"]["counts"].tolist() for one in found]
    print(f"Repairs of the linear hybrid; [adversarials of test images, of the pool]: {counts}\n")
    rows = []
    for place in range(len(found[0]["repairs"]["table"])):
        each = np.array([one["repairs"]["table"][place] for one in found])
        way, given = TARGETS[int(each[0, 0])], int(each[0, 1])
        least = f"{each[:, 7].min():.3f}-{each[:, 8].max():.3f}" if given == 1 else ""
        rows.append([given, way, *(spread(each[:, column]) for column in range(2, 6)), spread(each[:, 6], 0), least])
    head = ["given", "targets", "share of others fixed", "Data", "HADV", "given ones corrected", "weights changed"]
    table([*head, "range of single ones"], rows)
    print("The network's own last layer\n")
    rows = []
    for place in range(len(found[0]["own head"]["table"])):
        each = np.array([one["own head"]["table"][place] for one in found])
        rows.append([int(each[0, 0]), *(spread(each[:, column]) for column in range(1, 5)), spread(each[:, 5], 0)])
    table(["given", "share of others fixed", "Data", "NADV", "given ones corrected", "weights changed"], rows)
    print("Median relative change of each layer\n")
    medians = np.array([one["layers"]["medians"] for one in found])
    rows = [
        [str(name), spread(medians[:, 0, place]), spread(medians[:, 1, place])]
        for place, name in enumerate(found[0]["layers"]["names"])
    ]
    table(["layer", "adversarial step", "random step of the same size"], rows)
    print("Adversarials of the linear hybrid and of the repaired one\n")
    cross = [[int(n) for n in one["categories"]["cross"].ravel()] for one in found]
    table(["neither", "only RLH", "only LH", "both"], cross)
    auc, agree = ([float(one["categories"][name]) for one in found] for name in ("auc", "agree"))
    print(f"AUC of a probe that tells them apart: {spread(auc)}; share of pixels with the same sign: {spread(agree)}\n")
    held = [one["held"] for one in found]
    print(
        f"Held images: accuracy {spread([one['held'][0] for one in held], 4)} -> "
        f"{spread([one['held'][1] for one in held], 4)}, {[int(one['rounds']) for one in held]} rounds, "
        f"given ones corrected {spread([float(one['corrected']) for one in held])}\n"
    )
    print(f"CPU seconds per network: {[round(sum(one['seconds'].values())) for one in found]}\n")


def draw(parts, file):
    """Draw accuracy against epsilon on each test set, what repairs correct, and the claims with their verdicts."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tall = [height for _ in parts for height in (3.0, 1.0)]
    figure = plt.figure(figsize=(12, sum(tall)), constrained_layout=True)
    grid = figure.add_gridspec(len(tall), 4, height_ratios=tall)
    for number, (plan, found) in enumerate(parts):
        axes = [figure.add_subplot(grid[2 * number, column]) for column in range(4)]
        _draw_accuracies(axes[:3], plan, found)
        _draw_repairs(axes[3], found)
        title = {"mnist": "MNIST", "cifar": "CIFAR-10, from JPEG images"}[plan.kind]
        networks = "1 network" if len(found) == 1 else f"{len(found)} networks, bands from the least to the greatest"
        axes[0].set_title(f"{title}; {networks}\n{axes[0].get_title(loc='left')}", loc="left", fontsize=9)
        below = figure.add_subplot(grid[2 * number + 1, :])
        below.axis("off")
        head = ["claim of the paper", "paper", "here: mean (least-greatest)", "verdict"]
        shown = below.table(
            judge_claims(found, plan), colLabels=head, loc="upper center", cellLoc="left", edges="horizontal"
        )
        shown.auto_set_font_size(False)
        shown.set_fontsize(8)
        shown.auto_set_column_width(range(len(head)))
    figure.savefig(file, dpi=110)


def _draw_accuracies(axes, plan, found):
    x = (0, *plan.epsilons)
    for axis, kind in zip(axes, ("NADV", "HADV", "RHADV"), strict=True):
        for place, name in enumerate(found[0]["classifiers"][:3]):
            sets = ["Data", *(f"{kind} {epsilon}" for epsilon in plan.epsilons)]
            each = np.array([[one["matrix"][key][place] for key in sets] for one in found])
            line = axis.plot(x, each.mean(axis=0), marker=".", label=name)[0]
            axis.fill_between(x, each.min(axis=0), each.max(axis=0), color=line.get_color(), alpha=0.2)
            if name in plan.paper:
                axis.plot(0, plan.paper[name], "o", mfc="none", color=line.get_color(), label=f"{name}, paper")
        axis.set(xlabel="epsilon", ylim=(0, 1.02))
        axis.set_title(kind, loc="left", fontsize=9)
    axes[0].set_ylabel("accuracy")
    axes[0].legend(fontsize=7)


def _draw_repairs(axis, found):
    tables = np.array([one["repairs"]["table"] for one in found])
    for place, way in enumerate(TARGETS):
        rows = tables[:, tables[0, :, 0] == place]
        line = axis.plot(rows[0, :, 1], rows[:, :, 2].mean(axis=0), marker=".", label=f"targets: {way}")[0]
        axis.fill_between(
            rows[0, :, 1], rows[:, :, 2].min(axis=0), rows[:, :, 2].max(axis=0), color=line.get_color(), alpha=0.2
        )
    axis.plot(1, FIXED, "^", mfc="none", color="black", label="paper: at least")
    axis.set(xscale="log", xlabel="adversarials given", ylim=(0, 1.02))
    axis.set_xticks((1, *GIVEN), labels=map(str, (1, *GIVEN)))
    axis.minorticks_off()
    axis.set_title("share of the others corrected", loc="left", fontsize=9)
    axis.legend(fontsize=7)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PLANS, nargs="+", default=["mnist"])
    parser.add_argument("--mnist", help="an .npz of MNIST")
    parser.add_argument("--cifar", help="a folder with CIFAR-10, or its cifar10_jpeg_bytes.npz")
    parser.add_argument("--cifar-network", help="a trained network, as experiments.repair.train_cifar keeps it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one network of MNIST each")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training, MNIST")
    parser.add_argument("--networks", default="runs/experiments", help="where networks and stages are kept")
    parser.add_argument("--quick", action="store_true", help="fewer images")
    parser.add_argument(
        "--core", action="store_true", help="leave out the RBF hybrid and attacks on the two other repairs"
    )
    parser.add_argument("--tested", type=int, help="test images")
    parser.add_argument("--learned", type=int, help="training images of the machines")
    parser.add_argument("--figure", help="draw accuracy against epsilon into this file")
    asked = parser.parse_args()
    if "cifar" in asked.part and not asked.cifar_network:
        parser.error("--part cifar needs --cifar-network: train one with python -m experiments.repair.train_cifar")
    dni.devices.use_all_cores()
    parts = []
    for name in asked.part:
        plan = PLANS[name]
        if asked.quick:
            plan = replace(plan, tested=300, pool=200, held=200, held_learned=500, learned=1_000)
        plan = replace(plan, tested=asked.tested or plan.tested, learned=asked.learned or plan.learned)
        images = mnist(asked.mnist) if name == "mnist" else cifar10(asked.cifar)
        found = []
        for seed in asked.seeds if name == "mnist" else [0]:
            print(f"{name}, network {seed}", flush=True)
            found.append(measure_seed(images, plan, seed, asked))
        print_report(found, plan)
        parts.append((plan, found))
    if asked.figure:
        draw(parts, asked.figure)


if __name__ == "__main__":
    main()
