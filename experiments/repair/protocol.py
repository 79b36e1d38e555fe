"""Repair in the protocol of Guidotti & Leofante 2019: minimal adversarials, and every classifier on every test set.

Claim     A network's last layers, replaced by a support vector machine, classify better. Its head can be repaired from
          one adversarial picture; at least a fifth of the others are then classified correctly as well.
Command   python -m experiments.repair.protocol
Result    README.md in this folder

An adversarial is the first picture along the sign of the gradient that is misclassified (`minimal_fgsm`), as the
authors' tool makes them. The test sets are the 10,000 test pictures (Data), and these with all pictures replaced for
which an adversarial up to epsilon was found: of the network (NADV), of the linear hybrid (HADV), of the repaired one
(RHADV). Networks and machines are trained on the first 50,000 training pictures. Repairs are made from adversarials of
the other 10,000, so that no test picture takes part. Every stage is kept: a run that was killed goes on with the next.
"""

import argparse
import time
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
from experiments._shared.convolutional import in_blocks, pure, trained
from experiments._shared.images import mnist
from experiments._shared.subjects import spread, table

EPSILONS = (0.025, 0.05, 0.075, 0.1, 0.125, 0.15)
STEPS = 200  # of 128 pictures: the network is then about as accurate as the paper's
LEARNED = 50_000  # training pictures; the others are attacked to repair from, and held
POOL, HELD = 2_000, 5_000
SINGLES = 20  # repairs from one adversarial each
GIVEN = (5, 20, 200)
COST = 1.0  # the paper's
TARGETS = ("clean scores", "1 and 0", "correct class raised")
REPAIRED = ("RLH", "RLH from one", "RLH, clean pictures held")  # from 200, 1 and 200 adversarials
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


def attack_stage(stages, name, scores, x, y):
    """Search the minimal adversarials of pictures up to the largest epsilon."""

    def compute():
        found = minimal_fgsm(scores, x, y, EPSILONS, batch=500)
        return {"sizes": found.sizes, "signs": found.signs.astype(np.int8)}

    kept = stages(f"attack on {name}", compute)
    return MinimalAttack(x, kept["signs"].astype(np.float32), kept["sizes"], EPSILONS, 0.0, 1.0)


def hybrid_stage(stages, kernel, body, x, y):
    """Fit a machine to the states of all training pictures."""

    def compute():
        svm = fit_hybrid(body, in_blocks(body, x), y, kernel)
        names = ("classes", "bias", "weights", "support", "coefficients", "gamma")
        return {name: getattr(svm, name) for name in names if getattr(svm, name) is not None}

    kept = stages(f"{kernel} hybrid", compute)
    if "gamma" in kept:
        kept["gamma"] = float(kept["gamma"])
    return Hybrid(body, kernel, **kept)


def linear_scores(body, weights, bias):
    """Return a function of pictures to the scores of a linear head on the body's states."""
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
    """Return the states, float64, of pictures and of their adversarials, with the labels.

    Left out are pictures that are as good as tied: the search calls them classified, but their scores are no targets.
    """
    weights, bias = head
    known = np.flatnonzero(attack.found(EPSILONS[-1]) & (attack.sizes > 0))
    before, after = (in_blocks(states, x[known]).astype(float) for x in (attack.inputs, attack.inputs_at(EPSILONS[-1])))
    right = (before @ weights.T + bias).argmax(axis=1) == y[known]
    return before[right], after[right], y[known][right]


def compare_repairs(body, svm, attack, pool, y_test):
    """Repair a linear head from 1 to 200 adversarials of the pool, toward each kind of target.

    Returns
    -------
    ``table``: rows of way, number, and the shares: of the test's adversarials that are then correct, accuracy on Data,
    on HADV, of the given ones; their range for single ones. And the repaired heads.
    """
    head = (svm.weights, svm.bias)
    at = EPSILONS[-1]
    moved, clean = in_blocks(body, attack.inputs_at(at)).astype(float), in_blocks(body, attack.inputs).astype(float)
    fooled = attack.found(at) & (attack.sizes > 0)
    before, after, labels = adversarials(body, head, pool["attack"], pool["y"])
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


def hold_stage(body, svm, pool, held, y_held):
    """Repair from the same adversarials with the decisions about clean pictures held."""
    head = svm.weights, svm.bias
    before, after, labels = (one[: GIVEN[-1]] for one in adversarials(body, head, pool["attack"], pool["y"]))
    wanted = make_targets(TARGETS[0], before, after, labels, head)
    states = in_blocks(body, held).astype(float)
    found = repair_and_hold(svm.weights, svm.bias, after, wanted, states, y_held, tolerance=0.01, cost=COST)
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
        return layers(pictures)["full 1"]

    before, after, labels = adversarials(states, head, attack, y)
    _, fooled, y_fooled = adversarials(states, head, test_attack, y_test)
    clean, moved = (
        in_blocks(states, x).astype(float) for x in (test_attack.inputs, test_attack.inputs_at(EPSILONS[-1]))
    )
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
    x, moved = attack.inputs[rows], attack.inputs_at(EPSILONS[-1])[rows]
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), x.shape)
    random = np.clip(x + attack.sizes[rows].reshape(-1, 1, 1, 1) * signs, 0, 1)
    both = [relative_changes(layers, x, other) for other in (moved, random)]
    return {
        "names": np.array(list(both[0])),
        "medians": np.array([[np.nanmedian(v) for v in b.values()] for b in both]),
    }


def compare_categories(body, one, other):
    """Compare the adversarials of two classifiers: which pictures have them, and whether states tell whose they are.

    Returns
    -------
    ``cross`` (rows: not found, found for one; columns: for the other), ``auc`` of a logistic probe on states, in five
    folds with both adversarials of a picture in the same.
    """
    at = EPSILONS[-1]
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


def measure_seed(images, seed, asked):
    """Measure everything of one seed, or read what is there."""
    n_test, n_pool, n_held, learned = asked.sizes
    steps = asked.steps
    stages = Stages(Path(asked.networks) / f"protocol-mnist-{seed}", (seed, asked.sizes[1:], steps, EPSILONS))
    tested = f", {n_test} tested"  # in the names of stages that depend on it
    x, y = images.x_train[:learned], images.y_train[:learned]
    x_test, y_test = images.x_test[:n_test], images.y_test[:n_test]
    rest = slice(learned, learned + n_pool), slice(learned + n_pool, learned + n_pool + n_held)
    pool = {"x": images.x_train[rest[0]], "y": images.y_train[rest[0]]}
    network, training = trained("mnist", seed, stages.folder, x, y, steps, batch=128)
    body, whole = pure(network)
    graph, state = nnx.split(network)
    state = jax.tree.map(jnp.array, state)

    def layers(pictures):
        return nnx.merge(graph, state).layers(pictures)

    def full(states):
        """Compute the network's scores from the states that its full layers read."""
        rest = nnx.merge(graph, state).full
        for layer in rest[:-1]:
            states = nnx.relu(layer(states))
        return rest[-1](states)

    svm = hybrid_stage(stages, "linear", body, x, y)
    scores = {"NN": whole, "LH": svm.scores}
    attacks = {name: attack_stage(stages, name + tested, scores[name], x_test, y_test) for name in ("NN", "LH")}
    pool["attack"] = attack_stage(stages, "LH, pool", svm.scores, pool["x"], pool["y"])
    repairs = stages("repairs" + tested, lambda: compare_repairs(body, svm, attacks["LH"], pool, y_test))
    weights = {REPAIRED[0]: repairs["weights_RLH"]}
    if not asked.core:
        held = images.x_train[rest[1]], images.y_train[rest[1]]
        kept = stages("held", lambda: hold_stage(body, svm, pool, *held))
        weights |= {REPAIRED[1]: repairs["weights_one"], REPAIRED[2]: kept["weights"]}
    scores |= {name: linear_scores(body, one, svm.bias) for name, one in weights.items()}
    for name in weights:
        attacks[name] = attack_stage(stages, name + tested, scores[name], x_test, y_test)

    def accuracies(pictures):
        states = in_blocks(body, pictures)
        linear = [accuracy((one, svm.bias), states, y_test) for one in (svm.weights, *weights.values())]
        return np.array([np.mean(in_blocks(full, states).argmax(axis=1) == y_test), *linear])

    def matrix():
        found = {"Data": accuracies(x_test)}
        for attacker, attack in attacks.items():
            for epsilon in EPSILONS:
                found[f"{SETS[attacker]} {epsilon}"] = accuracies(attack.inputs_at(epsilon))
        return found

    found = {
        "matrix": stages(f"matrix of {len(scores)}{tested}", matrix),
        "classifiers": list(scores),
        "repairs": repairs,
    }
    found["categories"] = stages("categories" + tested, lambda: compare_categories(body, attacks["LH"], attacks["RLH"]))
    found["layers"] = stages("layers" + tested, lambda: measure_layers(layers, attacks["NN"], seed))
    own = attack_stage(stages, "NN, pool", whole, pool["x"], pool["y"])
    found["own head"] = stages(
        "own head" + tested, lambda: repair_own_head(layers, network, own, pool["y"], attacks["NN"], y_test)
    )
    if not asked.core:
        found["held"] = kept
        rbf = hybrid_stage(stages, "rbf", body, x, y)
        found["KH"] = float(rbf.accuracy(x_test, y_test))
    found["seconds"] = {"training": training, **stages.seconds}
    return found


def print_report(found):
    """Print the tables of README.md, means over seeds with their least and greatest."""
    names = found[0]["classifiers"]
    if "KH" in found[0]:
        print(f"RBF hybrid (KH) on Data: {spread([one['KH'] for one in found], 4)}\n")
    print("Accuracy of each classifier on each test set\n")
    rows = [
        [key, *(spread([one["matrix"][key][place] for one in found], 4) for place in range(len(names)))]
        for key in found[0]["matrix"]
    ]
    table(["test set", *names], rows)
    counts = [one["repairs"]["counts"].tolist() for one in found]
    print(f"Repairs of the linear hybrid; [adversarials of test pictures, of the pool]: {counts}\n")
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
    if "held" in found[0]:
        held = [one["held"] for one in found]
        print(
            f"Held pictures: accuracy {spread([one['held'][0] for one in held], 4)} -> "
            f"{spread([one['held'][1] for one in held], 4)}, {[int(one['rounds']) for one in held]} rounds, "
            f"given ones corrected {spread([float(one['corrected']) for one in held])}\n"
        )
    print(f"CPU seconds per seed: {[round(sum(one['seconds'].values())) for one in found]}")


def draw(found, file):
    """Draw accuracy against epsilon, one panel for each test set, with the paper's accuracies on Data as lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = found[0]["classifiers"][:3]
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True, constrained_layout=True)
    for axis, kind in zip(axes, ("NADV", "HADV", "RHADV"), strict=True):
        for place, name in enumerate(names):
            each = np.array([[one["matrix"][f"{kind} {e}"][place] for e in EPSILONS] for one in found])
            data = np.array([one["matrix"]["Data"][place] for one in found])
            each = np.concatenate([data[:, None], each], axis=1)
            line = axis.plot((0, *EPSILONS), each.mean(axis=0), marker=".", label=f"{name}, measured")[0]
            axis.fill_between((0, *EPSILONS), each.min(axis=0), each.max(axis=0), color=line.get_color(), alpha=0.2)
            if name in ("NN", "LH"):
                axis.axhline(
                    {"NN": 0.9712, "LH": 0.9872}[name],
                    color=line.get_color(),
                    ls=":",
                    lw=1,
                    label=f"{name} on Data, paper",
                )
        axis.set(title=kind, xlabel="epsilon", ylim=(0, 1))
    axes[0].set_ylabel("accuracy")
    axes[0].legend(fontsize=7)
    figure.savefig(file, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", help="an .npz of MNIST")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one network each")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training")
    parser.add_argument("--networks", default="runs/experiments", help="where networks and stages are kept")
    parser.add_argument("--quick", action="store_true", help="fewer pictures")
    parser.add_argument("--core", action="store_true", help="leave out the two other repairs and the RBF hybrid")
    parser.add_argument("--tested", type=int, default=10_000, help="test pictures")
    parser.add_argument("--figure", help="draw accuracy against epsilon into this file")
    asked = parser.parse_args()
    asked.sizes = (300, 200, 200, 1_000) if asked.quick else (asked.tested, POOL, HELD, LEARNED)
    dni.devices.use_all_cores()
    images = mnist(asked.mnist)
    found = []
    for seed in asked.seeds:
        print(f"seed {seed}", flush=True)
        found.append(measure_seed(images, seed, asked))
    print_report(found)
    if asked.figure:
        draw(found, asked.figure)


if __name__ == "__main__":
    main()
